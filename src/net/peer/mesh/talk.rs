//! A connection that stands: votes of the peer one way, what is put on its desk the other way.
//!
//! Invariant: writing waits for nobody's reading; a frame grows as it arrives.

use super::super::codec::vote;
use super::super::service::PeerService;
use super::desk::Desk;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Capacity kept for the next frame. A vote with the membership of a usual ensemble is far below.
const KEEP: usize = 64 * 1024;

/// Carries votes until the connection ends, and says why it did.
pub(super) async fn talk(
    mut stream: TcpStream,
    desk: &Desk,
    service: &dyn PeerService,
    patience: Duration,
) -> String {
    let (from, to) = stream.split();
    desk.again();
    tokio::select! {
        ended = hear(BufReader::new(from), desk, service) => ended,
        ended = tell(to, desk, patience) => ended,
    }
    .err()
    .unwrap_or_default()
}

async fn hear(
    mut from: impl AsyncRead + Unpin,
    desk: &Desk,
    service: &dyn PeerService,
) -> Result<(), String> {
    let mut frame = Vec::new();
    loop {
        let mut prefix = [0; 4];
        from.read_exact(&mut prefix).await.map_err(|e| e.to_string())?;
        let length = vote::length(prefix).map_err(|e| e.to_string())?;
        frame.clear();
        frame.shrink_to(KEEP);
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        let read = (&mut from).take(limit).read_to_end(&mut frame).await.map_err(|e| e.to_string())?;
        if read < length {
            return Err("the peer closed the connection within a notification".to_owned());
        }
        match vote::read(&frame) {
            Some(notification) => service.vote(desk.server, notification),
            None => tracing::debug!("Skipped {length} bytes of server {} that are no vote", desk.server.0),
        }
    }
}

async fn tell(mut to: impl AsyncWrite + Unpin, desk: &Desk, patience: Duration) -> Result<(), String> {
    loop {
        while let Some(message) = desk.next() {
            match tokio::time::timeout(patience, to.write_all(&message)).await {
                Ok(Ok(())) => desk.sent(message),
                Ok(Err(e)) => return Err(e.to_string()),
                Err(_) => return Err(format!("the peer took nothing for {patience:?}")),
            }
        }
        desk.mail.notified().await;
    }
}
