//! The wall clock, for names of copies and for manifests. Nothing else here depends on the time.

use jiff::Timestamp;

/// Now, as milliseconds since 1970.
pub(super) fn now() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A moment for file names: `20261120T175133Z`. No dots, so that no name made of it is taken for data.
pub(super) fn compact(at: i64) -> String {
    shown(at, "%Y%m%dT%H%M%SZ")
}

/// A moment for manifests: `2026-11-20T17:51:33Z`.
pub(super) fn iso(at: i64) -> String {
    shown(at, "%Y-%m-%dT%H:%M:%SZ")
}

fn shown(at: i64, format: &str) -> String {
    Timestamp::from_millisecond(at).unwrap_or_default().strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        assert_eq!(compact(1_795_180_960_000), "20261120T132240Z");
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert!(now() > 1_700_000_000_000);
    }
}
