//! A way around a sleeping task: who has answered a client alone may take its next write off the socket.
//!
//! To wake a task costs a thread switch, which is more than to order a small write. So the log's thread looks at the
//! socket itself for the moment in which it has nothing else to do. It takes writes only, and small ones. Whatever
//! else has come it leaves where it is, for the task, which has been woken by then: no read ever holds up the disk.
//!
//! Invariant: whoever has the lock of the task is the task for that while. So bytes are run in the order they came, each
//! once, whoever reads them.

use super::conn::Conn;
use super::service::Service;
use super::task::Task;
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite};

/// A socket that can be read without waiting from any thread.
pub(super) trait Early {
    /// Shows what is there and leaves it there, or fails with `WouldBlock`.
    fn peek_now(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Reads what is there, or fails with `WouldBlock`.
    fn read_now(&self, into: &mut [u8]) -> io::Result<usize>;
}

/// What a look has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Nothing has come yet.
    Nothing,
    /// A write, which was taken.
    Taken,
    /// Something for the task, which was left where it is. There is no use in another look.
    Other,
}

/// A connection whose next write others may take.
pub(super) trait Ahead: Send + Sync + fmt::Debug {
    /// Takes it if it is there, unless the task is at work.
    fn look(&self) -> Looked;
}

/// A task that others may stand in for.
struct Shared<T>(Mutex<Inner<T>>);

struct Inner<T> {
    task: T,
    /// Wakes the task.
    waker: Option<Waker>,
    /// The connection is at its end.
    over: bool,
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

impl<S, IO> Ahead for Shared<Task<S, IO>>
where
    S: Service,
    IO: AsyncRead + AsyncWrite + Unpin + Early + Send,
{
    fn look(&self) -> Looked {
        let Some(mut inner) = self.0.try_lock() else { return Looked::Nothing };
        if inner.over {
            return Looked::Other;
        }
        let looked = inner.task.look();
        inner.over = looked.is_err();
        // What came with the write, or was put into the outbox here, has woken nobody.
        if inner.over || (matches!(looked, Ok(Looked::Taken)) && !inner.task.is_idle()) {
            inner.waker.iter().for_each(Waker::wake_by_ref);
        }
        looked.unwrap_or(Looked::Other)
    }
}

/// The task itself.
struct Attended<T>(Arc<Shared<T>>);

impl<S, IO> Future for Attended<Task<S, IO>>
where
    S: Service,
    IO: AsyncRead + AsyncWrite + Unpin,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.0.lock();
        if !inner.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inner.waker = Some(cx.waker().clone());
        }
        if inner.over {
            return inner.task.part(cx);
        }
        let polled = Pin::new(&mut inner.task).poll(cx);
        inner.over = polled.is_ready();
        polled
    }
}

/// Serves a connection that was admitted, over a socket that others may look at.
pub(super) fn attend<S, IO>(service: &Arc<S>, conn: Arc<Conn>, io: IO)
where
    S: Service,
    IO: AsyncRead + AsyncWrite + Unpin + Early + Send + 'static,
{
    let inner =
        Inner { task: Task::new(Arc::clone(service), Arc::clone(&conn), io), waker: None, over: false };
    let shared = Arc::new(Shared(Mutex::new(inner)));
    let task: Weak<Shared<Task<S, IO>>> = Arc::downgrade(&shared);
    conn.open_ahead(task);
    tokio::spawn(Attended(shared));
}
