//! Signals and ends of the process: the gentle one on a signal, and the abrupt one when going on would lie.

use std::process;

/// Exit code after SIGTERM, as scripts know it from the reference.
pub const TERMINATED: u8 = 143;
/// Exit code after SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Exit code when the election port cannot be bound.
pub const NO_ELECTION_PORT: i32 = 14;

/// Ends the process with this code; why was said before.
pub fn leave(code: i32) -> ! {
    tracing::error!("Exiting with code {code}");
    process::exit(code)
}

/// Stops at once, without any more answers: what was acknowledged is on disk, and nothing else may become so.
pub fn abort() -> ! {
    process::abort()
}

/// Waits for the first signal that asks for an end; returns the exit code that goes with it.
pub async fn signal() -> std::io::Result<u8> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => TERMINATED,
        _ = interrupt.recv() => INTERRUPTED,
    })
}

/// Ends the process because more waits for the disk than it may: a transaction that finds no place cannot be left out.
pub fn overrun(zxid: crate::types::Zxid) -> ! {
    tracing::error!(
        "The disk is too slow: {zxid} finds no place behind what waits for it. Stopping before anything is left out;          look at the disk of dataLogDir, then start again"
    );
    leave(1)
}

/// Ends the process because the disk failed: nothing more may be acknowledged.
pub fn fatal(error: &crate::store::StoreError) -> ! {
    let code = error.exit_code();
    tracing::error!("{error}");
    leave(i32::from(code))
}
