//! What this server calls itself.
//!
//! Tools take the leading `x.y.z` for the version of ZooKeeper and switch features by it, so that is the
//! reference's; the hash behind it is of Quoll's own commit. The date is the commit's, so that one commit
//! builds one text.

/// The version of ZooKeeper that this server is like.
pub const REFERENCE: &str = "3.9.5";

/// Quoll's own version, as `quoll --version` shows it behind the name.
pub const OWN: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("QUOLL_BUILD"),
    ", ",
    env!("QUOLL_BUILT"),
    " UTC), compatible with Apache ZooKeeper 3.9.5"
);

/// What four-letter words and logs show: `<x.y.z>-<hash>, built on <date>`.
#[must_use]
pub fn shown() -> String {
    format!("{REFERENCE}-{}, built on {} UTC", env!("QUOLL_COMMIT"), env!("QUOLL_BUILT"))
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
        assert!(OWN.starts_with(env!("CARGO_PKG_VERSION")) && OWN.ends_with(REFERENCE), "{OWN}");
    }
}
