//! Every setting Quoll knows, one row each: its key in `zoo.cfg`, where it may come from, type, default,
//! place in `quoll.toml`, and whether it has an effect.
//!
//! Parsing, system properties, `config check`, `docs/CONFIG.md` and the TOML form are all driven by these
//! rows; no other file lists keys. What a value means is decided in `settings`, not here.
//!
//! Invariant: names and TOML places are unique, and a row's default is what `settings` uses.

mod core;
mod ensemble;
mod observe;
mod security;

/// Where a key may be set; the four classes of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// In the configuration file only. Values are strict: a bad one stops the start.
    File,
    /// As system property `zookeeper.<key>`; the file sets that property too. Bad values mean the default.
    System,
    /// As system property without a prefix; `zoo.cfg` cannot set it.
    Bare,
    /// As system property with or without the prefix `zookeeper.`; the prefixed one wins.
    Both,
}

/// The shape of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or directory name.
    Path,
    /// A host name or address literal.
    Host,
    /// The name of a Java class of the reference.
    Class,
    /// A comma separated list.
    List,
    /// A port, 0 to 65535.
    Port,
    /// A 32-bit integer.
    Int,
    /// A 64-bit integer.
    Long,
    /// A decimal fraction.
    Real,
    /// `true` or `false` in any case.
    Bool,
    /// On unless exactly `no`.
    OnUnlessNo,
    /// Off unless exactly `yes`.
    OffUnlessYes,
    /// On unless exactly `false`.
    OnUnlessFalse,
    /// On only when exactly `true`.
    OnlyTrue,
    /// Several keys with one prefix; the row's name ends in `*`.
    Family,
}

impl Kind {
    /// What a value of this kind has to look like, for messages.
    #[must_use]
    pub fn expected(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Path => "a path",
            Self::Host => "a host name or address",
            Self::Class => "a class name of the reference",
            Self::List => "a comma separated list",
            Self::Port => "an integer from 0 to 65535",
            Self::Int => "an integer from -2147483648 to 2147483647",
            Self::Long => "an integer from -9223372036854775808 to 9223372036854775807",
            Self::Real => "a decimal fraction",
            Self::Bool | Self::OnUnlessFalse | Self::OnlyTrue => "true or false",
            Self::OnUnlessNo | Self::OffUnlessYes => "yes or no",
            Self::Family => "one entry per name",
        }
    }

    /// The word for the column "Type" of the documentation.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Path => "path",
            Self::Host => "host",
            Self::Class => "class",
            Self::List => "list",
            Self::Port => "port",
            Self::Int => "int",
            Self::Long => "long",
            Self::Real => "real",
            Self::Bool => "bool",
            Self::OnUnlessNo | Self::OffUnlessYes => "yes/no",
            Self::OnUnlessFalse | Self::OnlyTrue => "true/false",
            Self::Family => "family",
        }
    }

    /// Whether the value is a switch, and so a boolean in `quoll.toml`.
    #[must_use]
    pub fn is_switch(self) -> bool {
        matches!(
            self,
            Self::Bool | Self::OnUnlessNo | Self::OffUnlessYes | Self::OnUnlessFalse | Self::OnlyTrue
        )
    }
}

/// What holds when nobody sets the key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fallback {
    /// Nothing; the feature is off or the key is mandatory.
    Unset,
    /// This number.
    Int(i64),
    /// This fraction.
    Real(f64),
    /// This switch position.
    Bool(bool),
    /// This text.
    Text(&'static str),
    /// Worked out from other settings, as described.
    Derived(&'static str),
}

impl std::fmt::Display for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unset => f.write_str("unset"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Real(value) => write!(f, "{value}"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text("") => f.write_str("empty"),
            Self::Text(value) | Self::Derived(value) => f.write_str(value),
        }
    }
}

/// A part of the reference's feature set that Quoll does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// TLS on client, quorum and admin ports.
    Tls,
    /// SASL and Kerberos.
    Sasl,
    /// Authentication providers beyond `ip` and `digest`.
    Providers,
    /// The HTTP admin server.
    Admin,
    /// The Prometheus endpoint.
    Prometheus,
    /// The audit log.
    Audit,
    /// The oracle that lets one of two voters go on alone.
    Oracle,
    /// Request statistics by path.
    PathStats,
    /// TTL nodes as 3.5.3 wrote them.
    OldTtl,
}

