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

    /// Bytes that it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scheme.len().saturating_add(self.id.len())
    }

    /// True if there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

/// Sorts a connection's identities the way the reference keeps them: in the bins of its hash set, within a bin
/// by arrival. The order shows: in whoAmI, and in an access list that `auth` was replaced in.
pub fn sort_as_reference(ids: &mut [Identity]) {
    // Its table has 16 bins and doubles when three quarters of them would be exceeded.
    let mut bins = 16_usize;
    while ids.len() >= bins / 4 * 3 {
        bins *= 2;
    }
    ids.sort_by_key(|id| {
        let hash = 37_i32
            .wrapping_mul(37_i32.wrapping_mul(17).wrapping_add(text_hash(&id.scheme)))
            .wrapping_add(text_hash(&id.id))
            .cast_unsigned();
        (hash ^ (hash >> 16)) as usize & (bins - 1)
    });
}

/// The hash of a string in the reference's runtime.
fn text_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |h: i32, unit| h.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_order_of_the_reference() {
        let bob = Identity::new("digest", "bob:WGAwC+XYxdw8bJ5K6KcPh8oL58U=");
        let mut ids = [Identity::new("ip", "127.0.0.1"), Identity::new("super", ""), bob];
        sort_as_reference(&mut ids);
        let schemes: Vec<_> = ids.iter().map(|id| &*id.scheme).collect();
        assert_eq!(schemes, ["digest", "super", "ip"]);
        assert_eq!(text_hash("digest"), -1_331_913_276);
    }
}
