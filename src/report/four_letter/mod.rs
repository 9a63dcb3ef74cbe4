//! Four-letter words: which there are, who may ask them, and what each does before it is answered.
//!
//! A word is the first four bytes of a connection; whatever is no word here is the length of a frame, and far
//! too large for one. So `reqs`, which old manuals name, is none: the connection ends without an answer, as
//! with the reference.

mod render;
#[cfg(test)]
mod tests;

use super::view::{Mode, View};
pub use render::*;

/// The reference hands its answers to the socket in pieces of this many characters, and counts each as a
/// packet.
const PIECE: usize = 8192;

/// A word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Configuration.
    Conf,
    /// Connections.
    Cons,
    /// Reset the figures of connections.
    Crst,
    /// Sizes of the directories.
    Dirs,
    /// Sessions, ephemeral nodes, deadlines.
    Dump,
    /// What the process runs on.
    Envi,
    /// Get the trace mask.
    Gtmk,
    /// Digests.
    Hash,
    /// Is it read-only?
    Isro,
    /// Metrics.
    Mntr,
    /// Are you all right?
    Ruok,
    /// Reset the figures of the server.
    Srst,
    /// The server in short.
    Srvr,
    /// The server in short, with its connections.
    Stat,
    /// Set the trace mask.
    Stmk,
    /// Watches by session.
    Wchc,
    /// Watches by path.
    Wchp,
    /// Watches in numbers.
    Wchs,
    /// What telnet sends when it is interrupted.
    Interrupt,
}

impl Word {
    /// Every word.
    pub const ALL: [Self; 19] = [
        Self::Conf,
        Self::Cons,
        Self::Crst,
        Self::Dirs,
        Self::Dump,
        Self::Envi,
        Self::Gtmk,
        Self::Hash,
        Self::Isro,
        Self::Mntr,
        Self::Ruok,
        Self::Srst,
        Self::Srvr,
        Self::Stat,
        Self::Stmk,
        Self::Wchc,
        Self::Wchp,
        Self::Wchs,
        Self::Interrupt,
    ];

    /// The word with these bytes, if there is one.
    #[must_use]
    pub fn parse(bytes: [u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|word| *word.bytes() == bytes)
    }

    const fn bytes(self) -> &'static [u8; 4] {
        match self {
            Self::Conf => b"conf",
            Self::Cons => b"cons",
            Self::Crst => b"crst",
            Self::Dirs => b"dirs",
            Self::Dump => b"dump",
            Self::Envi => b"envi",
            Self::Gtmk => b"gtmk",
            Self::Hash => b"hash",
            Self::Isro => b"isro",
            Self::Mntr => b"mntr",
            Self::Ruok => b"ruok",
            Self::Srst => b"srst",
            Self::Srvr => b"srvr",
            Self::Stat => b"stat",
            Self::Stmk => b"stmk",
            Self::Wchc => b"wchc",
            Self::Wchp => b"wchp",
            Self::Wchs => b"wchs",
            Self::Interrupt => b"\xff\xf4\xff\xfd",
        }
    }

    /// Its name, on the whitelist and in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        std::str::from_utf8(self.bytes()).unwrap_or("telnet close")
    }
}

/// What words change.
pub trait Control {
    /// `crst`.
    fn reset_connections(&self);
    /// `srst`.
    fn reset_server(&self);
    /// `stmk`.
    fn set_trace_mask(&self, mask: i64);
}

/// Does what the word asks for and answers it. `rest` is what came with it in the same read. Behind the answer,
/// which may be empty, the connection ends.
#[must_use]
pub fn answer(word: Word, rest: &[u8], is_allowed: bool, view: &dyn View, control: &dyn Control) -> String {
    if !is_allowed {
        return format!("{} is not executed because it is not in the whitelist.\n", word.name());
    }
    match word {
        Word::Ruok => "imok".to_owned(),
        Word::Isro => isro(view.mode()).to_owned(),
        Word::Gtmk => view.trace_mask().to_string(),
        Word::Stmk => set_trace_mask(rest, control),
        Word::Envi => envi(view),
        Word::Interrupt => String::new(),
        Word::Hash if view.mode().is_none() => NOT_SERVING.to_owned(),
        _ if view.mode().is_none() => format!("{NOT_SERVING}\n"),
        Word::Crst => {
            control.reset_connections();
            "Connection stats reset.\n".to_owned()
        }
        Word::Srst => {
            control.reset_server();
            "Server stats reset.\n".to_owned()
        }
        Word::Conf => conf(view),
        Word::Cons => cons(view),
        Word::Dirs => dirs(view),
        Word::Dump => dump(view),
        Word::Hash => hash(view),
        Word::Mntr => mntr(view),
        Word::Srvr => srvr(view),
        Word::Stat => stat(view),
        Word::Wchc => wchc(view),
        Word::Wchp => wchp(view),
        Word::Wchs => wchs(view),
    }
}

const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests";

fn isro(mode: Option<Mode>) -> &'static str {
    match mode {
        None => "null",
        Some(Mode::ReadOnly) => "ro",
        Some(_) => "rw",
    }
}

/// The mask must come in the same read as its word; a late one is not waited for.
fn set_trace_mask(rest: &[u8], control: &dyn Control) -> String {
    let Some((mask, _)) = rest.split_first_chunk() else { return String::new() };
    let mask = i64::from_be_bytes(*mask);
    control.set_trace_mask(mask);
    mask.to_string()
}

/// As how many packets an answer counts.
#[must_use]
pub fn pieces(answer: &str) -> u64 {
    let characters = if answer.is_ascii() { answer.len() } else { answer.encode_utf16().count() };
    characters.div_ceil(PIECE) as u64
}
