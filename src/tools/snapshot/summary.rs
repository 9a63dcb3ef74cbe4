//! `quoll snapshot summary`: nodes and data per subtree. Memory: what is shown.

use super::scan::Source;
use crate::store::RealFiles;
use crate::store::format::snapshot::Item;
use crate::tools::failure::{FINE, Failure};
use crate::tools::output::{Meter, Out, table};
use crate::types::{Owner, path};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What is at a node and below it.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
struct Subtree {
    /// Direct children.
    children: u64,
    /// Nodes below.
    descendants: u64,
    /// Of these and itself, ephemeral ones.
    ephemerals: u64,
    /// Data of itself and everything below.
    data_bytes: u64,
}

pub(in crate::tools) fn summary(
    out: &mut Out<'_>,
    file: &Path,
    start: &str,
    depth: usize,
    limit: usize,
) -> Result<u8, Failure> {
    path::validate(start)
        .map_err(|_| Failure::Unable(format!("{start:?} is no path of a node; paths begin with `/`")))?;
    let source = Source::open(Arc::new(RealFiles), file, limit)?;
    let mut sums = Sums::new(start, depth);
    let mut meter = Meter::new(format!("reading {}", file.display()), source.len);
    let end = source.walk(
        &mut |item| {
            if let Item::Node(node) = item {
                let ephemeral = Owner::unpack(node.stat.ephemeral_owner, true).session().is_some();
                sums.add(&node.path, node.data.map_or(0, <[u8]>::len) as u64, ephemeral);
            }
            Ok(())
        },
        &mut |read| meter.at(read),
    )?;
    meter.finish();
    if let Err(stopped) = end {
        let text = format!(
            "{} is damaged at offset {} of the unpacked stream: {}; no sum of it would be right",
            file.display(),
            stopped.offset,
            stopped.why
        );
        return Err(Failure::Found(text));
    }
    if sums.subtrees.is_empty() {
        return Err(Failure::Unable(format!("there is no node {start} in {}", file.display())));
    }
    let shown = |path: &str| if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    let mut rows =
        vec![["PATH", "CHILDREN", "DESCENDANTS", "EPHEMERAL", "DATA BYTES"].map(str::to_owned).to_vec()];
    for (path, s) in &sums.subtrees {
        let numbers = [s.children, s.descendants, s.ephemerals, s.data_bytes];
        rows.push(std::iter::once(shown(path)).chain(numbers.iter().map(u64::to_string)).collect());
    }
    for row in table(&rows, &[1, 2, 3, 4]) {
        out.line(row)?;
    }
    let list: Vec<_> = sums
        .subtrees
        .iter()
        .map(|(path, s)| {
            serde_json::json!({
                "path": shown(path), "children": s.children, "descendants": s.descendants,
                "ephemerals": s.ephemerals, "data_bytes": s.data_bytes,
            })
        })
        .collect();
    out.document(&serde_json::json!({ "file": file, "subtrees": list }))?;
    Ok(FINE)
}

/// Sums of the subtrees from `start` on, so many levels down.
struct Sums {
    start: String,
    /// Levels; all where `None`.
    depth: Option<usize>,
    subtrees: BTreeMap<String, Subtree>,
}

impl Sums {
    fn new(start: &str, depth: usize) -> Self {
        let start = if start == "/" { "" } else { start };
        Self { start: start.to_owned(), depth: (depth > 0).then_some(depth), subtrees: BTreeMap::new() }
    }

    fn add(&mut self, path: &str, bytes: u64, ephemeral: bool) {
        let Some(below) = path.strip_prefix(&self.start) else { return };
        if !below.is_empty() && !below.starts_with('/') {
            return;
        }
        let own_depth = below.matches('/').count();
        let mut at = path;
        let mut level = own_depth;
        loop {
            if self.depth.is_none_or(|depth| level <= depth) {
                if !self.subtrees.contains_key(at) {
                    self.subtrees.insert(at.to_owned(), Subtree::default());
                }
                if let Some(sum) = self.subtrees.get_mut(at) {
                    sum.data_bytes += bytes;
                    sum.ephemerals += u64::from(ephemeral);
                    sum.descendants += u64::from(level < own_depth);
                    sum.children += u64::from(level + 1 == own_depth);
                }
            }
            if level == 0 {
                return;
            }
            level -= 1;
            at = at.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(start: &str, depth: usize) -> Vec<(String, Subtree)> {
        let mut sums = Sums::new(start, depth);
        for (path, bytes, ephemeral) in
            [("", 1, false), ("/a", 2, false), ("/a/b", 3, false), ("/a/b/c", 4, true), ("/ab", 5, false)]
        {
            sums.add(path, bytes, ephemeral);
        }
        sums.subtrees.into_iter().collect()
    }

    fn sum(children: u64, descendants: u64, ephemerals: u64, data_bytes: u64) -> Subtree {
        Subtree { children, descendants, ephemerals, data_bytes }
    }

    #[test]
    fn levels_and_sums() {
        assert_eq!(
            sums("/", 1),
            [
                (String::new(), sum(2, 4, 1, 15)),
                ("/a".into(), sum(1, 2, 1, 9)),
                ("/ab".into(), sum(0, 0, 0, 5))
            ]
        );
        assert_eq!(sums("/", 0).len(), 5);
        assert_eq!(sums("/a", 1), [("/a".into(), sum(1, 2, 1, 9)), ("/a/b".into(), sum(1, 1, 1, 7))]);
        assert!(sums("/x", 0).is_empty());
    }
}
