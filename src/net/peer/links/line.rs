//! One link: its state, which everybody may reach, and the task that owns its socket.
//!
//! Reading and writing go on side by side in one task. Invariant: packets are handed over in the order they came, and
//! a snapshot's bytes never pass for packets; whatever was put down before a close leaves before it, as far as the
//! peer takes it within [`LINGER`].

use super::super::codec::{Extent, Speaker, packet};
use super::super::service::{Fed, Left, PeerService};
use super::outbox::{Outbox, Packets, Piece};
use crate::replica::zab::Packet;
use crate::types::limits::READ_CHUNK;
use crate::types::{LinkId, Millis, Zxid};
use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long a closed link may take for what was put down before.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What one call of a snapshot's sink or feed is about: large enough to make changing threads cheap.
const CHUNK: usize = 256 * 1024;

/// How a link ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Open,
    /// From here: nobody needs to be told.
    Closed,
    Failed(String),
}

/// A link, as others see it.
pub(super) struct Line {
    pub(super) id: LinkId,
    /// Who speaks at the other end.
    pub(super) speaker: Speaker,
    pub(super) outbox: Outbox,
    pub(super) stop: CancellationToken,
    /// Silence that ends it, in ms.
    patience: AtomicI64,
    impatient: Notify,
    /// Moves while something long is being taken by the peer: it lives, though it says nothing.
    pulse: AtomicU64,
    fate: Mutex<Fate>,
}

impl Line {
    pub(super) fn new(
        id: LinkId,
        speaker: Speaker,
        patience: Duration,
        most: usize,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let patience = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        Arc::new(Self {
            id,
            speaker,
            outbox: Outbox::new(most),
            stop,
            patience: AtomicI64::new(patience),
            impatient: Notify::new(),
            pulse: AtomicU64::new(0),
            fate: Mutex::new(Fate::Open),
        })
    }

    /// From here on silence for so long ends it.
    pub(super) fn set_patience(&self, patience: Millis) {
        self.patience.store(patience.0, Relaxed);
        self.impatient.notify_one();
    }

    /// Closes from here.
    pub(super) fn close(&self) {
        self.end(Fate::Closed);
    }

    /// Ends for a reason that the service will be told.
    pub(super) fn fail(&self, reason: String) {
        self.end(Fate::Failed(reason));
    }

    fn end(&self, how: Fate) {
        let mut fate = self.fate.lock();
        if *fate == Fate::Open {
            *fate = how;
        }
        drop(fate);
        self.stop.cancel();
    }

    /// Why the service must be told that it is over; `None` if it closed the link itself.
    pub(super) fn epitaph(&self) -> Option<String> {
        match &*self.fate.lock() {
            Fate::Failed(reason) => Some(reason.clone()),
            Fate::Open | Fate::Closed => None,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Relaxed).max(1).unsigned_abs())
    }

    /// Carries packets both ways until it is over. `read` was read before and not understood yet.
    pub(super) async fn run<S, R, W>(
        &self,
        service: &Arc<S>,
        mut from: R,
        mut to: W,
        read: BytesMut,
        most: usize,
    ) where
        S: PeerService + ?Sized,
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut writing = Writing::default();
        let ended = {
            let mut reader = Reader { line: self, service, from: &mut from, read, extent: Extent::new(most) };
            tokio::select! {
                () = self.stop.cancelled() => None,
                e = self.write(service, &mut to, &mut writing) => Some(e),
                e = reader.run() => Some(e),
            }
        };
        if let Some(Err(reason)) = ended {
            self.fail(reason);
        }
        if self.epitaph().is_none() {
            // A peer that takes nothing any more is not waited for.
            let _ = tokio::time::timeout(LINGER, self.part(service, &mut from, &mut to, &mut writing)).await;
        }
    }

    async fn write<S: PeerService + ?Sized>(
        &self,
        service: &Arc<S>,
        to: &mut (impl AsyncWrite + Unpin),
        writing: &mut Writing,
    ) -> Result<(), String> {
        loop {
            writing.flush(self, to).await?;
            self.tell(service, writing);
            match self.outbox.take().await {
                Piece::Packets(packets) => writing.load(packets),
                Piece::Feed(mut feed) => {
                    writing.long = true;
                    let mut more = true;
                    let mut ready = Vec::new();
                    while more || !ready.is_empty() {
                        // The next bytes are made while these leave.
                        let making = tokio::task::spawn_blocking(move || {
                            let mut out = Vec::new();
                            while more && out.len() < CHUNK {
                                more = feed.next(&mut out)?;
                            }
                            Ok::<_, std::io::Error>((feed, out, more))
                        });
                        writing.load(Packets { bytes: std::mem::take(&mut ready), left: Left::default() });
                        let (sent, made) = tokio::join!(writing.flush(self, to), making);
                        sent?;
                        (feed, ready, more) = made.map_err(|e| e.to_string()).and_then(|made| {
                            made.map_err(|e| format!("cannot make what is to be sent: {e}"))
                        })?;
                    }
                    writing.long = false;
                    self.pulse.fetch_add(1, Relaxed);
                }
            }
        }
    }

    /// Sends what waits, says that nothing follows, and lets the peer finish: bytes of it that nobody read would make
    /// the kernel throw away what it has not taken yet.
    async fn part<S: PeerService + ?Sized>(
        &self,
        service: &Arc<S>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        writing: &mut Writing,
    ) -> Result<(), String> {
        if writing.long {
            // Half of something long is nothing, and what waits behind it must not pass for its other half.
            return Ok(());
        }
        writing.flush(self, to).await?;
        self.tell(service, writing);
        while let Some(Piece::Packets(packets)) = self.outbox.try_take() {
            writing.load(packets);
            writing.flush(self, to).await?;
            self.tell(service, writing);
        }
        let _ = to.shutdown().await;
        let mut rest = [0; 4096];
        while from.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        Ok(())
    }
}

