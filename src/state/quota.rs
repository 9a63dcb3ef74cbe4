//! Quotas: which paths are tracked, and the texts of `zookeeper_limits` and `zookeeper_stats`.
//!
//! The numbers live in the stats nodes alone, as for the reference; this room keeps only the set of tracked
//! paths. Bookkeeping is local: no transaction, no version, no watch.

use super::Set;
use super::tree::Tree;
use std::fmt::Write as _;

/// Where quotas live.
pub const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// What a limits or stats node says. A number below zero is no limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// Nodes; in a limits node the soft limit.
    pub count: i64,
    /// Bytes of data; in a limits node the soft limit.
    pub bytes: i64,
    /// Everything else, by name: the hard limits.
    others: Vec<(Box<str>, i64)>,
}

impl Track {
    /// Reads the text. Whatever is no number reads as no limit.
    #[must_use]
    pub fn parse(data: Option<&[u8]>) -> Self {
        let text = String::from_utf8_lossy(data.unwrap_or_default());
        let mut track = Self { count: -1, bytes: -1, others: Vec::new() };
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.split('=');
            let key = parts.next().unwrap_or_default();
            let value = parts.next().and_then(|v| v.parse().ok()).unwrap_or(-1);
            match key {
                "count" => track.count = value,
                "bytes" => track.bytes = value,
                "" => {}
                key => {
                    track.others.retain(|(k, _)| &**k != key);
                    track.others.push((key.into(), value));
                }
            }
        }
        track.others.sort_unstable();
        track
    }

    /// Writes the text, with the stray `=` that the reference puts in front of hard limits.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("count={},bytes={}", self.count, self.bytes);
        if !self.others.is_empty() {
            text.push('=');
        }
        for (key, value) in &self.others {
            _ = write!(text, ";{key}={value}");
        }
        text
    }

    fn other(&self, key: &str) -> i64 {
        self.others.iter().find(|(k, _)| &**k == key).map_or(-1, |(_, v)| *v)
    }

    /// Nodes at most.
    #[must_use]
    pub fn count_hard_limit(&self) -> i64 {
        self.other("countHardLimit")
    }

    /// Bytes at most.
    #[must_use]
    pub fn byte_hard_limit(&self) -> i64 {
        self.other("byteHardLimit")
    }
}

/// What a change would do to the quota over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is none, or it stays inside.
    Within,
    /// It goes over a soft limit, which is only worth a line in the log.
    Soft(Overrun),
    /// It goes over a hard limit.
    Hard(Overrun),
}

/// A limit that would be passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overrun {
    /// The tracked path.
    pub path: Box<str>,
    /// `count` or `bytes`.
    pub what: &'static str,
    /// What it would be.
    pub wanted: i64,
    /// What it may be.
    pub limit: i64,
    /// Is it a hard one.
    pub is_hard: bool,
}

impl std::fmt::Display for Overrun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { path, what, wanted, limit, is_hard } = self;
        let kind = if *is_hard { "hard" } else { "soft" };
        let name = if *what == "count" { "CountLimit" } else { "ByteLimit" };
        write!(f, "Quota exceeded: {path} [current {what}={wanted}, {kind}{name}={limit}]")
    }
}

/// Limits and use under one top-level path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NamespaceQuota {
    /// First component of the tracked paths.
    pub namespace: Box<str>,
    /// Limit on nodes, the hard one if there is one.
    pub count_limit: i64,
    /// Limit on bytes, the hard one if there is one.
    pub bytes_limit: i64,
    /// Nodes.
    pub count_usage: i64,
    /// Bytes.
    pub bytes_usage: i64,
}

/// The tracked paths.
#[derive(Debug, Default)]
pub struct Quotas {
    tracked: Set<Box<str>>,
}

/// The path whose quota lives at this node, and the node's name.
fn target(node: &str) -> Option<(&str, &str)> {
    let (path, name) = node.strip_prefix(QUOTA)?.rsplit_once('/')?;
    // A quota on the root is never looked at by the reference.
    path.starts_with('/').then_some((path, name))
}

