//! How a learner is brought to its leader's history (`LearnerHandler.syncFollower`): one table over what the leader
//! remembers, what the learner has, and what the leader's disk holds.
//!
//! Nothing is sent here. Invariant: whatever is decided, the learner ends up with exactly the leader's committed
//! history; where a gap cannot be excluded, that is a snapshot.

use crate::replica::io::HistoryPlan;
use crate::replica::zab::Ledger;
use crate::types::Zxid;

/// What a learner is sent first, and from where on transactions follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::replica::zab) enum Way {
    /// DIFF, and all that is remembered behind this.
    Diff(Zxid),
    /// TRUNC to here, and all that is remembered behind it.
    Trunc(Zxid),
    /// DIFF, the log on disk from the first to the second of these, and all that is remembered behind that.
    Disk {
        /// The last one the learner has.
        after: Zxid,
        /// The last one that comes from the disk.
        until: Zxid,
    },
    /// SNAP, and all that is remembered behind what the tree shows.
    Snap,
    /// Only the disk can tell.
    AskDisk,
}

/// `epoch:0` names no transaction: its bearer took a snapshot of that epoch's beginning, or is empty.
fn is_beginning(zxid: Zxid) -> bool {
    zxid.counter() == 0
}

/// Decides over what is in memory.
pub(in crate::replica::zab) fn decide(
    ledger: &Ledger,
    peer: Zxid,
    force_snapshot: bool,
    from_disk: bool,
) -> Way {
    let last = ledger.committed();
    if force_snapshot || peer < Zxid::ZERO {
        return Way::Snap;
    }
    if peer > last {
        // A cut at nothing would leave the learner without a tree to begin with; and the reference finds no place in its
        // log for one that no log holds.
        let cut = !is_beginning(peer) && !is_beginning(last);
        return if cut { Way::Trunc(last) } else { Way::Snap };
    }
    if ledger.since(peer).is_some() {
        return Way::Diff(peer);
    }
    let Some(before) = ledger.floor(peer) else {
        return if from_disk { Way::AskDisk } else { Way::Snap };
    };
    if is_beginning(peer) {
        return Way::Diff(before);
    }
    // It has something of an epoch that went on differently here. Nothing is cut across epochs; inside of one there
    // is no such place, as no epoch has a gap here.
    Way::Snap
}

