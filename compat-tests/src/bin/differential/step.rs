//! The steps of a sequence. A step names connections and sessions by slot, never by what a server answered,
//! so any step can be left out and the rest still makes sense.

use crate::request::{Req, show};

/// Connections of a sequence.
pub(crate) const SLOTS: usize = 4;
/// Behind them: the one that looks after the tree, and the one that ends forgotten sessions.
pub(crate) const JANITOR: usize = SLOTS;
pub(crate) const UNDERTAKER: usize = SLOTS + 1;

/// Which session a greeting asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    New,
    /// The one that a slot had last.
    OfSlot(usize),
    /// The one that appeared as this.
    Numbered(usize),
    /// An id nobody ever got.
    Unknown(i64),
}

/// Which password it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passwd {
    /// The session's own; zeros for a new one.
    Right,
    Wrong,
    Null,
    Short,
    Long,
}

/// Which zxid it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Exactly(i64),
    /// Counted from the last one of any reply.
    Last(i64),
}

/// A first frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) wanted: Wanted,
    pub(crate) passwd: Passwd,
    pub(crate) seen: Seen,
    pub(crate) timeout: i32,
    pub(crate) read_only: Option<bool>,
    pub(crate) trailing: Vec<u8>,
    /// Sent in the same write.
    pub(crate) behind: Vec<Req>,
    /// The slot's old connection stays open until the server closes it.
    pub(crate) steal: bool,
}

impl Greeting {
    /// A new session with nothing special.
    pub(crate) fn plain() -> Self {
        Self {
            wanted: Wanted::New,
            passwd: Passwd::Right,
            seen: Seen::Exactly(0),
            timeout: 40_000,
            read_only: Some(false),
            trailing: Vec::new(),
            behind: Vec::new(),
            steal: false,
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A new connection in this slot.
    Greet { slot: usize, greeting: Greeting },
    /// A new connection whose first bytes are these.
    First { slot: usize, bytes: Vec<u8>, text: String },
    /// The client goes without a word.
    Drop { slot: usize },
    /// Requests in one write; then all their replies.
    Send { slot: usize, reqs: Vec<Req> },
    /// Bytes that are no request; then one frame or the end, where one is awaited.
    Bytes { slot: usize, bytes: Vec<u8>, text: String, wait: bool },
    /// Whatever waits on any connection.
    Barrier,
}

impl Step {
    /// How many requests it makes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Send { reqs, .. } => reqs.len(),
            Self::Greet { greeting, .. } => 1 + greeting.behind.len(),
            _ => 1,
        }
    }

    /// Changes which connections there are. What waits on them must be fetched before.
    pub(crate) fn reconnects(&self) -> bool {
        matches!(self, Self::Greet { .. } | Self::First { .. } | Self::Drop { .. })
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Greet { slot, greeting: g } => {
                let mut text = format!(
                    "[{slot}] connect {:?} password={:?} seen={:?} timeout={} readOnly={:?}",
                    g.wanted, g.passwd, g.seen, g.timeout, g.read_only
                );
                if !g.trailing.is_empty() {
                    text += &format!(" + {} trailing bytes", g.trailing.len());
                }
                if g.steal {
                    text += " while the old connection stands";
                }
                for req in &g.behind {
                    text += &format!("\n        behind it: {}", req.text);
                }
                text
            }
            Self::First { slot, bytes, text } => {
                format!("[{slot}] connect with {text}: {}", show(Some(bytes)))
            }
            Self::Drop { slot } => format!("[{slot}] drop the connection"),
            Self::Send { slot, reqs } => match reqs.as_slice() {
                [one] => format!("[{slot}] {}", one.text),
                many => {
                    let list = many.iter().map(|r| format!("\n        {}", r.text)).collect::<String>();
                    format!("[{slot}] {} requests at once:{list}", many.len())
                }
            },
            Self::Bytes { slot, bytes, text, .. } => format!("[{slot}] {text}: {}", show(Some(bytes))),
            Self::Barrier => "collect".into(),
        }
    }
}
