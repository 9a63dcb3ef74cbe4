//! Why a tool ends without an answer, or with a bad one. The exit code is in the kind.

use crate::store::StoreError;
use std::io;
use std::path::Path;

/// Exit code: everything is as it should be.
pub(super) const FINE: u8 = 0;
/// Exit code: damage or a difference was found.
pub(super) const FOUND: u8 = 1;
/// Exit code: wrong use, or something cannot be read or written.
pub(super) const UNABLE: u8 = 2;

/// Why a tool ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// Something is damaged or missing, and what was asked for cannot be done because of it.
    Found(String),
    /// The tool was used wrongly, or a file cannot be read or written.
    Unable(String),
    /// Nobody reads the output any more.
    Closed,
}

impl Failure {
    /// The exit code.
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::Found(_) => FOUND,
            Self::Unable(_) | Self::Closed => UNABLE,
        }
    }

    /// What the operator reads, if there is anything to say.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Found(text) | Self::Unable(text) => Some(text),
            Self::Closed => None,
        }
    }

    /// A file could not be dealt with.
    pub(super) fn io(doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::Unable(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// Standard output could not be written.
    pub(super) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Closed;
        }
        Self::Unable(format!("cannot write the output: {error}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Damaged { .. }
            | StoreError::Hole { .. }
            | StoreError::Lost(_)
            | StoreError::NoSnapshot(_)
            | StoreError::Epoch(_)
            | StoreError::Rejected { .. } => Self::Found(text),
            _ => Self::Unable(text),
        }
    }
}
