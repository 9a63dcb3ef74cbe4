//! Whose node it is. The packed 64-bit form exists at the wire and disk edge only.
//!
//! Invariant: packing and unpacking under the same settings give the same owner back.

use super::ids::SessionId;
use super::time::Millis;

/// What keeps a node alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Owner {
    /// Nothing but itself.
    #[default]
    Persistent,
    /// The session.
    Ephemeral(SessionId),
    /// Its children, once it had one.
    Container,
    /// Writes to it, for this long.
    Ttl(Millis),
}

const TTL_MARK: i64 = 0xff00_0000_0000_0000_u64.cast_signed();
const TTL_RESERVED: i64 = 0x00ff_ff00_0000_0000;
const TTL_VALUE: i64 = 0x0000_00ff_ffff_ffff;

impl Owner {
    /// The packed form, `ephemeralOwner` of snapshots and digests.
    #[must_use]
    pub const fn pack(self) -> i64 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral(session) => session.0,
            Self::Container => i64::MIN,
            Self::Ttl(ttl) => TTL_MARK | (ttl.0 & TTL_VALUE),
        }
    }

    /// Reads the packed form. Without `extended_types` a time to live looks like a session that does not
    /// exist, exactly as for the reference.
    #[must_use]
    pub const fn unpack(packed: i64, extended_types: bool) -> Self {
        match packed {
            0 => Self::Persistent,
            i64::MIN => Self::Container,
            p if extended_types && p & TTL_MARK == TTL_MARK && p & TTL_RESERVED == 0 => {
                Self::Ttl(Millis(p & TTL_VALUE))
            }
            p => Self::Ephemeral(SessionId(p)),
        }
    }

    /// What clients see as `ephemeralOwner`.
    #[must_use]
    pub const fn shown(self) -> i64 {
        match self {
            Self::Ephemeral(session) => session.0,
            _ => 0,
        }
    }

    /// The session, of an ephemeral.
    #[must_use]
    pub const fn session(self) -> Option<SessionId> {
        match self {
            Self::Ephemeral(session) => Some(session),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_as_the_reference_does() {
        assert_eq!(Owner::Ttl(Millis(60_000)).pack(), 0xff00_0000_0000_ea60_u64.cast_signed());
        assert_eq!(Owner::Container.pack(), i64::MIN);
        for owner in
            [Owner::Persistent, Owner::Ephemeral(SessionId(7)), Owner::Container, Owner::Ttl(Millis(1))]
        {
            assert_eq!(Owner::unpack(owner.pack(), true), owner);
        }
        assert!(matches!(Owner::unpack(Owner::Ttl(Millis(1)).pack(), false), Owner::Ephemeral(_)));
    }
}
