//! Packets of the quorum port.
//!
//! Invariant: what a packet says is either understood or refused; only a type that nobody knows is kept as it is.

use super::{PeerError, Speaker};
use crate::auth::Identity;
use crate::replica::zab::{Forwarded, LearnerHello, Packet};
use crate::types::{Entry, Epoch, Millis, ServerId, SessionId, Zxid};
use bytes::Bytes;
use jute::codes::PacketType;
use jute::records::data::Id;
use jute::records::quorum::{LearnerInfo, QuorumPacket};
use jute::{Reader, Record, writer};

/// A zxid where there is none to name.
const NONE: Zxid = Zxid(-1);

/// What a learner speaks that did not say (`LearnerHandler.version`).
const UNSAID: i32 = 1;

/// Appends one packet.
pub fn write(packet: &Packet, out: &mut Vec<u8>) {
    use PacketType as T;
    match packet {
        Packet::Hello(hello) => {
            let kind = if hello.observer { T::ObserverInfo } else { T::FollowerInfo };
            head(out, kind, Zxid::new(hello.accepted, 0));
            let info = hello.server.map(|server| LearnerInfo {
                server_id: server.0,
                protocol_version: hello.protocol,
                config_version: hello.config_version,
            });
            match info {
                Some(info) => data(out, |out| info.write(out)),
                None => writer::buffer(out, None),
            }
        }
        Packet::LeaderInfo { epoch, protocol } => {
            head(out, T::LeaderInfo, Zxid::new(*epoch, 0));
            data(out, |out| writer::i32(out, *protocol));
        }
        Packet::AckEpoch { last, current } => {
            head(out, T::AckEpoch, *last);
            // Epochs travel as 32 bits.
            data(out, |out| writer::i32(out, current.map_or(-1, |epoch| epoch.0 as i32)));
        }
        Packet::Diff(zxid) => bare(out, T::Diff, *zxid),
        Packet::Trunc(zxid) => bare(out, T::Trunc, *zxid),
        Packet::Snap(zxid) => bare(out, T::Snap, *zxid),
        Packet::NewLeader { epoch, config } => {
            head(out, T::NewLeader, Zxid::new(*epoch, 0));
            data(out, |out| out.extend_from_slice(config));
        }
        Packet::UpToDate => bare(out, T::UpToDate, NONE),
        Packet::Proposal(entry) => {
            head(out, T::Proposal, entry.zxid);
            data(out, |out| out.extend_from_slice(&entry.payload));
        }
        Packet::Ack(zxid) => bare(out, T::Ack, *zxid),
        Packet::Commit(zxid) => bare(out, T::Commit, *zxid),
        Packet::CommitAndActivate(zxid, leader) => {
            head(out, T::CommitAndActivate, *zxid);
            data(out, |out| writer::i64(out, leader.0));
        }
        Packet::Inform(entry) => {
            head(out, T::Inform, entry.zxid);
            data(out, |out| out.extend_from_slice(&entry.payload));
        }
        Packet::InformAndActivate(entry, leader) => {
            head(out, T::InformAndActivate, entry.zxid);
            data(out, |out| {
                writer::i64(out, leader.0);
                out.extend_from_slice(&entry.payload)
            });
        }
        Packet::Ping(zxid) => bare(out, T::Ping, *zxid),
        Packet::Pong(zxid, heard) => {
            head(out, T::Ping, *zxid);
            // Never null: the reference's leader would end the connection.
            data(out, |out| {
                for (session, timeout) in heard {
                    writer::i64(out, session.0);
                    writer::i32(out, short(*timeout));
                }
            });
        }
        Packet::Request(request) => write_request(request, out),
        Packet::Revalidate(session, timeout) => {
            head(out, T::Revalidate, NONE);
            data(out, |out| {
                writer::i64(out, session.0);
                writer::i32(out, short(*timeout))
            });
        }
        Packet::Revalidated(session, alive) => {
            head(out, T::Revalidate, NONE);
            data(out, |out| {
                writer::i64(out, session.0);
                out.push(u8::from(*alive))
            });
        }
        Packet::Sync => bare(out, T::Sync, Zxid::ZERO),
        Packet::Unknown(kind) => {
            writer::i32(out, *kind);
            writer::i64(out, NONE.0);
            writer::buffer(out, None);
        }
    }
    if !matches!(packet, Packet::Request(_)) {
        writer::count(out, None);
    }
}

fn write_request(request: &Forwarded, out: &mut Vec<u8>) {
    head(out, PacketType::Request, NONE);
    data(out, |out| {
        writer::i64(out, request.session.0);
        writer::i32(out, request.cxid);
        writer::i32(out, request.op);
        out.extend_from_slice(&request.body)
    });
    writer::count(out, request.ids.as_ref().map(Vec::len));
    for id in request.ids.iter().flatten() {
        writer::text(out, Some(&id.scheme));
        writer::text(out, Some(&id.id));
    }
}

fn head(out: &mut Vec<u8>, kind: PacketType, zxid: Zxid) {
    writer::i32(out, kind.code());
    writer::i64(out, zxid.0);
}

/// The data, and its length in front.
fn data(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mark = writer::begin_frame(out);
    write(out);
    writer::end_frame(out, mark);
}

fn bare(out: &mut Vec<u8>, kind: PacketType, zxid: Zxid) {
    head(out, kind, zxid);
    writer::buffer(out, None);
}

/// Timeouts travel as 32 bits; negotiation keeps them there.
fn short(timeout: Millis) -> i32 {
    i32::try_from(timeout.0).unwrap_or(i32::MAX)
}

