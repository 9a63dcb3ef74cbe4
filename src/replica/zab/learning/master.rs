//! A follower in the leader's place for observers (`ObserverMaster`): brings them up to what is committed here, tells
//! them of every commit, and passes on what they ask.
//!
//! It decides nothing: requests go to the leader as they came, and an observer finds its own among the commits.
//! Invariant: an observer gets every transaction committed here behind what it was brought up to, once and in order;
//! nothing that is not committed ever goes to one.

use super::clients::Clients;
use crate::replica::LearnerStatus;
use crate::replica::io::{Effect, HistoryPlan, LinkInput, Stream};
use crate::replica::zab::leading::decision::{Way, decide, decide_with_disk};
use crate::replica::zab::member::Ctx;
use crate::replica::zab::{LearnerHello, PROTOCOL, Packet};
use crate::state::TreeView;
use crate::types::{Entry, LinkId, Millis, ServerId, Zxid};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Syncs and revalidations of one observer that may wait for the leader: more than the gates of its clients let be in
/// the works, so whoever passes it is no observer.
const WAITING: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    /// It has said nothing yet.
    Silent,
    /// It was told the epoch.
    Asked,
    /// The disk is asked for its way.
    Asking,
    /// It is being brought up to what is committed here, by a snapshot or not. NEWLEADER has to wait until all of
    /// the tree was read, so that what it makes the observer store is whole.
    Syncing { snapshot: bool },
    /// It serves.
    Serving,
}

impl At {
    /// Does it get what is committed from now on?
    fn forwards(self) -> bool {
        matches!(self, Self::Syncing { .. } | Self::Serving)
    }
}

#[derive(Debug)]
struct Observer {
    server: Option<ServerId>,
    at: At,
    /// Its last transaction, as it said.
    last: Zxid,
    /// Syncs and revalidations of it that wait for the leader.
    waiting: usize,
}

/// The observers of a follower. Their number is bounded by whoever accepts connections.
#[derive(Debug)]
pub(super) struct Master {
    observers: BTreeMap<LinkId, Observer>,
    /// The last transaction that observers were told of.
    informed: Zxid,
    next_ping: Millis,
}

impl Master {
    pub(super) fn new<T: TreeView>(ctx: &Ctx<'_, T>) -> Self {
        Self { observers: BTreeMap::new(), informed: Zxid::ZERO, next_ping: ctx.after(half_tick(ctx)) }
    }

