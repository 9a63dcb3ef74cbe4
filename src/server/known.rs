//! Memberships as this server knows them, and where the others are by them: addresses to dial, doors to open.
//!
//! It keeps what it is told and opens nothing.

use crate::config::ensemble::{Member, MemberAddress, Membership};
use crate::net::peer::{Door, Place, Roster};
use crate::types::ServerId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Memberships as this server knows them.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) committed: Arc<Membership>,
    pub(super) proposed: Option<Arc<Membership>>,
}

impl Known {
    /// Addresses of a server, by the port that `port` picks; the committed ones first.
    pub(super) fn places(&self, server: ServerId, port: impl Fn(&MemberAddress) -> u16) -> Vec<Place> {
        let mut found: Vec<Place> = Vec::new();
        for membership in [Some(&self.committed), self.proposed.as_ref()].into_iter().flatten() {
            for address in membership.members.get(&server.0).into_iter().flat_map(|m| &m.addresses) {
                let place = Place::new(address.host.clone(), port(address));
                if !found.contains(&place) {
                    found.push(place);
                }
            }
        }
        found
    }

    /// The newest membership that names this server, for its own doors.
    pub(super) fn own(&self, server: ServerId, port: impl Fn(&MemberAddress) -> u16) -> Vec<Place> {
        let newest = [Some(&self.committed), self.proposed.as_ref()].into_iter().flatten();
        let member = newest.filter_map(|m| m.members.get(&server.0)).next();
        let addresses = member.into_iter().flat_map(|m| &m.addresses);
        addresses.map(|a| Place::new(a.host.clone(), port(a))).collect()
    }
}

pub(super) fn doors(places: Vec<Place>, everywhere: bool) -> Vec<Door> {
    let mut doors: Vec<Door> = places
        .into_iter()
        .map(|place| if everywhere { Door::Everywhere(place.port) } else { Door::At(place) })
        .collect();
    doors.dedup();
    doors
}

/// Where election ports are, by these memberships.
pub(super) fn roster(known: &Known, server: ServerId, everywhere: bool) -> Roster {
    let others = |membership: &Membership| -> BTreeMap<ServerId, Vec<Place>> {
        let of =
            |m: &Member| m.addresses.iter().map(|a| Place::new(a.host.clone(), a.election_port)).collect();
        membership.members.values().filter(|m| m.id != server.0).map(|m| (ServerId(m.id), of(m))).collect()
    };
    let own = known.own(server, |a| a.election_port);
    Roster {
        doors: doors(own.clone(), everywhere),
        own,
        members: others(&known.committed),
        upcoming: known.proposed.as_deref().map(others).unwrap_or_default(),
    }
}
