//! Memberships that are proposed or come into force, in any role; and what a reconfig request asks for.
//!
//! It orders nothing: the leader makes a transaction of what is answered here. Invariant: where reconfiguration is
//! switched off nothing here changes anything; a membership in force is only ever replaced by a newer one.

#[cfg(test)]
mod tests;

use crate::config::ensemble::{self, HostPort, Member, Membership};
use crate::replica::io::{ConfigEffect, Effect};
use crate::replica::zab::member::{Ctx, Flow};
use crate::replica::zab::packet::Vote;
use crate::replica::zab::view::Views;
use crate::state::TreeView;
use crate::types::{ServerId, Zxid};
use jute::ErrorCode;
use std::net::IpAddr;
use std::sync::Arc;

/// A leader says that this is the newest membership it knows (QuorumPeer.setLastSeenQuorumVerifier). From here on
/// quorums have to be quorums of it, too. Where it is older than what is known here, that was never agreed and is
/// forgotten.
pub fn propose<T: TreeView>(ctx: &mut Ctx<'_, T>, membership: Arc<Membership>) {
    if ctx.me.settings.reconfig_enabled && ctx.me.views.propose(membership.clone()) {
        ctx.emit(Effect::Config(ConfigEffect::Propose(membership)));
    }
}

/// A membership is in force (QuorumPeer.processReconfig): by a transaction at `zxid` with the leader it designates,
/// or learned without either.
///
/// The role goes on after [`Flow::Stay`]. [`Flow::Follow`] says that this server's role or its leader has changed and
/// who leads now, so that no election is needed; [`Flow::Leave`] that one is. A leader that is not designated must
/// first let the packets of the commit leave.
pub fn commit<T: TreeView>(
    ctx: &mut Ctx<'_, T>,
    membership: Arc<Membership>,
    designated: Option<ServerId>,
    zxid: Zxid,
) -> Flow {
    if !ctx.me.settings.reconfig_enabled {
        return Flow::Stay;
    }
    let (before, role) = (ctx.me.views.committed.clone(), ctx.me.role());
    if ctx.me.views.commit(membership.clone()) {
        ctx.emit(Effect::Config(ConfigEffect::Commit(membership)));
    }
    // The text of a first membership stands in no transaction, and a tree from a snapshot may lack it.
    let now = ctx.me.views.committed.clone();
    ctx.emit(Effect::ShowConfig(now.membership().clone()));
    if same_members(before.membership(), now.membership()) {
        return Flow::Stay;
    }
    let role_changed = ctx.me.role() != role;
    let leader = ctx.me.vote.leader;
    match designated {
        Some(designated) if designated != leader => {
            ctx.info(format!("membership {:x} is led by server {}", now.version(), designated.0));
            Flow::Follow(Vote { leader: designated, zxid, epoch: ctx.me.current })
        }
        Some(_) if role_changed => Flow::Follow(ctx.me.vote),
        Some(_) => Flow::Stay,
        None => {
            let place = |m: &Membership| m.members.get(&leader.0).map(places);
            let moved = !now.is_voter(leader)
                || !before.is_voter(leader)
                || place(before.membership()) != place(now.membership());
            if role_changed || moved {
                Flow::Leave(format!("membership {:x} changes the role or the leader", now.version()))
            } else {
                Flow::Stay
            }
        }
    }
}

/// Where others reach a server's quorum port.
fn places(member: &Member) -> Vec<(String, u16)> {
    member.addresses.iter().map(|a| (a.host.clone(), a.quorum_port)).collect()
}

/// Would it be the same leader at the same place: is the server a voter in both, reached under the same quorum
/// addresses (Leader.getDesignatedLeader)?
#[must_use]
pub fn may_stay_leader(leader: ServerId, before: &Membership, after: &Membership) -> bool {
    let of = |m: &Membership| m.members.get(&leader.0).map(places);
    after.voters().any(|id| id == leader.0) && of(before) == of(after)
}

/// Do both name the same members in the same way? The versions aside, unless they are equal (QuorumMaj.equals).
#[must_use]
pub fn same_members(a: &Membership, b: &Membership) -> bool {
    a.version == b.version
        || (a.members == b.members
            && a.hierarchical == b.hierarchical
            && a.groups == b.groups
            && a.weights == b.weights)
}

/// What a reconfig request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change<'a> {
    /// `server.N=…` entries, joined by commas.
    pub joining: Option<&'a str>,
    /// Ids, joined by commas.
    pub leaving: Option<&'a str>,
    /// The whole new list, by commas or newlines.
    pub members: Option<&'a str>,
    /// The version that it is based on, or -1.
    pub base: i64,
}