    pub(super) fn accept<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId) {
        let observer = Observer { server: None, at: At::Silent, last: Zxid::ZERO, waiting: 0 };
        self.observers.insert(link, observer);
        let patience = ctx.me.ticks(ctx.me.ensemble.init_limit);
        ctx.emit(Effect::Patience(link, patience));
    }

    fn refuse<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, why: &str) {
        self.observers.remove(&link);
        ctx.warn(format!("an observer is let go: {why}"));
        ctx.emit(Effect::Close(link));
    }

    /// Something about one of them; `clients` keeps what waits for the leader.
    pub(super) fn link<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        clients: &mut Clients,
        link: LinkId,
        what: LinkInput,
    ) {
        let Some(observer) = self.observers.get_mut(&link) else { return };
        let packet = match what {
            LinkInput::Packet(packet) => packet,
            LinkInput::Lost => {
                self.observers.remove(&link);
                return;
            }
            LinkInput::Streamed => {
                if observer.at == (At::Syncing { snapshot: true }) {
                    Self::new_leader(ctx, link);
                }
                return;
            }
            LinkInput::Accepted | LinkInput::AcceptedObserver | LinkInput::Connected => return,
        };
        match (observer.at, packet) {
            (At::Silent, Packet::Hello(hello)) => self.hello(ctx, link, &hello),
            (At::Asked, Packet::AckEpoch { last, .. }) => {
                observer.last = last;
                self.synchronize(ctx, link);
            }
            (At::Syncing { .. }, Packet::Ack(zxid)) if zxid.counter() == 0 => {
                observer.at = At::Serving;
                let patience = ctx.me.ticks(ctx.me.ensemble.sync_limit);
                ctx.emit(Effect::Patience(link, patience));
                ctx.emit(Effect::Send(link, Packet::UpToDate));
            }
            (At::Serving, Packet::Ack(zxid)) if zxid.counter() == 0 => {}
            (At::Serving, packet @ (Packet::Request(_) | Packet::Revalidate(..))) => {
                if observer.waiting >= WAITING {
                    return self.refuse(ctx, link, "too much of what it asked waits for the leader");
                }
                observer.waiting += usize::from(clients.relay(ctx, link, packet));
            }
            (At::Serving, Packet::Pong(_, heard)) => clients.touch_elsewhere(&heard),
            (_, Packet::Unknown(kind)) => ctx.warn(format!("unknown packet {kind} from an observer")),
            (_, packet) => {
                let why = format!("{} where it is not expected", packet.name());
                self.refuse(ctx, link, &why);
            }
        }
    }

    fn hello<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, hello: &LearnerHello) {
        let refusal = if !hello.observer {
            Some("it wants to follow, which only the leader allows")
        } else if hello.protocol < PROTOCOL {
            Some("it speaks the protocol of releases before 3.4")
        } else if hello.server == Some(ctx.me.id) {
            Some("it calls itself as this server is called")
        } else if hello.config_version > ctx.me.views.committed.version() {
            Some("it knows a later membership")
        } else {
            None
        };
        if let Some(why) = refusal {
            return self.refuse(ctx, link, why);
        }
        // Whoever connects anew has given up the old connection, whether or not that is known here.
        if let Some(server) = hello.server {
            for old in self.observers.extract_if(.., |_, o| o.server == Some(server)) {
                ctx.emit(Effect::Close(old.0));
            }
        }
        if let Some(observer) = self.observers.get_mut(&link) {
            (observer.server, observer.at) = (hello.server, At::Asked);
            // Not promised but adopted: nothing has to be waited for.
            let epoch = ctx.me.current;
            ctx.emit(Effect::Send(link, Packet::LeaderInfo { epoch, protocol: PROTOCOL }));
        }
    }

    fn synchronize<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId) {
        let Some(observer) = self.observers.get_mut(&link) else { return };
        let ensemble = &ctx.me.ensemble;
        let way = decide(&ctx.me.ledger, observer.last, ensemble.force_snapshot_sync, ensemble.log_sync);
        if way == Way::AskDisk {
            observer.at = At::Asking;
            ctx.emit(Effect::AskHistory(link, observer.last));
        } else {
            self.bring(ctx, link, way);
        }
    }

    /// The disk has answered.
    pub(super) fn history<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        link: LinkId,
        plan: Option<HistoryPlan>,
    ) {
        if let Some(observer) = self.observers.get(&link).filter(|o| o.at == At::Asking) {
            let way = decide_with_disk(&ctx.me.ledger, observer.last, plan);
            self.bring(ctx, link, way);
        }
    }

    fn bring<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, way: Way) {
        let snap = ctx.tree.last_zxid();
        let (snapshot, from) = match way {
            Way::Diff(after) => (false, after),
            Way::Trunc(to) => (false, to),
            Way::Disk { until, .. } => (false, until),
            Way::Snap | Way::AskDisk => (true, snap),
        };
        let at = At::Syncing { snapshot };
        let ensemble = &ctx.me.ensemble;
        let limit = if snapshot { ensemble.concurrent_snap_syncs } else { ensemble.concurrent_diff_syncs };
        if self.observers.values().filter(|o| o.at == at).count() >= limit {
            return self.refuse(ctx, link, "as many as are allowed are being synchronized; it may try again");
        }
        let rest: Option<Vec<Entry>> = ctx.me.ledger.since(from).map(|rest| rest.cloned().collect());
        let Some(rest) = rest else {
            return self.refuse(ctx, link, "what follows its history is not remembered; it may try again");
        };
        let Some(observer) = self.observers.get_mut(&link) else { return };
        observer.at = at;
        let committed = ctx.me.ledger.committed();
        let (first, stream) = match way {
            Way::Diff(_) => (Packet::Diff(committed), None),
            Way::Trunc(to) => (Packet::Trunc(to), None),
            Way::Disk { after, until } => (Packet::Diff(committed), Some(Stream::History { after, until })),
            Way::Snap | Way::AskDisk => (Packet::Snap(snap), Some(Stream::Snapshot)),
        };
        let last = observer.last;
        ctx.info(format!("an observer is at {last} and gets {} to {committed}", first.name()));
        ctx.emit(Effect::Send(link, first));
        ctx.out.extend(stream.map(|stream| Effect::Stream(link, stream)));
        for entry in rest {
            let zxid = entry.zxid;
            ctx.emit(Effect::Send(link, Packet::Proposal(entry)));
            ctx.emit(Effect::Send(link, Packet::Commit(zxid)));
        }
        if !snapshot {
            Self::new_leader(ctx, link);
        }
    }

    fn new_leader<T: TreeView>(ctx: &mut Ctx<'_, T>, link: LinkId) {
        let config = Bytes::from(ctx.me.views.newest().membership().text());
        ctx.emit(Effect::Send(link, Packet::NewLeader { epoch: ctx.me.current, config }));
    }

    /// A transaction was committed here.
    pub(super) fn committed<T: TreeView>(
        &mut self,
        ctx: &mut Ctx<'_, T>,
        entry: &Entry,
        activates: Option<ServerId>,
    ) {
        for (link, _) in self.observers.iter().filter(|(_, o)| o.at.forwards()) {
            self.informed = entry.zxid;
            let packet = match activates {
                Some(leader) => Packet::InformAndActivate(entry.clone(), leader),
                None => Packet::Inform(entry.clone()),
            };
            ctx.emit(Effect::Send(*link, packet));
        }
    }

    /// The leader has answered something that an observer waited for.
    pub(super) fn answer<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>, link: LinkId, packet: Packet) {
        if let Some(observer) = self.observers.get_mut(&link) {
            observer.waiting = observer.waiting.saturating_sub(1);
            ctx.emit(Effect::Send(link, packet));
        }
    }

    /// Pings every half tick (`ObserverMaster.run`).
    pub(super) fn tick<T: TreeView>(&mut self, ctx: &mut Ctx<'_, T>) {
        if ctx.now.mono < self.next_ping {
            return;
        }
        self.next_ping = ctx.after(half_tick(ctx));
        for (link, _) in self.observers.iter().filter(|(_, o)| o.at.forwards()) {
            ctx.emit(Effect::Send(*link, Packet::Ping(self.informed)));
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        (!self.observers.is_empty()).then_some(self.next_ping)
    }

    pub(super) fn learners(&self) -> Vec<LearnerStatus> {
        let known = self.observers.values().filter_map(|o| Some((o.server?, o.at == At::Serving)));
        known.map(|(server, synced)| LearnerStatus { server, observer: true, voter: false, synced }).collect()
    }
}

fn half_tick<T: TreeView>(ctx: &Ctx<'_, T>) -> Millis {
    Millis((ctx.me.settings.tick.0 / 2).max(1))
}
