//! What this server calls itself.
//!
//! Tools take the leading `x.y.z` for the version of ZooKeeper and switch features by it, so that is the
//! reference's; the hash behind it is of Quoll's own commit. The date is the commit's, so that one commit
//! builds one text.

/// The version of ZooKeeper that this server is like.
pub const REFERENCE: &str = "3.9.5";

/// Quoll's own version.
pub const OWN: &str = env!("CARGO_PKG_VERSION");

/// What four-letter words and logs show: `<x.y.z>-<hash>, built on <date>`.
#[must_use]
pub fn shown() -> String {
    let build = option_env!("QUOLL_COMMIT").map_or_else(|| format!("quoll.{OWN}"), str::to_owned);
    format!("{REFERENCE}-{build}, built on {} UTC", env!("QUOLL_BUILT"))
}

/// What `quoll --version` shows behind the name.
#[must_use]
pub fn own() -> String {
    let commit = option_env!("QUOLL_COMMIT").and_then(|hash| hash.get(..12)).unwrap_or("no commit");
    format!("{OWN} ({commit}, {} UTC), compatible with Apache ZooKeeper {REFERENCE}", env!("QUOLL_BUILT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_that_tools_take_apart() {
        let shown = shown();
        let (version, rest) = shown.split_once('-').unwrap();
        assert_eq!(version, "3.9.5");
        let (hash, date) = rest.split_once(", built on ").unwrap();
        assert!(!hash.is_empty() && hash.chars().all(|c| c.is_ascii_alphanumeric() || c == '.'), "{hash}");
        let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00 00:00 UTC");
        assert!(own().starts_with(OWN));
    }
}
