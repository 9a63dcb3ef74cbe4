//! From frames to requests and from outcomes to replies. This room tells reads from writes; it checks nothing
//! beyond what a record needs to be a record, and knows neither who asks nor what the tree holds.

pub mod handshake;
pub mod multi;
pub mod reply;
pub mod request;

pub use handshake::{Greeting, GreetingReply};
pub use reply::{Outcome, ReplyWriter};
pub use request::{Envelope, ReadRequest, Refusal, Request, WriteRequest, parse, parse_body};