impl Feature {
    /// The feature's name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Sasl => "SASL and Kerberos",
            Self::Providers => "authentication providers beyond ip and digest",
            Self::Admin => "AdminServer",
            Self::Prometheus => "Prometheus metrics",
            Self::Audit => "audit log",
            Self::Oracle => "the oracle of two voters",
            Self::PathStats => "path statistics",
            Self::OldTtl => "TTL nodes of 3.5.3",
        }
    }
}

/// Whether a key does in Quoll what it does in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Supported,
    /// Accepted and checked, but there is nothing for it to change; the reason says why.
    NoEffect(&'static str),
    /// Accepted and checked, waiting for this feature.
    NotYet(Feature),
}

/// The part of the configuration a key belongs to; also the order of reports and documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the title says it")]
pub enum Group {
    Paths,
    Client,
    Sessions,
    Limits,
    Throttle,
    Storage,
    Snapshots,
    Purge,
    Nodes,
    Auth,
    FourLetterWords,
    Admin,
    Metrics,
    Audit,
    Log,
    Ensemble,
    Observers,
    Tls,
    Sasl,
    Tuning,
    ClientSide,
}

impl Group {
    /// Every group in reporting order.
    pub const ALL: [Self; 21] = [
        Self::Paths,
        Self::Client,
        Self::Sessions,
        Self::Limits,
        Self::Throttle,
        Self::Storage,
        Self::Snapshots,
        Self::Purge,
        Self::Nodes,
        Self::Auth,
        Self::FourLetterWords,
        Self::Admin,
        Self::Metrics,
        Self::Audit,
        Self::Log,
        Self::Ensemble,
        Self::Observers,
        Self::Tls,
        Self::Sasl,
        Self::Tuning,
        Self::ClientSide,
    ];

    /// The heading of the group.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Paths => "Directories",
            Self::Client => "Client ports",
            Self::Sessions => "Sessions",
            Self::Limits => "Limits",
            Self::Throttle => "Throttling",
            Self::Storage => "Transaction log",
            Self::Snapshots => "Snapshots",
            Self::Purge => "Purge",
            Self::Nodes => "Containers, TTL nodes, quotas",
            Self::Auth => "Authentication and ACLs",
            Self::FourLetterWords => "Four-letter words",
            Self::Admin => "AdminServer",
            Self::Metrics => "Metrics",
            Self::Audit => "Audit",
            Self::Log => "Log lines",
            Self::Ensemble => "Ensemble",
            Self::Observers => "Observers",
            Self::Tls => "TLS",
            Self::Sasl => "SASL and Kerberos",
            Self::Tuning => "Tuning",
            Self::ClientSide => "Client-side keys",
        }
    }
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Key {
    /// The key as `zoo.cfg` has it; of a family, the prefix and a `*`.
    pub name: &'static str,
    /// Where it may be set.
    pub class: Class,
    /// The shape of its value.
    pub kind: Kind,
    /// What holds when it is not set.
    pub fallback: Fallback,
    /// Its place in `quoll.toml`, table and key joined by dots.
    pub toml: &'static str,
    /// The part of the configuration it belongs to.
    pub group: Group,
    /// Whether it has its effect.
    pub status: Status,
    /// What bounds its value and what happens beyond; may be empty.
    pub rule: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
}

impl Key {
    /// The prefix, if this row stands for a family of keys.
    #[must_use]
    pub fn family(&self) -> Option<&'static str> {
        self.name.strip_suffix('*')
    }

    /// Whether this row covers the given `zoo.cfg` key.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match self.family() {
            Some(prefix) => name.starts_with(prefix),
            None => self.name == name,
        }
    }

    /// The system properties that set this key, the winning one first.
    #[must_use]
    pub fn properties(&self) -> Vec<String> {
        let prefixed = || format!("zookeeper.{}", self.name);
        match self.class {
            Class::File => Vec::new(),
            Class::System => vec![prefixed()],
            Class::Bare => vec![self.name.to_owned()],
            Class::Both => vec![prefixed(), self.name.to_owned()],
        }
    }

    /// Whether values of this key must not appear in any output.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        is_secret(self.name)
    }
}

