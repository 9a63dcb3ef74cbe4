//! What a path may be, in the reference's rules (`PathUtils.validatePath`), and how it comes apart.
//!
//! The tree never sees a path that did not pass [`validate`]; reads may ask for any text and find nothing.

/// Why a text is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathFault {
    /// Nothing there.
    Empty,
    /// The first character is not `/`.
    NotAbsolute,
    /// A `/` at the end.
    TrailingSlash,
    /// Two `/` in a row.
    EmptyComponent,
    /// A component `.` or `..`.
    RelativeComponent,
    /// A character that is not allowed.
    BadCharacter,
}

fn allowed(c: char) -> bool {
    !matches!(u32::from(c), 0x00..=0x1f | 0x7f..=0x9f | 0xd800..=0xf8ff | 0xfff0..)
}

/// Checks a whole path.
pub fn validate(path: &str) -> Result<(), PathFault> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(if path.is_empty() { PathFault::Empty } else { PathFault::NotAbsolute });
    };
    if rest.is_empty() {
        return Ok(());
    }
    if rest.ends_with('/') {
        return Err(PathFault::TrailingSlash);
    }
    for component in rest.split('/') {
        match component {
            "" => return Err(PathFault::EmptyComponent),
            "." | ".." => return Err(PathFault::RelativeComponent),
            _ => {}
        }
    }
    let plain = |b: u8| (0x20..0x7f).contains(&b);
    if rest.bytes().all(plain) || rest.chars().all(allowed) { Ok(()) } else { Err(PathFault::BadCharacter) }
}

/// Parent and last component. The parent of a top-level node is `/`; a text without `/` has none.
#[must_use]
pub fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

/// Nodes that no client may delete.
#[must_use]
pub fn is_reserved(path: &str) -> bool {
    matches!(path, "/" | "/zookeeper" | "/zookeeper/quota" | "/zookeeper/config")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_s_rules() {
        for good in ["/", "/a", "/a/b", "/...", "/.a", "/a.", "/a b", "/ü", "/漢/字"] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        for bad in
            ["", "a", "/a/", "//", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/\0", "/\u{1f}", "/\u{7f}"]
        {
            assert!(validate(bad).is_err(), "{bad:?}");
        }
        for bad in ["/\u{9f}", "/\u{e000}", "/\u{f8ff}", "/\u{fff0}", "/\u{fffd}", "/😀"] {
            assert_eq!(validate(bad), Err(PathFault::BadCharacter), "{bad:?}");
        }
        assert_eq!(validate("/\u{f900}"), Ok(()));
        assert_eq!(validate("/\u{ffef}"), Ok(()));
    }

    #[test]
    fn splitting() {
        assert_eq!(split("/a"), Some(("/", "a")));
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/"), Some(("/", "")));
        assert_eq!(split("a"), None);
    }
}
