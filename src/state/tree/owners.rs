//! Which nodes hang on something: ephemerals by session, containers, nodes with a time to live.

use super::NodeId;
use crate::state::{Map, Set};
use crate::types::{Owner, SessionId};

/// The nodes with an owner.
#[derive(Debug)]
pub struct Owners {
    extended_types: bool,
    ephemerals: Map<SessionId, Set<NodeId>>,
    ephemeral_count: usize,
    containers: Set<NodeId>,
    ttls: Set<NodeId>,
}

impl Owners {
    /// None yet.
    #[must_use]
    pub fn new(extended_types: bool) -> Self {
        Self {
            extended_types,
            ephemerals: Map::default(),
            ephemeral_count: 0,
            containers: Set::default(),
            ttls: Set::default(),
        }
    }

    /// What a packed owner means here.
    #[must_use]
    pub fn unpack(&self, packed: i64) -> Owner {
        Owner::unpack(packed, self.extended_types)
    }

    /// Notes a new node.
    pub fn add(&mut self, id: NodeId, packed: i64) {
        match self.unpack(packed) {
            Owner::Persistent => {}
            Owner::Ephemeral(session) => {
                let new = self.ephemerals.entry(session).or_default().insert(id);
                self.ephemeral_count += usize::from(new);
            }
            Owner::Container => _ = self.containers.insert(id),
            Owner::Ttl(_) => _ = self.ttls.insert(id),
        }
    }

    /// Forgets a node.
    pub fn remove(&mut self, id: NodeId, packed: i64) {
        match self.unpack(packed) {
            Owner::Persistent => {}
            Owner::Ephemeral(session) => {
                let Some(nodes) = self.ephemerals.get_mut(&session) else { return };
                self.ephemeral_count -= usize::from(nodes.remove(&id));
                if nodes.is_empty() {
                    self.ephemerals.remove(&session);
                }
            }
            Owner::Container => _ = self.containers.remove(&id),
            Owner::Ttl(_) => _ = self.ttls.remove(&id),
        }
    }

    /// A session's ephemerals, in the order of their ids.
    #[must_use]
    pub fn of(&self, session: SessionId) -> Vec<NodeId> {
        let mut ids: Vec<NodeId> = self.ephemerals.get(&session).into_iter().flatten().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Sessions that have ephemerals, in order.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionId> {
        let mut sessions: Vec<SessionId> = self.ephemerals.keys().copied().collect();
        sessions.sort_unstable();
        sessions
    }

    /// Ephemerals of all sessions.
    #[must_use]
    pub fn ephemeral_count(&self) -> usize {
        self.ephemeral_count
    }

    /// The containers.
    pub fn containers(&self) -> impl Iterator<Item = NodeId> {
        self.containers.iter().copied()
    }

    /// The nodes with a time to live.
    pub fn ttls(&self) -> impl Iterator<Item = NodeId> {
        self.ttls.iter().copied()
    }
}