/// Whether values under this name must not appear in any output: passwords and password digests, known or not.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let names_a_file = lower.ends_with("passwordpath");
    !names_a_file
        && ["password", "passwd", "secret", "superdigest", "credential"].iter().any(|w| lower.contains(w))
}

/// Rows of one group. The order inside a row: class, name, TOML place, kind, default, status, rule, sentence.
macro_rules! rows {
    ($group:ident: $($class:ident $name:expr, $toml:expr, $kind:ident, $fallback:expr, $status:expr,
        $rule:expr, $about:expr;)*) => {
        &[$($crate::config::keys::Key {
            name: $name,
            class: $crate::config::keys::Class::$class,
            kind: $crate::config::keys::Kind::$kind,
            fallback: $fallback,
            toml: $toml,
            group: $crate::config::keys::Group::$group,
            status: $status,
            rule: $rule,
            about: $about,
        }),*]
    };
}
use rows;

const TABLES: &[&[Key]] = &[
    core::PATHS,
    core::CLIENT,
    core::SESSIONS,
    core::LIMITS,
    core::THROTTLE,
    core::STORAGE,
    core::SNAPSHOTS,
    core::PURGE,
    core::NODES,
    security::AUTH,
    observe::FOUR_LETTER_WORDS,
    observe::ADMIN,
    observe::METRICS,
    observe::AUDIT,
    observe::LOG,
    ensemble::ENSEMBLE,
    ensemble::OBSERVERS,
    security::TLS_CLIENT,
    security::TLS_QUORUM,
    security::TLS_OTHER,
    security::SASL,
    observe::TUNING,
    observe::CLIENT_SIDE,
];

/// Every row, in reporting order.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The row that covers a key of `zoo.cfg`: the exact name first, then the longest family.
#[must_use]
pub fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name).or_else(|| {
        all().filter(|key| key.family().is_some() && key.covers(name)).max_by_key(|key| key.name.len())
    })
}

/// Names the manual of the reference uses for keys that work only under another name.
pub const DOCUMENTED_NAMES: &[(&str, &str)] = &[
    ("connectionMaxTokens", "connection_throttle_tokens"),
    ("connectionTokenFillTime", "connection_throttle_fill_time"),
    ("connectionTokenFillCount", "connection_throttle_fill_count"),
    ("connectionFreezeTime", "connection_throttle_freeze_time"),
    ("connectionDropIncrease", "connection_throttle_drop_increase"),
    ("connectionDropDecrease", "connection_throttle_drop_decrease"),
    ("connectionDecreaseRatio", "connection_throttle_decrease_ratio"),
    ("requestThrottleLimit", "request_throttle_max_requests"),
    ("requestThrottleStallTime", "request_throttle_stall_time"),
    ("requestThrottleDropStale", "request_throttle_drop_stale"),
    ("requestStaleLatencyCheck", "request_stale_latency_check"),
    ("requestStaleConnectionCheck", "request_stale_connection_check"),
    ("throttledOpWaitTime", "throttled_op_wait_time"),
    ("maxConcurrentSnapSyncs", "leader.maxConcurrentSnapSyncs"),
    ("maxConcurrentDiffSyncs", "leader.maxConcurrentDiffSyncs"),
    ("maxTimeToWaitForEpoch", "leader.maxTimeToWaitForEpoch"),
    ("advancedFlowControlEnabled", "netty.advancedFlowControl.enabled"),
    ("outstandingHandshake.limit", "netty.server.outstandingHandshake.limit"),
];

/// The known name a mistyped one was probably meant to be.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_ascii_lowercase();
    // A third of the name may differ: enough for a slip or two, too little to guess wildly.
    let limit = (wanted.chars().count() / 3).clamp(1, 4);
    known
        .map(|candidate| (distance(&wanted, &candidate.to_ascii_lowercase(), limit), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate)
}