/// The membership a request leads to, with the zxid of its transaction as version; or the error the reference
/// answers, in the reference's order of checks (PrepRequestProcessor.pRequest2Txn). What comes behind is the leader's:
/// a quorum of it must be in sync ([`ErrorCode::NewConfigNoQuorum`]), then permission on `/zookeeper/config`. What
/// came before is its, too: whether reconfiguration is enabled, and the session.
///
/// # Errors
/// The code for the answer.
pub fn reshape(
    views: &Views,
    change: &Change<'_>,
    zxid: Zxid,
    min_voters: usize,
    multi_address: bool,
) -> Result<Membership, ErrorCode> {
    if views.proposed.is_some() {
        return Err(ErrorCode::ReconfigInProgress);
    }
    if change.base != -1 && change.base != views.committed.version() {
        return Err(ErrorCode::BadVersion);
    }
    let mut next = match change.members {
        Some(list) => whole(list, min_voters, multi_address)?,
        None => step(views.committed.membership(), change, multi_address)?,
    };
    next.version = zxid.0;
    if next.voters().count() < min_voters.max(1) {
        return Err(ErrorCode::BadArguments);
    }
    Ok(next)
}

/// A complete list.
fn whole(list: &str, min_voters: usize, multi_address: bool) -> Result<Membership, ErrorCode> {
    let text = list.replace(',', "\n");
    let next = Membership::from_text(text.as_bytes(), multi_address)
        .map_err(|e| refusal(e.exit_code(), &e.message))?;
    // What the start of a server refuses escapes the reference as an exception it does not expect.
    ensemble::decide(&next, min_voters > 1).map_err(|_| ErrorCode::MarshallingError)?;
    Ok(next)
}

/// Those that leave, then those that join.
fn step(now: &Membership, change: &Change<'_>, multi_address: bool) -> Result<Membership, ErrorCode> {
    if now.hierarchical {
        return Err(ErrorCode::BadArguments);
    }
    let mut next = now.clone();
    for id in pieces(change.leaving, ',') {
        next.members.remove(&number(id)?);
    }
    for entry in pieces(change.joining, ',') {
        let (Some(key), Some(line), None) = split_entry(entry) else { return Err(ErrorCode::BadArguments) };
        let id = number(key.rsplit_once('.').map_or(key, |(_, id)| id))?;
        let joiner = Member::read(id, line, multi_address).map_err(|e| refusal(e.exit_code(), &e.message))?;
        if joiner.client.is_none() {
            return Err(ErrorCode::BadArguments);
        }
        if next.members.values().any(|m| m.id != id && collide(&joiner, m)) {
            return Err(ErrorCode::BadArguments);
        }
        next.members.insert(id, joiner);
    }
    Ok(next)
}

/// The first three pieces around `=`; the third must not be there.
fn split_entry(entry: &str) -> (Option<&str>, Option<&str>, Option<&str>) {
    let mut parts = pieces(Some(entry), '=');
    (parts.next(), parts.next(), parts.next())
}

/// The pieces that are not blank, without blanks around them.
fn pieces(text: Option<&str>, separator: char) -> impl Iterator<Item = &str> {
    text.into_iter().flat_map(move |t| t.split(separator)).map(str::trim).filter(|p| !p.is_empty())
}

/// What is no number escapes the reference as an exception that it does not expect here.
fn number(text: &str) -> Result<i64, ErrorCode> {
    text.parse().map_err(|_| ErrorCode::MarshallingError)
}

/// Faults of the request, as the reference sees them, and those it stumbles over: numbers that are none, and what
/// would end its start with code 1.
fn refusal(exit_code: u8, message: &str) -> ErrorCode {
    if exit_code == 1 || message.starts_with("For input string") {
        ErrorCode::MarshallingError
    } else {
        ErrorCode::BadArguments
    }
}

/// Do two servers claim the same address (QuorumServer.checkAddressDuplicate)? Addresses that mean something else on
/// every machine are left out. The reference compares what names resolve to, this compares the names.
fn collide(a: &Member, b: &Member) -> bool {
    let taken: Vec<(&str, u16)> = claims(b).collect();
    claims(a).any(|claim| taken.contains(&claim))
}

fn claims(member: &Member) -> impl Iterator<Item = (&str, u16)> {
    let quorum = member.addresses.iter().flat_map(|a| {
        let host = a.host.as_str();
        [(host, a.quorum_port), (host, a.election_port)]
    });
    let client = member.client.iter().map(|HostPort { host, port }| (host.as_str(), *port));
    quorum.chain(client).filter(|(host, _)| {
        let special = |ip: IpAddr| ip.is_unspecified() || ip.is_loopback();
        *host != "localhost" && !host.parse::<IpAddr>().is_ok_and(special)
    })
}
