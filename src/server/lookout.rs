//! Where the log's thread looks for the next write while it has nothing else to do.
//!
//! It looks at nothing itself. Invariant: it names a client only until a look at it has found something for its task.

use crate::net::client::Looked;
use crate::types::{ConnId, Patience};

/// Whose next write the log's thread takes off the socket.
#[derive(Debug, Default)]
pub(super) struct Lookout {
    /// Whose write was answered last, if it was answered alone.
    conn: Option<ConnId>,
    /// Clients that read behind their writes are looked at rarely: it would only be in the way of their reads.
    patience: Patience,
}

impl Lookout {
    /// Whom to look at.
    pub(super) fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    /// A batch was applied; with this one, if its client was the only one that was answered.
    pub(super) fn answered(&mut self, alone: Option<ConnId>) {
        self.conn = alone.filter(|_| self.patience.tries());
    }

    /// What a look at this one has brought.
    pub(super) fn looked(&mut self, conn: ConnId, found: Looked) {
        match found {
            Looked::Nothing => return,
            Looked::Taken => return self.patience.paid(),
            Looked::Other => self.patience.in_vain(),
        }
        if self.conn == Some(conn) {
            self.conn = None;
        }
    }
}
