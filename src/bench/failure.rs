//! Why a benchmark could not go on. Wrong replies are not here: they are counted and the run goes on.

use std::io;

/// Why a benchmark could not be set up or finished.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The operating system refused.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What came back.
        error: io::Error,
    },
    /// The server answered a preparing request in a way that makes measuring pointless.
    #[error("{0}")]
    Server(String),
}

impl Failure {
    /// For `map_err`.
    pub(super) fn io<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error: error.into() }
    }
}