impl Quotas {
    /// The deepest tracked path at or above this one.
    #[must_use]
    pub fn over<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.tracked.is_empty() {
            return None;
        }
        let up = |p: &&'p str| p.rsplit_once('/').map(|(parent, _)| parent);
        std::iter::successors(Some(path), up).find(|p| self.tracked.contains(*p))
    }

    /// A node came, or its data's length changed by `bytes`.
    pub fn changed(&self, tree: &mut Tree, path: &str, bytes: i64, count: i64) {
        let Some(over) = self.over(path) else { return };
        let Some(stats) = tree.find(&format!("{QUOTA}{over}/{STATS}")) else { return };
        let mut track = Track::parse(tree.data(stats));
        track.bytes = track.bytes.wrapping_add(bytes);
        track.count = track.count.wrapping_add(count);
        tree.set_data(stats, Some(track.text().as_bytes()));
    }

    /// A node was created: it may start tracking a path, or want its numbers.
    pub fn created(&mut self, tree: &mut Tree, path: &str, bytes: i64) {
        match target(path) {
            Some((tracked, LIMITS)) => _ = self.tracked.insert(tracked.into()),
            Some((tracked, STATS)) => recompute(tree, tracked),
            _ => {}
        }
        self.changed(tree, path, bytes, 1);
    }

    /// A node was deleted.
    pub fn deleted(&mut self, tree: &mut Tree, path: &str, bytes: i64) {
        if let Some((tracked, LIMITS)) = target(path) {
            self.tracked.remove(tracked);
        }
        self.changed(tree, path, -bytes, -1);
    }

    /// Finds everything out anew, behind the loading of a snapshot.
    pub fn rebuild(&mut self, tree: &mut Tree) {
        self.tracked.clear();
        let Some(top) = tree.find(QUOTA) else { return };
        let limits: Vec<_> = tree.subtree(top).filter(|id| tree.name(*id) == LIMITS).collect();
        for id in limits {
            if let Some((tracked, _)) = target(&tree.path(id)) {
                recompute(tree, tracked);
                self.tracked.insert(tracked.into());
            }
        }
    }

    fn tracks(tree: &Tree, path: &str) -> Option<(Track, Track)> {
        let read = |name| Some(Track::parse(tree.data(tree.find(&format!("{QUOTA}{path}/{name}"))?)));
        Some((read(LIMITS)?, read(STATS)?))
    }

    /// What `count` more nodes and `bytes` more bytes at `path` would do.
    #[must_use]
    pub fn check(&self, tree: &Tree, path: &str, bytes: i64, count: i64) -> Verdict {
        let tracks = self.over(path).and_then(|over| Some((over, Self::tracks(tree, over)?)));
        let Some((over, (limits, stats))) = tracks else { return Verdict::Within };
        let mut verdict = Verdict::Within;
        let rows = [
            ("count", count, stats.count, limits.count, limits.count_hard_limit()),
            ("bytes", bytes, stats.bytes, limits.bytes, limits.byte_hard_limit()),
        ];
        for (what, more, used, soft, hard) in rows {
            let limit = if hard > -1 { hard } else { soft };
            let wanted = used.saturating_add(more);
            if more == 0 || limit < 0 || wanted <= limit {
                continue;
            }
            let overrun = Overrun { path: over.into(), what, wanted, limit, is_hard: hard > -1 };
            if hard > -1 {
                return Verdict::Hard(overrun);
            }
            verdict = Verdict::Soft(overrun);
        }
        verdict
    }

    /// Limits and use by top-level path.
    #[must_use]
    pub fn namespaces(&self, tree: &Tree) -> Vec<NamespaceQuota> {
        let mut all: Vec<NamespaceQuota> = Vec::new();
        let mut tracked: Vec<&str> = self.tracked.iter().map(|p| &**p).collect();
        tracked.sort_unstable();
        for path in tracked {
            let Some((limits, stats)) = Self::tracks(tree, path) else { continue };
            let namespace = path.split('/').nth(1).unwrap_or_default();
            if all.last().is_none_or(|last| &*last.namespace != namespace) {
                all.push(NamespaceQuota { namespace: namespace.into(), ..Default::default() });
            }
            let Some(row) = all.last_mut() else { continue };
            let limit = |hard: i64, soft: i64| if hard > -1 { hard } else { soft };
            row.count_limit += limit(limits.count_hard_limit(), limits.count);
            row.bytes_limit += limit(limits.byte_hard_limit(), limits.bytes);
            row.count_usage += stats.count;
            row.bytes_usage += stats.bytes;
        }
        all
    }
}

/// Counts a subtree and writes the totals into its stats node, over whatever stood there.
fn recompute(tree: &mut Tree, path: &str) {
    let Some(stats) = tree.find(&format!("{QUOTA}{path}/{STATS}")) else { return };
    let mut track = Track::parse(None);
    (track.count, track.bytes) = (0, 0);
    if let Some(top) = tree.find(path) {
        for id in tree.subtree(top) {
            track.count += 1;
            track.bytes += tree.data(id).map_or(0, <[u8]>::len).cast_signed() as i64;
        }
    }
    tree.set_data(stats, Some(track.text().as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_reference() {
        let limits = Track::parse(Some(b"count=-1,bytes=-1=;byteHardLimit=100;countHardLimit=10"));
        assert_eq!((limits.count, limits.bytes), (-1, -1));
        assert_eq!((limits.byte_hard_limit(), limits.count_hard_limit()), (100, 10));
        assert_eq!(limits.text(), "count=-1,bytes=-1=;byteHardLimit=100;countHardLimit=10");
        let odd = Track::parse(Some(b"bytes=;,;count=5,;x"));
        assert_eq!((odd.count, odd.bytes, odd.byte_hard_limit()), (5, -1, -1));
        assert_eq!(Track::parse(None).text(), "count=-1,bytes=-1");
        assert_eq!(Track::parse(Some(b"count=1,bytes=2")).text(), "count=1,bytes=2");
    }

    #[test]
    fn where_a_quota_lives() {
        assert_eq!(target("/zookeeper/quota/a/b/zookeeper_limits"), Some(("/a/b", LIMITS)));
        assert_eq!(target("/zookeeper/quota/zookeeper_limits"), None);
        assert_eq!(target("/zookeeper/quotax/zookeeper_limits"), None);
        assert_eq!(target("/a"), None);
    }
}
