//! What differs between two servers that do the same: sessions, passwords and times. They get names here, so
//! that everything else can be compared byte by byte.
//!
//! Invariant: equal things of one server get equal names, different things different ones.

use std::collections::{BTreeMap, HashMap};

use crate::clock;

/// A time is believed when it lies no further than this outside of the run, in ms.
const SLACK: i64 = 2_000;

/// A session as one server knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: i64,
    pub(crate) passwd: Vec<u8>,
    pub(crate) closed: bool,
}

/// The names of one server during one sequence.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The last zxid before the sequence; zxids are compared from here on.
    pub(crate) base: i64,
    /// The highest zxid of any reply.
    pub(crate) last: i64,
    /// The servers have gone different ways in an earlier sequence: zxids from before it say nothing.
    pub(crate) estranged: bool,
    /// Compare the ids and passwords of sessions with the reference's rules, too.
    pub(crate) exact_sessions: bool,
    /// In the order of their first appearance.
    pub(crate) sessions: Vec<Session>,
    times: HashMap<i64, i64>,
    started: i64,
    /// zxids of closeSession: the order of the deletions within one is not promised.
    pub(crate) unordered: BTreeMap<i64, ()>,
}

impl Names {
    pub(crate) fn start(base: i64, estranged: bool, exact_sessions: bool) -> Self {
        Self { base, last: base, estranged, exact_sessions, started: clock::wall_ms(), ..Self::default() }
    }

    /// A zxid counted from the base. Those of older transactions go far below all others; 0, -1 and the like
    /// stay what they are.
    pub(crate) fn zxid(&self, zxid: i64) -> i64 {
        const OLD: i64 = -(1 << 40);
        match zxid {
            z if z > self.base => z - self.base,
            z if z <= 0 => z,
            _ if self.estranged => OLD,
            z => OLD + z - self.base,
        }
    }

    /// 0 for a time that can be right, something else for one that cannot: the same transaction must always
    /// have the same time, and it must lie within the run.
    pub(crate) fn time(&mut self, zxid: i64, time: i64) -> i64 {
        if zxid <= 0 {
            return time;
        }
        let known = *self.times.entry(zxid).or_insert(time);
        let early = zxid > self.base && time < self.started - SLACK;
        if known != time {
            1
        } else if early || time > clock::wall_ms() + SLACK {
            2
        } else {
            0
        }
    }

    fn position(&self, id: i64) -> Option<i64> {
        let at = self.sessions.iter().position(|s| s.id == id)?;
        i64::try_from(at).ok()
    }

    /// The name of a session id; 0 stays 0, and a stranger keeps its number.
    pub(crate) fn session(&self, id: i64) -> i64 {
        match self.position(id) {
            _ if id == 0 => 0,
            None => id,
            Some(at) if self.exact_sessions => (id & (0xff << 56)) | (at + 1),
            Some(at) => at + 1,
        }
    }

    /// Learns a session from a greeting; gives its name and its password's: zeros stay zeros, and the rest
    /// says whether the password is the one this session always had.
    pub(crate) fn meet(&mut self, id: i64, passwd: &[u8]) -> (i64, Vec<u8>) {
        if id == 0 {
            return (0, passwd.to_vec());
        }
        if self.position(id).is_none() {
            self.sessions.push(Session { id, passwd: passwd.to_vec(), closed: false });
        }
        let kept = self.sessions.iter().any(|s| s.id == id && s.passwd == passwd);
        let lawful = !self.exact_sessions || passwd == password(id);
        let name = match (kept, lawful) {
            (true, true) => b"its password",
            (true, false) => b"odd password",
            (false, _) => b"new password",
        };
        (self.session(id), name.to_vec())
    }
}

/// The password of a session, as the reference computes it from the id.
fn password(id: i64) -> Vec<u8> {
    const MASK: i64 = (1 << 48) - 1;
    const FACTOR: i64 = 0x5_deec_e66d;
    let mut state = (id ^ 0xb341_5c00 ^ FACTOR) & MASK;
    let mut out = Vec::with_capacity(16);
    for _ in 0..4 {
        state = state.wrapping_mul(FACTOR).wrapping_add(0xb) & MASK;
        out.extend(state.to_le_bytes().iter().skip(2).take(4));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_the_reference_ones() {
        let hex = |id| password(id).iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(0x0100_0000_0000_0000), "f22acd4a97e69d6d20a49bb638eadb38");
        assert_eq!(hex(0x0200_0123_4567_0003), "38c39ad2dc7b5a75ace0bc1e52915f48");
    }

    #[test]
    fn a_transaction_has_one_time() {
        let mut names = Names::start(10, false, false);
        let now = clock::wall_ms();
        assert_eq!(names.time(11, now), 0);
        assert_eq!(names.time(11, now), 0);
        assert_ne!(names.time(11, now + 1), 0, "a second time for the same transaction");
        assert_ne!(names.time(12, now - 60_000), 0, "before the run");
        assert_ne!(names.time(13, now + 60_000), 0, "in the future");
        assert_eq!(names.time(0, 0), 0, "built-in nodes are from 1970");
    }

    #[test]
    fn zxids_keep_their_distance() {
        let names = Names::start(100, false, false);
        assert_eq!((names.zxid(101), names.zxid(0), names.zxid(-1)), (1, 0, -1));
        assert_ne!(names.zxid(99), names.zxid(100));
        let names = Names::start(100, true, false);
        assert_eq!(names.zxid(99), names.zxid(100));
    }
}
