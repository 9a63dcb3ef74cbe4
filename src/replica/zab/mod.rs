//! The order of transactions. A payload is never looked into here, its header aside: only zxids, acks and commits
//! count.
//!
//! [`Solo`] is a server by itself. Members of an ensemble go through [`looking`] (with [`election`]) to [`leading`]
//! or [`learning`] and back; what outlives a role stands in [`member`], with [`ledger`] and [`view`].

pub mod election;
pub mod leading;
pub mod learning;
pub mod ledger;
pub mod looking;
pub mod member;
pub mod membership;
mod packet;
mod solo;
pub mod view;

pub use ledger::Ledger;
pub use member::{Ctx, EnsembleSettings, Flow, Member};
pub use packet::{Forwarded, LearnerHello, Notification, PROTOCOL, Packet, PeerState, Vote};
pub use solo::Solo;
pub use view::{View, Views};
