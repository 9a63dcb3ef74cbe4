//! What the checks share: assertions that name their line, connections, a relay that can be cut, and the
//! program that controls the server.

use std::env;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinError;
use tokio::time;
use zookeeper_client::{
    Acls, Client, CreateMode, CreateOptions, Error, EventType, SessionState, Stat, WatchedEvent,
};

pub type Main = Client;
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone)]
pub struct Check {
    pub name: &'static str,
    pub seconds: u64,
    pub run: fn(Main, String) -> Running,
}

/// One row of a table of checks: name, time limit in seconds, async function.
#[macro_export]
macro_rules! check {
    ($name:literal, $seconds:literal, $function:ident) => {
        $crate::support::Check {
            name: $name,
            seconds: $seconds,
            run: |client, root| Box::pin($function(client, root)),
        }
    };
}

pub const OPEN: Acls<'static> = Acls::anyone_all();
pub const PERSISTENT: &CreateOptions<'static> = &CreateMode::Persistent.with_acls(OPEN);
pub const SEQUENTIAL: &CreateOptions<'static> = &CreateMode::PersistentSequential.with_acls(OPEN);
pub const EPHEMERAL: &CreateOptions<'static> = &CreateMode::Ephemeral.with_acls(OPEN);

// ------------------------------------------------------------------------------------------- assertions

/// The value of a result that has to be one; the line of the caller is part of the reason.
pub trait Must<T> {
    #[track_caller]
    fn must(self) -> T;
}

impl<T, E: Display> Must<T> for Result<T, E> {
    fn must(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => fail(&error.to_string()),
        }
    }
}

#[track_caller]
pub fn fail(reason: &str) -> ! {
    let place = Location::caller();
    let file = place.file().rsplit('/').next().unwrap_or_default();
    panic!("{file}:{}: {reason}", place.line())
}

#[track_caller]
pub fn same<T: PartialEq + Debug>(actual: T, expected: T) {
    if actual != expected {
        fail(&format!("expected {expected:?}, got {actual:?}"));
    }
}

#[track_caller]
pub fn holds(condition: bool, otherwise: &str) {
    if !condition {
        fail(otherwise);
    }
}

#[track_caller]
pub fn fails<T: Debug, E: Into<Error> + Debug>(result: Result<T, E>, expected: Error) {
    match result {
        Ok(value) => fail(&format!("expected error {expected:?}, got {value:?}")),
        Err(error) => same(error.into(), expected),
    }
}

#[track_caller]
pub fn happened(event: &WatchedEvent, kind: EventType, path: &str) {
    same(
        (event.event_type, event.session_state, event.path.as_str()),
        (kind, SessionState::SyncConnected, path),
    );
}

pub fn message(panicked: JoinError) -> String {
    match panicked.try_into_panic() {
        Ok(payload) => match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => {
                payload.downcast::<&str>().map_or_else(|_| "panicked".into(), |text| text.to_string())
            }
        },
        Err(cancelled) => cancelled.to_string(),
    }
}

// ----------------------------------------------------------------------------------------------- waiting

pub async fn within<T>(seconds: u64, what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    let limit = Duration::from_secs(seconds);
    time::timeout(limit, future).await.map_err(|_| format!("{what}: not within {seconds} s"))
}

/// The next event of a watcher, for which ten seconds are enough.
pub async fn event(what: &str, future: impl Future<Output = WatchedEvent>) -> WatchedEvent {
    within(10, what, future).await.must()
}

/// Makes sure that nothing arrives on a watcher that ought to have been passed over.
pub async fn quiet(what: &str, future: impl Future<Output = WatchedEvent>) {
    if let Ok(event) = time::timeout(Duration::from_millis(100), future).await {
        fail(&format!("{what}: unexpected {event:?}"));
    }
}

pub async fn pause(milliseconds: u64) {
    time::sleep(Duration::from_millis(milliseconds)).await;
}

pub async fn reaches(client: &Client, wanted: SessionState, seconds: u64) {
    let mut states = client.state_watcher();
    let mut state = states.state();
    let arrival = async {
        while state != wanted {
            holds(!state.is_terminated(), &format!("the session ended as {state} on its way to {wanted}"));
            state = states.changed().await;
        }
    };
    within(seconds, &format!("state {wanted}"), arrival).await.must();
}