/// Decides once the disk has answered. A learner whose last transaction is not in the log has something of an epoch
/// that went on differently here: that is no case for the log.
pub(in crate::replica::zab) fn decide_with_disk(
    ledger: &Ledger,
    peer: Zxid,
    plan: Option<HistoryPlan>,
) -> Way {
    let Some(HistoryPlan { at, until }) = plan else { return Way::Snap };
    let shares = at == peer || (at < peer && is_beginning(peer));
    if !shares {
        return Way::Snap;
    }
    // The log also holds what is not committed yet.
    let reach = until.min(ledger.committed());
    let first = ledger.recent().front().map(|e| e.zxid).filter(|first| *first <= reach);
    let until = first.unwrap_or(reach);
    if until < peer || ledger.since(until).is_none() {
        return Way::Snap;
    }
    Way::Disk { after: peer, until }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Effects;
    use crate::types::{Entry, Epoch};

    fn z(epoch: i64, counter: u32) -> Zxid {
        Zxid::new(Epoch(epoch), counter)
    }

    /// A leader that started at `last` and has committed these since, and has `tail` outstanding.
    fn ledger(last: Zxid, committed: &[Zxid], tail: &[Zxid]) -> Ledger {
        let mut ledger = Ledger::new(last, [], 500);
        let mut out = Effects::new();
        for zxid in committed.iter().chain(tail) {
            ledger.append(Entry { zxid: *zxid, payload: bytes::Bytes::new() }, &mut out);
            if committed.contains(zxid) {
                ledger.commit(None, &mut out);
            }
        }
        ledger
    }

    fn recovered(zxids: &[Zxid]) -> Ledger {
        let entries = zxids.iter().map(|zxid| Entry { zxid: *zxid, payload: bytes::Bytes::new() });
        Ledger::new(*zxids.last().unwrap(), entries, 500)
    }

    #[test]
    fn every_row_of_the_table() {
        let empty = ledger(Zxid::ZERO, &[], &[]);
        // Right behind a snapshot: nothing is remembered.
        let bare = ledger(z(2, 5), &[], &[]);
        let begun = ledger(z(2, 0), &[], &[]);
        // 1:8 is the last of the first epoch; the second began.
        let two = ledger(z(1, 6), &[z(1, 7), z(1, 8), z(2, 1), z(2, 2)], &[z(2, 3)]);
        let far = recovered(&[z(1, 7), z(1, 8), z(3, 1), z(3, 2)]);
        for (ledger, peer, want, why) in [
            (&empty, z(0, 0), Way::Diff(z(0, 0)), "both are empty"),
            (&empty, z(1, 3), Way::Snap, "nothing to cut at"),
            (&empty, Zxid(-1), Way::Snap, "it may have lost what it had"),
            (&bare, z(2, 5), Way::Diff(z(2, 5)), "the same"),
            (&bare, z(2, 7), Way::Trunc(z(2, 5)), "an old leader's own proposals"),
            (&bare, z(3, 1), Way::Trunc(z(2, 5)), "the same of a later epoch"),
            (&begun, z(2, 1), Way::Snap, "no log holds the place to cut at"),
            (&bare, z(3, 0), Way::Snap, "the beginning of an epoch that is unknown here"),
            (&bare, z(2, 4), Way::AskDisk, "older than what is remembered"),
            (&bare, z(0, 0), Way::AskDisk, "empty"),
            (&two, z(2, 2), Way::Diff(z(2, 2)), "the same"),
            (&two, z(2, 3), Way::Trunc(z(2, 2)), "a proposal that is not committed"),
            (&two, z(1, 7), Way::Diff(z(1, 7)), "across epochs"),
            (&two, z(1, 6), Way::Diff(z(1, 6)), "right before what is remembered"),
            (&two, z(2, 0), Way::Diff(z(1, 8)), "the beginning of an epoch"),
            (&two, z(1, 9), Way::Snap, "no cut across epochs"),
            (&two, z(1, 5), Way::AskDisk, "older"),
            (&far, z(2, 1), Way::Snap, "of an epoch that left nothing here"),
            (&far, z(2, 0), Way::Diff(z(1, 8)), "an epoch without transactions"),
            (&far, z(1, 6), Way::Diff(z(1, 6)), "right before what is remembered"),
        ] {
            assert_eq!(decide(ledger, peer, false, true), want, "{why}: {peer}");
            assert_eq!(decide(ledger, peer, true, true), Way::Snap, "forced");
            let memory_only = if want == Way::AskDisk { Way::Snap } else { want };
            assert_eq!(decide(ledger, peer, false, false), memory_only, "{why}, without the disk");
        }
    }

    #[test]
    fn a_list_with_a_hole_leads_nobody_past_it() {
        // As 3.9.3 could make one.
        let hole = recovered(&[z(1, 4), z(1, 6), z(1, 7)]);
        assert_eq!(decide(&hole, z(1, 4), false, false), Way::Snap);
        assert_eq!(decide(&hole, z(1, 5), false, false), Way::Diff(z(1, 5)));
        // An epoch whose first transactions came with a snapshot.
        let odd = recovered(&[z(1, 8), z(2, 5), z(2, 6)]);
        assert_eq!(decide(&odd, z(1, 8), false, false), Way::Snap);
        assert_eq!(decide(&odd, z(2, 3), false, false), Way::Snap);
        assert_eq!(decide(&odd, z(2, 5), false, false), Way::Diff(z(2, 5)));
    }

    #[test]
    fn the_disk_is_used_only_where_it_meets_the_memory() {
        let two = ledger(z(1, 6), &[z(1, 7), z(2, 1)], &[z(2, 2)]);
        let plan = |at, until| Some(HistoryPlan { at, until });
        for (peer, answer, want, why) in [
            (z(1, 2), None, Way::Snap, "the disk cannot help"),
            (
                z(1, 2),
                plan(z(1, 2), z(1, 9)),
                Way::Disk { after: z(1, 2), until: z(1, 7) },
                "up to the first",
            ),
            (z(1, 2), plan(z(1, 2), z(2, 2)), Way::Disk { after: z(1, 2), until: z(1, 7) }, "it holds all"),
            (z(1, 2), plan(z(1, 2), z(1, 6)), Way::Disk { after: z(1, 2), until: z(1, 6) }, "just met"),
            (z(1, 2), plan(z(1, 2), z(1, 5)), Way::Snap, "a gap"),
            (z(1, 3), plan(z(1, 2), z(2, 1)), Way::Snap, "the learner has what the log has not"),
            (z(0, 0), plan(z(0, 0), z(1, 7)), Way::Disk { after: z(0, 0), until: z(1, 7) }, "all of it"),
            (
                z(1, 0),
                plan(z(0, 5), z(1, 7)),
                Way::Disk { after: z(1, 0), until: z(1, 7) },
                "an epoch's beginning",
            ),
        ] {
            assert_eq!(decide_with_disk(&two, peer, answer), want, "{why}: {peer}");
        }
        let bare = ledger(z(2, 5), &[], &[]);
        let whole = Way::Disk { after: z(1, 2), until: z(2, 5) };
        assert_eq!(decide_with_disk(&bare, z(1, 2), plan(z(1, 2), z(2, 5))), whole);
        assert_eq!(decide_with_disk(&bare, z(1, 2), plan(z(1, 2), z(2, 4))), Way::Snap);
    }
}
