//! Everything that operators see: one view of the server, rendered in many ways.
//!
//! Nothing in this room looks at a live object or waits for a lock of the server: renderers get a [`View`] and
//! give back text. What is counted while serving lives in [`Counters`].

mod counters;
pub mod four_letter;
pub mod java;
mod keyed;
mod metrics;
mod monitor;
mod rows;
mod summary;
pub mod version;
mod view;

pub use counters::{Counters, ResponseSizes, Traffic, namespace};
pub use keyed::{KEYS, Keyed, LEARNERS};
pub use metrics::{ByKey, Metrics};
pub use monitor::{Value, monitor};
pub use summary::{Percentiles, Quantiles, RESERVOIR, Reservoir, Summary, Totals};
pub use view::{
    Bucket, ConnInfo, DirSizes, EnsembleConf, Environment, Gauges, LeaderGauges, Mode, NamespaceQuota,
    PeerInfo, ServerConf, SessionDump, SessionInfo, Status, View, WatchSummary,
};
