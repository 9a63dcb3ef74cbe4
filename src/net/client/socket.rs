//! A client's TCP connection, shared between the task that owns it and whoever has a short reply for it, or looks for
//! the next write (`ahead.rs`).
//!
//! Waking a sleeping task costs a thread switch; sending a few bytes costs a system call. So the thread that applied a
//! small batch may send its replies itself, by the rules that the outbox keeps.
//!
//! Invariant: nothing here waits, and the connection ends with its task.

use super::ahead::Early;
use super::outbox::Direct;
use rustix::net::RecvFlags;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The task's end.
#[derive(Debug)]
pub(super) struct Socket {
    read: OwnedReadHalf,
    write: Option<Arc<OwnedWriteHalf>>,
}

impl Socket {
    /// The task's end and the outbox's.
    pub(super) fn share(stream: TcpStream) -> (Self, Arc<dyn Direct>) {
        let (read, write) = stream.into_split();
        let write = Arc::new(write);
        (Self { read, write: Some(Arc::clone(&write)) }, write)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Closing is enough; the half would announce its end with a system call of its own.
        if let Some(write) = self.write.take().and_then(Arc::into_inner) {
            write.forget();
        }
    }
}

impl Direct for OwnedWriteHalf {
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
}

impl Early for Socket {
    fn peek_now(&self, into: &mut [u8]) -> io::Result<usize> {
        let stream: &TcpStream = self.read.as_ref();
        let (there, _) = rustix::net::recv(stream, into, RecvFlags::DONTWAIT | RecvFlags::PEEK)?;
        Ok(there)
    }

    fn read_now(&self, into: &mut [u8]) -> io::Result<usize> {
        let stream: &TcpStream = self.read.as_ref();
        let (read, _) = rustix::net::recv(stream, into, RecvFlags::DONTWAIT)?;
        Ok(read)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(write) = &self.write else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(write.as_ref().as_ref().poll_write_ready(cx))?;
            match write.try_write(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
