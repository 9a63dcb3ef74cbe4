//! Access lists as the server keeps them: no nulls, no duplicates, schemes resolved.

use jute::Text;
use jute::records::data::{Acl, Id};
use std::borrow::Cow;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

/// One entry: these permissions for that name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclEntry {
    /// Permission bits as they came, known or not.
    pub perms: i32,
    /// The scheme.
    pub scheme: Box<str>,
    /// The name under it.
    pub id: Box<str>,
}

impl AclEntry {
    /// Everything for everybody: `OPEN_ACL_UNSAFE`.
    #[must_use]
    pub fn open() -> Self {
        Self { perms: jute::codes::perms::ALL, scheme: "world".into(), id: "anyone".into() }
    }

    /// Bytes of the record form.
    #[must_use]
    pub fn record_len(&self) -> usize {
        self.scheme.len().saturating_add(self.id.len()).saturating_add(12)
    }

    /// The record form.
    #[must_use]
    pub fn record(&self) -> Acl<'_> {
        fn text(s: &str) -> Option<Text<'_>> {
            Some(Cow::Borrowed(s))
        }
        Acl { perms: self.perms, id: Id { scheme: text(&self.scheme), id: text(&self.id) } }
    }

    /// From the record form, where nulls (which only foreign files hold) read as empty.
    #[must_use]
    pub fn from_record(acl: &Acl<'_>) -> Self {
        let text = |t: &Option<Text<'_>>| t.as_deref().unwrap_or_default().into();
        Self { perms: acl.perms, scheme: text(&acl.id.scheme), id: text(&acl.id.id) }
    }
}

/// A whole list, cheap to hand on. Nearly all nodes are open to everybody; that list is made once.
#[derive(Debug, Clone)]
pub enum AccessList {
    /// Everything for everybody.
    Open,
    /// These entries.
    Listed(Arc<[AclEntry]>),
}

static OPEN: LazyLock<[AclEntry; 1]> = LazyLock::new(|| [AclEntry::open()]);

impl Deref for AccessList {
    type Target = [AclEntry];

    fn deref(&self) -> &[AclEntry] {
        match self {
            Self::Open => &*OPEN,
            Self::Listed(entries) => entries,
        }
    }
}

impl PartialEq for AccessList {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl From<Vec<AclEntry>> for AccessList {
    fn from(entries: Vec<AclEntry>) -> Self {
        Self::Listed(entries.into())
    }
}