/// Reads the one packet that `bytes` are, as [`super::Extent`] found it.
pub fn read(bytes: &[u8], speaker: Speaker) -> Result<Packet, PeerError> {
    let mut r = Reader::new(bytes);
    let packet = QuorumPacket::read(&mut r).map_err(|e| PeerError::Record("packet", e))?;
    let zxid = Zxid(packet.zxid);
    let Some(kind) = PacketType::from_code(packet.kind) else { return Ok(Packet::Unknown(packet.kind)) };
    let bytes = packet.data;
    use PacketType as T;
    Ok(match kind {
        T::FollowerInfo | T::ObserverInfo => {
            Packet::Hello(introduction(kind == T::ObserverInfo, zxid, bytes)?)
        }
        T::LeaderInfo => {
            let protocol = fields("LEADERINFO", bytes, Reader::i32)?.0;
            Packet::LeaderInfo { epoch: zxid.epoch(), protocol }
        }
        T::AckEpoch => {
            let current = fields("ACKEPOCH", bytes, Reader::i32)?.0;
            Packet::AckEpoch { last: zxid, current: (current != -1).then(|| Epoch(i64::from(current))) }
        }
        T::Diff => Packet::Diff(zxid),
        T::Trunc => Packet::Trunc(zxid),
        T::Snap => Packet::Snap(zxid),
        T::NewLeader => Packet::NewLeader { epoch: zxid.epoch(), config: copy(bytes.unwrap_or_default()) },
        T::UpToDate => Packet::UpToDate,
        T::Proposal => Packet::Proposal(entry("PROPOSAL", zxid, bytes)?),
        T::Ack => Packet::Ack(zxid),
        T::Commit => Packet::Commit(zxid),
        T::CommitAndActivate => {
            let leader = fields("COMMITANDACTIVATE", bytes, Reader::i64)?.0;
            Packet::CommitAndActivate(zxid, ServerId(leader))
        }
        T::Inform => Packet::Inform(entry("INFORM", zxid, bytes)?),
        T::InformAndActivate => {
            let (leader, payload) = fields("INFORMANDACTIVATE", bytes, Reader::i64)?;
            Packet::InformAndActivate(Entry { zxid, payload: copy(payload) }, ServerId(leader))
        }
        T::Ping if speaker == Speaker::Leader => Packet::Ping(zxid),
        T::Ping => Packet::Pong(zxid, heard(bytes.unwrap_or_default())?),
        T::Request => {
            let ids = packet.authinfo.map(|ids| ids.into_iter().map(identity).collect());
            let ((session, cxid, op), body) =
                fields("REQUEST", bytes, |r| Ok((r.i64()?, r.i32()?, r.i32()?)))?;
            Packet::Request(Forwarded { session: SessionId(session), cxid, op, body: copy(body), ids })
        }
        T::Revalidate if speaker == Speaker::Leader => {
            let (session, alive) = fields("REVALIDATE", bytes, |r| Ok((r.i64()?, r.bool()?)))?.0;
            Packet::Revalidated(SessionId(session), alive)
        }
        T::Revalidate => {
            let (session, timeout) = fields("REVALIDATE", bytes, |r| Ok((r.i64()?, r.i32()?)))?.0;
            Packet::Revalidate(SessionId(session), Millis(i64::from(timeout)))
        }
        T::Sync => Packet::Sync,
    })
}

/// Small payloads are copied out of what was read, so that one of them kept does not keep all of it.
fn copy(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The fields at the front of the data, and what follows them.
fn fields<'a, T>(
    what: &'static str,
    data: Option<&'a [u8]>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, jute::DecodeError>,
) -> Result<(T, &'a [u8]), PeerError> {
    let mut r = Reader::new(data.ok_or(PeerError::Null(what))?);
    let value = read(&mut r).map_err(|e| PeerError::Record(what, e))?;
    Ok((value, r.rest()))
}

fn entry(what: &'static str, zxid: Zxid, data: Option<&[u8]>) -> Result<Entry, PeerError> {
    Ok(Entry { zxid, payload: copy(data.ok_or(PeerError::Null(what))?) })
}

fn identity(id: Id<'_>) -> Identity {
    Identity::new(id.scheme.as_deref().unwrap_or_default(), id.id.as_deref().unwrap_or_default())
}

/// As much as a learner said of itself: 8 bytes, 12, or 20 and more (`LearnerHandler.run`).
fn introduction(observer: bool, zxid: Zxid, data: Option<&[u8]>) -> Result<LearnerHello, PeerError> {
    let mut r = Reader::new(data.unwrap_or_default());
    let server = r.i64().ok().map(ServerId);
    if data.is_some() && server.is_none() {
        return Err(PeerError::Hello("less than a server id"));
    }
    let protocol = r.i32().unwrap_or(UNSAID);
    let config_version = r.i64().unwrap_or(0);
    Ok(LearnerHello { observer, accepted: zxid.epoch(), server, protocol, config_version })
}

fn heard(data: &[u8]) -> Result<Vec<(SessionId, Millis)>, PeerError> {
    let mut r = Reader::new(data);
    let mut heard = Vec::with_capacity(data.len() / 12);
    while r.remaining() > 0 {
        let row = r.i64().and_then(|session| Ok((session, r.i32()?)));
        let (session, timeout) = row.map_err(|e| PeerError::Record("PING", e))?;
        heard.push((SessionId(session), Millis(i64::from(timeout))));
    }
    Ok(heard)
}
