//! Fields of requests: strings that need not be text, access lists, lists of paths.
//!
//! Invariant: what cannot be written in good faith can be written here.

use jute::writer;

/// A string field: bytes that need not be UTF-8, or null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Str(pub(crate) Option<Vec<u8>>);

/// The null string.
pub(crate) const NULL: Str = Str(None);

impl From<&str> for Str {
    fn from(s: &str) -> Self {
        Self(Some(s.as_bytes().to_vec()))
    }
}

impl From<String> for Str {
    fn from(s: String) -> Self {
        Self(Some(s.into_bytes()))
    }
}

impl From<&String> for Str {
    fn from(s: &String) -> Self {
        Self::from(s.as_str())
    }
}

impl From<Vec<u8>> for Str {
    fn from(s: Vec<u8>) -> Self {
        Self(Some(s))
    }
}

impl From<&Self> for Str {
    fn from(s: &Self) -> Self {
        s.clone()
    }
}

impl Str {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        writer::buffer(out, self.0.as_deref());
    }

    pub(crate) fn show(&self) -> String {
        show(self.0.as_deref())
    }
}

/// Bytes for people: text where it is text, shortened where it is long.
pub(crate) fn show(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".into(),
        Some(b) if b.len() > 120 => {
            format!("\"{}...\"({} bytes)", b.get(..40).unwrap_or(b).escape_ascii(), b.len())
        }
        Some(b) => format!("\"{}\"", b.escape_ascii()),
    }
}

/// One entry of an access list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Acl {
    pub(crate) perms: i32,
    pub(crate) scheme: Str,
    pub(crate) id: Str,
}

/// An access list, or null.
pub(crate) type Acls = Option<Vec<Acl>>;

/// One entry.
pub(crate) fn acl(perms: i32, scheme: impl Into<Str>, id: impl Into<Str>) -> Acl {
    Acl { perms, scheme: scheme.into(), id: id.into() }
}

/// Everybody may do everything.
pub(crate) fn open() -> Acls {
    Some(vec![acl(31, "world", "anyone")])
}

/// A list of one entry.
pub(crate) fn only(perms: i32, scheme: &str, id: &str) -> Acls {
    Some(vec![acl(perms, scheme, id)])
}

pub(crate) fn put_acls(out: &mut Vec<u8>, acls: &Acls) {
    writer::count(out, acls.as_ref().map(Vec::len));
    for entry in acls.iter().flatten() {
        writer::i32(out, entry.perms);
        entry.scheme.put(out);
        entry.id.put(out);
    }
}

pub(crate) fn show_acls(acls: &Acls) -> String {
    match acls {
        None => "null".into(),
        Some(list) => {
            let one = |a: &Acl| format!("{}:{}:{}", a.scheme.show(), a.id.show(), a.perms);
            format!("[{}]", list.iter().map(one).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A list of paths, or null.
pub(crate) type Paths = Option<Vec<Str>>;

/// A list of paths.
pub(crate) fn paths(items: &[&str]) -> Paths {
    Some(items.iter().map(|p| Str::from(*p)).collect())
}
