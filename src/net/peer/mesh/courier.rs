//! The task of one peer: it connects when there is something to say, talks while a connection stands, and calls back.
//!
//! A connection is kept if the server with the larger number opened it. The smaller one knocks: it connects,
//! introduces itself, hangs up, and is called back. Invariant: of several connections to a peer the newest that stands
//! is used, and one that was only wished for replaces none.

use super::super::codec::hello;
use super::super::place::Place;
use super::super::socket::{self, Tuning};
use super::Shared;
use super::desk::Desk;
use super::talk::{Ended, talk};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Pause after the first failed attempt while a message waits; it doubles up to the longest. The reference tries
/// again only with the next message, which after a long partition may be a minute away.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

type Task<'a, T> = Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>;

/// Waits for a task, for ever if there is none.
async fn maybe<T>(task: &mut Task<'_, T>) -> T {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// Serves a desk until the mesh stops, or until a stranger has gone.
pub(super) async fn run(shared: Arc<Shared>, desk: Arc<Desk>) {
    tokio::select! {
        () = shared.stop.cancelled() => {}
        () = desk.closed.cancelled() => {}
        () = serve(&shared, &desk) => {}
    }
    desk.set_talking(false);
}

async fn serve(shared: &Arc<Shared>, desk: &Arc<Desk>) {
    let mut talking: Task<'_, Ended> = None;
    let mut dialing: Task<'_, Result<Option<TcpStream>, String>> = None;
    let mut waiting: Task<'_, ()> = None;
    let mut pause = FIRST_PAUSE;
    let mut calling_back = false;
    loop {
        if let Some(stream) = desk.take_opened() {
            (dialing, waiting, pause) = (None, None, FIRST_PAUSE);
            talking = Some(Box::pin(shared.talk(desk, stream)));
        }
        // Calls back that are under way are finished first: strangers could end them by asking again and again.
        let asked = if calling_back && dialing.is_some() { None } else { desk.take_call_back() };
        if let Some(places) = asked {
            calling_back = true;
            dialing = Some(Box::pin(shared.dial(desk, Some(places))));
        } else if talking.is_none() && dialing.is_none() && waiting.is_none() {
            calling_back = false;
            if desk.has_mail() {
                dialing = Some(Box::pin(shared.dial(desk, None)));
            } else if shared.dismiss(desk) {
                return;
            }
        }
        desk.set_talking(talking.is_some());
        tokio::select! {
            () = desk.call.notified() => {}
            // A new message is worth an attempt at once.
            () = desk.mail.notified(), if talking.is_none() => waiting = None,
            ended = maybe(&mut talking) => {
                talking = None;
                let Ended { reason, cut } = ended;
                tracing::info!("The election connection with server {} ended: {reason}", desk.server.0);
                if cut {
                    desk.again();
                }
                if desk.has_mail() {
                    waiting = Some(Box::pin(tokio::time::sleep(pause)));
                    pause = (pause * 2).min(LONGEST_PAUSE);
                } else {
                    pause = FIRST_PAUSE;
                }
            }
            dialed = maybe(&mut dialing) => {
                dialing = None;
                match dialed {
                    Ok(Some(stream)) => {
                        waiting = None;
                        talking = Some(Box::pin(shared.talk(desk, stream)));
                    }
                    // Knocked: it calls back, or nobody is at home there.
                    knocked => {
                        if let Err(reason) = knocked {
                            tracing::debug!("Cannot open a channel to server {}: {reason}", desk.server.0);
                            // A stranger that left is not looked for.
                            if !shared.roster().knows(desk.server) {
                                desk.clear();
                            }
                        }
                        waiting = Some(Box::pin(tokio::time::sleep(pause)));
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
            () = maybe(&mut waiting) => waiting = None,
        }
    }
}

impl Shared {
    pub(super) fn tuning(&self) -> Tuning {
        Tuning {
            nodelay: true,
            keep_alive: self.settings.keep_alive,
            unheard: Some(self.settings.hello_timeout),
        }
    }

    async fn talk(&self, desk: &Desk, stream: TcpStream) -> Ended {
        talk(stream, desk, &*self.service, self.settings.hello_timeout).await
    }

    /// One attempt. A connection that is to be kept comes back; with none the peer was asked to call.
    async fn dial(&self, desk: &Desk, said: Option<Vec<Place>>) -> Result<Option<TcpStream>, String> {
        let roster = self.roster();
        let mut failure = "no address is known".to_owned();
        let known = roster.places(desk.server);
        for places in said.into_iter().filter(|places| !places.is_empty()).chain(known) {
            match self.introduce(desk, &places, &roster.own).await {
                Err(e) => failure = e,
                done => return done,
            }
        }
        Err(failure)
    }

    async fn introduce(
        &self,
        desk: &Desk,
        places: &[Place],
        own: &[Place],
    ) -> Result<Option<TcpStream>, String> {
        let mut stream = socket::dial(places, self.settings.connect_timeout).await?;
        self.tuning().apply(&stream).map_err(|e| e.to_string())?;
        // In one piece: the reference takes what one read brings.
        let bytes = hello::write(self.settings.server, own, self.settings.multi_address);
        let written = async {
            stream.write_all(&bytes).await?;
            if desk.server < self.settings.server {
                return Ok(Some(stream));
            }
            stream.shutdown().await.map(|()| None)
        };
        match tokio::time::timeout(self.settings.hello_timeout, written).await {
            Ok(done) => done.map_err(|e: std::io::Error| e.to_string()),
            Err(_) => Err("it does not take an introduction".to_owned()),
        }
    }
}