impl Line {
    /// Packets have left: whoever leads wants to know how they had waited.
    fn tell<S: PeerService + ?Sized>(&self, service: &Arc<S>, writing: &mut Writing) {
        let left = std::mem::take(&mut writing.left);
        if left.packets > 0 && self.speaker == Speaker::Learner {
            service.left(self.id, left);
        }
    }
}

/// What is leaving. It outlives the future that writes it, so that a close can go on where that was.
#[derive(Default)]
struct Writing {
    bytes: Vec<u8>,
    at: usize,
    left: Left,
    /// They are part of something long.
    long: bool,
}

impl Writing {
    fn load(&mut self, Packets { bytes, left }: Packets) {
        (self.bytes, self.at, self.left) = (bytes, 0, left);
    }

    async fn flush(&mut self, line: &Line, to: &mut (impl AsyncWrite + Unpin)) -> Result<(), String> {
        while let Some(rest) = self.bytes.get(self.at..).filter(|rest| !rest.is_empty()) {
            match to.write(rest).await {
                Ok(0) => return Err("the connection takes nothing any more".to_owned()),
                Ok(n) => self.at += n,
                Err(e) => return Err(e.to_string()),
            }
            if self.long {
                line.pulse.fetch_add(1, Relaxed);
            }
        }
        let bytes = std::mem::take(&mut self.bytes);
        if !self.long && !bytes.is_empty() {
            line.outbox.sent(bytes, self.left.packets);
        }
        Ok(())
    }
}

struct Reader<'a, S: ?Sized, R> {
    line: &'a Line,
    service: &'a Arc<S>,
    from: &'a mut R,
    read: BytesMut,
    extent: Extent,
}

impl<S: PeerService + ?Sized, R: AsyncRead + Unpin> Reader<'_, S, R> {
    async fn run(&mut self) -> Result<(), String> {
        let mut packets = Vec::new();
        loop {
            while let Some(length) = self.extent.find(&self.read).map_err(|e| e.to_string())? {
                let bytes = self.read.get(..length).unwrap_or_default();
                let packet = packet::read(bytes, self.line.speaker).map_err(|e| e.to_string())?;
                self.read.advance(length);
                match packet {
                    Packet::Snap(zxid) if self.line.speaker == Speaker::Leader => {
                        self.deliver(&mut packets);
                        self.snapshot(zxid).await?;
                        packets.push(Packet::Snap(zxid));
                    }
                    packet => packets.push(packet),
                }
            }
            self.deliver(&mut packets);
            self.more(READ_CHUNK).await?;
        }
    }

    fn deliver(&self, packets: &mut Vec<Packet>) {
        if !packets.is_empty() && !self.line.stop.is_cancelled() {
            self.service.packets(self.line.id, std::mem::take(packets));
        }
    }

    /// Hands the bytes that follow to the service's sink, up to the end that it finds.
    async fn snapshot(&mut self, zxid: Zxid) -> Result<(), String> {
        let mut sink = self.service.open_snapshot(self.line.id, zxid);
        loop {
            if !self.read.is_empty() {
                let chunk = self.read.split();
                let feeding = tokio::task::spawn_blocking(move || {
                    let fed = sink.feed(&chunk);
                    (sink, fed, chunk)
                });
                let (back, fed, mut chunk) = feeding.await.map_err(|e| e.to_string())?;
                sink = back;
                match fed.map_err(|e| format!("a snapshot that cannot be read: {e}"))? {
                    Fed::More => chunk.clear(),
                    Fed::Done(taken) => {
                        chunk.advance(taken.min(chunk.len()));
                        self.read = chunk;
                        return Ok(());
                    }
                }
                self.read = chunk;
            }
            self.more(CHUNK).await?;
        }
    }

    /// Reads once.
    async fn more(&mut self, room: usize) -> Result<(), String> {
        self.read.reserve(room);
        loop {
            let (pulse, patience) = (self.line.pulse.load(Relaxed), self.line.patience());
            tokio::select! {
                biased;
                got = self.from.read_buf(&mut self.read) => {
                    return match got {
                        Ok(0) => Err("the peer closed the connection".to_owned()),
                        Ok(_) => Ok(()),
                        Err(e) => Err(e.to_string()),
                    };
                }
                () = self.line.impatient.notified() => {}
                () = tokio::time::sleep(patience) => {
                    if self.line.pulse.load(Relaxed) == pulse {
                        return Err(format!("silent for {patience:?}"));
                    }
                }
            }
        }
    }
}
