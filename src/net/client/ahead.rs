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
use std::sync::atomic::{AtomicBool, Ordering::SeqCst, fence};
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
struct Shared<T> {
    inner: Mutex<Inner<T>>,
    /// Wakes the task.
    waker: Mutex<Option<Waker>>,
    /// The task wanted to run while somebody looked. It does not wait for that: who looks may just have lost the
    /// processor, and all other connections of the task's thread would wait with it.
    missed: AtomicBool,
}

struct Inner<T> {
    task: T,
    /// The connection is at its end.
    over: bool,
}

impl<T> Shared<T> {
    fn wake(&self) {
        // To wake may take a system call, and the task takes this lock whenever it runs.
        let waker = self.waker.lock().clone();
        waker.into_iter().for_each(Waker::wake);
    }
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
        let (looked, wakes) = {
            let Some(mut inner) = self.inner.try_lock() else { return Looked::Nothing };
            let looked = if inner.over { Ok(Looked::Other) } else { inner.task.look() };
            inner.over |= looked.is_err();
            // What came with the write, or was put into the outbox here, has woken nobody.
            let wakes = looked.is_err() || (matches!(looked, Ok(Looked::Taken)) && !inner.task.is_idle());
            (looked.unwrap_or(Looked::Other), wakes)
        };
        // The other half of the fence in `poll`.
        fence(SeqCst);
        if self.missed.swap(false, SeqCst) || wakes {
            self.wake();
        }
        looked
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
        {
            let mut waker = self.0.waker.lock();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        let inner = self.0.inner.try_lock().or_else(|| {
            self.0.missed.store(true, SeqCst);
            // Either who looks sees that, or it is done by now.
            fence(SeqCst);
            self.0.inner.try_lock()
        });
        let Some(mut inner) = inner else { return Poll::Pending };
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
    let task = Task::new(Arc::clone(service), Arc::clone(&conn), io);
    let inner = Mutex::new(Inner { task, over: false });
    let shared = Arc::new(Shared { inner, waker: Mutex::default(), missed: AtomicBool::new(false) });
    let task: Weak<Shared<Task<S, IO>>> = Arc::downgrade(&shared);
    conn.open_ahead(task);
    tokio::spawn(Attended(shared));
}
