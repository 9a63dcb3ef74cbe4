//! Notifications of the election port, framed.
//!
//! Invariant: a notification that is malformed is one that never came (`FastLeaderElection.Messenger`); only a frame
//! without a sane length ends its connection.

use super::PeerError;
use crate::replica::zab::{Notification, PeerState, Vote};
use crate::types::{Epoch, ServerId, Zxid};
use bytes::Bytes;
use jute::{Reader, writer};

/// The longest frame on the election port (`QuorumCnxManager.PACKETMAXSIZE`).
pub const LONGEST: usize = 512 * 1024;

/// Without the epoch of the leader, as before 3.3.
const WITHOUT_EPOCH: usize = 28;

/// Without a configuration, as 3.4 sends it. Its version is not read.
const WITHOUT_CONFIG: usize = 40;

/// Appends one notification with its length in front.
pub fn write(notification: &Notification, out: &mut Vec<u8>) {
    let Notification { state, vote, round, version, config } = notification;
    let mark = writer::begin_frame(out);
    writer::i32(
        out,
        match state {
            PeerState::Looking => 0,
            PeerState::Following => 1,
            PeerState::Leading => 2,
            PeerState::Observing => 3,
        },
    );
    writer::i64(out, vote.leader.0);
    writer::i64(out, vote.zxid.0);
    writer::i64(out, *round);
    writer::i64(out, vote.epoch.0);
    writer::i32(out, *version);
    writer::buffer(out, Some(config));
    writer::end_frame(out, mark);
}

/// How long the frame is that these four bytes announce.
pub fn length(prefix: [u8; 4]) -> Result<usize, PeerError> {
    let length = i32::from_be_bytes(prefix);
    match usize::try_from(length) {
        Ok(n) if (1..=LONGEST).contains(&n) => Ok(n),
        _ => Err(PeerError::Length { what: "notification", length: i64::from(length), most: LONGEST }),
    }
}

/// Reads what stood in a frame. `None`: it is skipped.
#[must_use]
pub fn read(frame: &[u8]) -> Option<Notification> {
    let mut r = Reader::new(frame);
    let state = match r.i32().ok()? {
        0 => PeerState::Looking,
        1 => PeerState::Following,
        2 => PeerState::Leading,
        3 => PeerState::Observing,
        _ => return None,
    };
    let leader = ServerId(r.i64().ok()?);
    let zxid = Zxid(r.i64().ok()?);
    let round = r.i64().ok()?;
    let epoch = if frame.len() == WITHOUT_EPOCH { zxid.epoch() } else { Epoch(r.i64().ok()?) };
    let version = if matches!(frame.len(), WITHOUT_EPOCH | WITHOUT_CONFIG) { 0 } else { r.i32().ok()? };
    let config = if version > 1 { r.buffer().ok()?? } else { &[] };
    let vote = Vote { leader, zxid, epoch };
    Some(Notification { state, vote, round, version, config: Bytes::copy_from_slice(config) })
}