pub async fn ready(client: &Client) {
    reaches(client, SessionState::SyncConnected, 40).await;
}

pub async fn vanishes(client: &Client, path: &str, seconds: u64) {
    let gone = async {
        while client.check_stat(path).await.must().is_some() {
            pause(50).await;
        }
    };
    within(seconds, &format!("removal of {path}"), gone).await.must();
}

// --------------------------------------------------------------------------------------------- the server

fn address() -> String {
    env::var("ZK_CONNECT").unwrap_or_else(|_| fail("ZK_CONNECT is not set"))
}

/// Where clients connect to.
pub async fn server() -> &'static str {
    &front().await.address
}

pub async fn connect(timeout: Duration) -> Client {
    Client::connector().with_session_timeout(timeout).connect(server().await).await.must()
}

pub async fn client() -> Client {
    connect(Duration::from_secs(10)).await
}

/// Drops the only handle of a session and waits until the server has closed it.
pub async fn close(client: Client) {
    let mut states = client.state_watcher();
    drop(client);
    within(10, "close", async {
        while states.state() != SessionState::Closed && !states.changed().await.is_terminated() {}
    })
    .await
    .must();
}

pub async fn make(client: &Client, path: &str, data: &str) -> Stat {
    client.create(path, data.as_bytes(), PERSISTENT).await.must().0
}

pub async fn put(client: &Client, path: &str, data: &str) -> Stat {
    client.set_data(path, data.as_bytes(), None).await.must()
}

pub async fn text(client: &Client, path: &str) -> String {
    String::from_utf8(client.get_data(path).await.must().0).must()
}

async fn control(verb: &str) {
    let program = env::var("ZK_CTL").unwrap_or_else(|_| fail("ZK_CTL is not set"));
    let output = Command::new(program).arg(verb).output().await.must();
    let said = String::from_utf8_lossy(&output.stderr);
    holds(output.status.success(), &format!("the server did not {verb}: {said}"));
}

/// The relay through which every client of this suite goes.
static FRONT: OnceCell<Relay> = OnceCell::const_new();

async fn front() -> &'static Relay {
    FRONT.get_or_init(Relay::new).await
}

/// Ends the server by `stop` or `kill`, waits until the client has noticed, and starts the server again.
///
/// Nobody connects while it starts: the reference can forget a connection that it accepts before it runs,
/// and the client then waits for its whole timeout. That is not what is checked.
pub async fn restart_server(how: &str, client: &Client) {
    front().await.hold();
    control(how).await;
    reaches(client, SessionState::Disconnected, 10).await;
    control("start").await;
    front().await.mend();
}

/// The answer to a four-letter word.
pub async fn word(word: &str) -> String {
    let mut stream = TcpStream::connect(address()).await.must();
    stream.write_all(word.as_bytes()).await.must();
    let mut answer = String::new();
    within(5, word, stream.read_to_string(&mut answer)).await.must().must();
    answer
}

/// Stands between client and server; its links can be cut and are refused until it is mended.
pub struct Relay {
    pub address: String,
    open: Arc<AtomicBool>,
    cuts: watch::Sender<()>,
}

impl Relay {
    pub async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.must();
        let address = listener.local_addr().must().to_string();
        let open = Arc::new(AtomicBool::new(true));
        let (cuts, mut cut) = watch::channel(());
        let accepting = open.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((near, _)) if accepting.load(Ordering::SeqCst) => {
                            tokio::spawn(Self::link(near, cut.clone()));
                        }
                        Ok(_) => {}
                        Err(_) => return,
                    },
                    alive = cut.changed() => if alive.is_err() { return },
                }
            }
        });
        Self { address, open, cuts }
    }

    /// Ends with either side, with a cut, and with the relay itself.
    async fn link(mut near: TcpStream, mut cut: watch::Receiver<()>) {
        cut.mark_unchanged();
        let Ok(mut far) = TcpStream::connect(address()).await else { return };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
            _ = cut.changed() => {}
        }
    }

    /// Refuses new links and leaves the present ones alone.
    pub fn hold(&self) {
        self.open.store(false, Ordering::SeqCst);
    }

    pub fn cut(&self) {
        self.hold();
        self.cuts.send_replace(());
    }

    pub fn mend(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}
