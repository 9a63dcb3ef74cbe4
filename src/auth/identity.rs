//! One name that a connection may act under. A connection has a list of them, from its address, from
//! `addauth`, later from certificates and SASL; the list only grows.

use std::fmt;

/// A scheme and a name under it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// `ip`, `digest`, `super`, `sasl`, `x509`.
    pub scheme: Box<str>,
    /// The name; of a digest `user:hash`.
    pub id: Box<str>,
}

impl Identity {
    /// Puts the two together.
    #[must_use]
    pub fn new(scheme: &str, id: &str) -> Self {
        Self { scheme: scheme.into(), id: id.into() }
    }

    /// The user part: of a digest what stands before the colon, else the whole name.
    #[must_use]
    pub fn user(&self) -> &str {
        match (&*self.scheme, self.id.split_once(':')) {
            ("digest", Some((user, _))) => user,
            _ => &self.id,
        }
    }
}

/// The hash of a digest is a credential and stays out of logs.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme, self.user())
    }
}