/// What to write instead of an unknown key, if anything comes close.
#[must_use]
pub fn suggestion(name: &str) -> Option<&'static str> {
    let documented = DOCUMENTED_NAMES.iter().find(|(manual, _)| *manual == name).map(|(_, works)| *works);
    documented.or_else(|| nearest(name, all().filter(|key| key.family().is_none()).map(|key| key.name)))
}

/// Edits between two words, counting an exchange of neighbours as one; gives up beyond `limit`.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Names beyond any real key are not worth a table of their size squared.
    if a.len().abs_diff(b.len()) > limit || a.len() > 128 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(above.len());
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best =
                (cell(&above, j) + usize::from(x != y)).min(cell(&above, j + 1) + 1).min(cell(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_toml_places_are_unique() {
        let mut names = BTreeSet::new();
        let mut places = BTreeSet::new();
        for key in all() {
            assert!(names.insert(key.name), "{} twice", key.name);
            assert!(places.insert(key.toml), "{} twice", key.toml);
            assert!(key.toml.contains('.'), "{} has no table", key.toml);
            assert!(
                key.toml
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_')),
                "{}",
                key.toml
            );
        }
        assert!(names.len() > 200, "{}", names.len());
    }

    #[test]
    fn no_toml_place_is_both_a_value_and_a_table() {
        let places: BTreeSet<_> = all().map(|key| key.toml).collect();
        for place in &places {
            let inner = format!("{place}.");
            assert!(!places.iter().any(|other| other.starts_with(&inner)), "{place}");
        }
    }

    #[test]
    fn defaults_fit_their_kinds() {
        for key in all() {
            let fits = match (key.kind, key.fallback) {
                (_, Fallback::Unset | Fallback::Derived(_)) => true,
                (Kind::Int, Fallback::Int(value)) => i32::try_from(value).is_ok(),
                (Kind::Port, Fallback::Int(value)) => u16::try_from(value).is_ok(),
                (Kind::Long, Fallback::Int(_)) | (Kind::Real, Fallback::Real(_)) => true,
                (kind, Fallback::Bool(_)) => kind.is_switch(),
                (kind, Fallback::Text(_)) => {
                    !kind.is_switch() && !matches!(kind, Kind::Int | Kind::Long | Kind::Real)
                }
                _ => false,
            };
            assert!(fits, "{key:?}");
            assert!(key.about.len() > 10 && !key.about.ends_with('.'), "{}", key.name);
        }
    }

    #[test]
    fn families_and_exact_names_are_found() {
        assert_eq!(find("server.17").map(|key| key.name), Some("server.*"));
        assert_eq!(find("groupFoo").map(|key| key.name), Some("group*"));
        assert_eq!(find("superUser").map(|key| key.name), Some("superUser"));
        assert_eq!(find("superUser.x").map(|key| key.name), Some("superUser.*"));
        assert_eq!(find("metricsProvider.httpPort").map(|key| key.name), Some("metricsProvider.httpPort"));
        assert_eq!(find("metricsProvider.foo").map(|key| key.name), Some("metricsProvider.*"));
        assert_eq!(find("clientport"), None);
    }

    #[test]
    fn slips_are_pointed_out() {
        assert_eq!(suggestion("maxClientCnxn"), Some("maxClientCnxns"));
        assert_eq!(suggestion("clientport"), Some("clientPort"));
        assert_eq!(suggestion("tikcTime"), Some("tickTime"));
        assert_eq!(suggestion("connectionMaxTokens"), Some("connection_throttle_tokens"));
        assert_eq!(suggestion("somethingElseAltogether"), None);
        for (_, works) in DOCUMENTED_NAMES {
            assert!(find(works).is_some(), "{works}");
        }
    }

    #[test]
    fn secrets_are_told_from_files_that_hold_them() {
        for secret in [
            "ssl.keyStore.password",
            "DigestAuthenticationProvider.superDigest",
            "SASLAuthenticationProvider.superPassword",
        ] {
            assert!(find(secret).is_some_and(Key::is_secret), "{secret}");
        }
        assert!(find("ssl.keyStore.passwordPath").is_some_and(|key| !key.is_secret()));
    }
}
