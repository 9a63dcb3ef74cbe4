//! What waits for one server's courier: a message, a connection that the peer opened, a wish to be called back.
//!
//! Invariant: one of each at most; what is newer replaces what has not been taken.

use super::super::place::Place;
use crate::types::ServerId;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Inner {
    next: Option<Bytes>,
    /// The last message that left, or was on its way.
    last: Option<Bytes>,
    opened: Option<TcpStream>,
    call_back: Option<Vec<Place>>,
}

/// The desk of one server.
pub(super) struct Desk {
    pub(super) server: ServerId,
    inner: Mutex<Inner>,
    talking: AtomicBool,
    /// A message was put down.
    pub(super) mail: Notify,
    /// Something happened at the port.
    pub(super) call: Notify,
    pub(super) closed: CancellationToken,
}

impl Desk {
    pub(super) fn new(server: ServerId) -> Self {
        Self {
            server,
            inner: Mutex::default(),
            talking: AtomicBool::new(false),
            mail: Notify::new(),
            call: Notify::new(),
            closed: CancellationToken::new(),
        }
    }

    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// A message, in place of one that has not left.
    pub(super) fn put(&self, message: Bytes) {
        self.inner.lock().next = Some(message);
        self.mail.notify_one();
    }

    /// The peer opened a connection, and keeps it.
    pub(super) fn opened(&self, stream: TcpStream) {
        self.inner.lock().opened = Some(stream);
        self.call.notify_one();
    }

    /// The peer wants to be called, there if it said where.
    pub(super) fn call_back(&self, places: Vec<Place>) {
        self.inner.lock().call_back = Some(places);
        self.call.notify_one();
    }

    pub(super) fn take_opened(&self) -> Option<TcpStream> {
        self.inner.lock().opened.take()
    }

    pub(super) fn take_call_back(&self) -> Option<Vec<Place>> {
        self.inner.lock().call_back.take()
    }

    pub(super) fn has_mail(&self) -> bool {
        self.inner.lock().next.is_some()
    }

    /// What waits will not be sent.
    pub(super) fn clear(&self) {
        self.inner.lock().next = None;
    }

    /// A new connection stands: the peer may have missed the last message, so it is sent again if nothing newer is
    /// there (`QuorumCnxManager.SendWorker.run`).
    pub(super) fn again(&self) {
        let mut inner = self.inner.lock();
        if inner.next.is_none() {
            inner.next = inner.last.clone();
        }
    }

    pub(super) fn next(&self) -> Option<Bytes> {
        self.inner.lock().next.clone()
    }

    /// A message has left. One that was put down meanwhile stays.
    pub(super) fn sent(&self, message: Bytes) {
        let mut inner = self.inner.lock();
        // The same bytes in another buffer are another message, to be sent again.
        if inner.next.as_ref().is_some_and(|next| next.as_ptr() == message.as_ptr()) {
            inner.next = None;
        }
        inner.last = Some(message);
    }

    pub(super) fn set_talking(&self, talking: bool) {
        self.talking.store(talking, Relaxed);
    }

    pub(super) fn is_talking(&self) -> bool {
        self.talking.load(Relaxed)
    }

    /// Is there nothing for a courier to do?
    pub(super) fn is_idle(&self) -> bool {
        let inner = self.inner.lock();
        inner.next.is_none() && inner.opened.is_none() && inner.call_back.is_none()
    }
}
