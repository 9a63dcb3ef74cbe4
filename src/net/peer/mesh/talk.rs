//! A connection that stands: votes of the peer one way, what is put on its desk the other way.
//!
//! Invariant: writing waits for nobody's reading; a frame grows as it arrives.

use super::super::codec::{PeerError, vote};
use super::super::service::PeerService;
use super::desk::Desk;
use std::convert::Infallible;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Capacity kept for the next frame. A vote with the membership of a usual ensemble is far below.
const KEEP: usize = 64 * 1024;

/// Why a connection ended.
pub(super) struct Ended {
    pub(super) reason: String,
    /// What was written last may not have arrived, and the peer may be well.
    pub(super) cut: bool,
}

impl From<io::Error> for Ended {
    fn from(e: io::Error) -> Self {
        Self { cut: e.kind() == io::ErrorKind::TimedOut, reason: e.to_string() }
    }
}

impl From<PeerError> for Ended {
    fn from(e: PeerError) -> Self {
        Self { cut: false, reason: e.to_string() }
    }
}

/// Carries votes until the connection ends.
pub(super) async fn talk(
    mut stream: TcpStream,
    desk: &Desk,
    service: &dyn PeerService,
    patience: Duration,
) -> Ended {
    let (from, to) = stream.split();
    desk.again();
    let ended = tokio::select! {
        ended = hear(BufReader::new(from), desk, service) => ended,
        ended = tell(to, desk, patience) => ended,
    };
    match ended {
        Err(ended) => ended,
        Ok(never) => match never {},
    }
}

async fn hear(
    mut from: impl AsyncRead + Unpin,
    desk: &Desk,
    service: &dyn PeerService,
) -> Result<Infallible, Ended> {
    let mut frame = Vec::new();
    loop {
        let mut prefix = [0; 4];
        from.read_exact(&mut prefix).await?;
        let length = vote::length(prefix)?;
        frame.clear();
        frame.shrink_to(KEEP);
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        let read = (&mut from).take(limit).read_to_end(&mut frame).await?;
        if read < length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match vote::read(&frame) {
            Some(notification) => service.vote(desk.server, notification),
            None => tracing::debug!("Skipped {length} bytes of server {} that are no vote", desk.server.0),
        }
    }
}

async fn tell(mut to: impl AsyncWrite + Unpin, desk: &Desk, patience: Duration) -> Result<Infallible, Ended> {
    loop {
        while let Some(message) = desk.next() {
            match tokio::time::timeout(patience, to.write_all(&message)).await {
                Ok(Ok(())) => desk.sent(message),
                Ok(Err(e)) => return Err(e.into()),
                Err(_) => {
                    return Err(Ended {
                        reason: format!("the peer took nothing for {patience:?}"),
                        cut: true,
                    });
                }
            }
        }
        desk.mail.notified().await;
    }
}
