//! What operators may ask about and what hardly changes while the server runs: its configuration, its
//! whitelist, its surroundings.

use crate::config::ensemble::Role;
use crate::config::settings::Whitelist;
use crate::config::{Mode, Settings};
use crate::report::java::Zone;
use crate::report::{EnsembleConf, Environment, ServerConf};
use crate::types::SessionId;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering::Relaxed};

/// Bits of the trace mask at start, as the reference has them.
const TRACE_MASK: i64 = 0b1_0011_0010;

/// Facts for operators.
#[derive(Debug)]
pub struct Facts {
    /// Which four-letter words are answered.
    pub whitelist: Whitelist,
    /// The zone in which dates are printed.
    pub zone: Zone,
    /// Followers take observers here.
    pub takes_observers: bool,
    conf: ServerConf,
    client_port: AtomicI32,
    trace_mask: AtomicI64,
    first_read_only_session: i64,
    read_only_session: AtomicI64,
}

/// Numbers as the reference makes them, of server id and clock, so that nobody else has them.
fn first_session(settings: &Settings) -> i64 {
    let server = crate::types::ServerId(settings.quorum.my_id.unwrap_or(0));
    let now = crate::types::Now { wall: super::clock::wall(), ..crate::types::Now::default() };
    crate::replica::session::SessionIds::new(server, now).take(|_| false).0
}

fn version_dir(dir: &Path) -> String {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    dir.join("version-2").display().to_string()
}

impl Facts {
    /// Out of the settings.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let is_member = settings.mode == Mode::Ensemble;
        let conf = ServerConf {
            client_port: -1,
            secure_client_port: -1,
            data_dir: version_dir(&settings.paths.data_dir),
            data_log_dir: version_dir(&settings.paths.data_log_dir),
            tick_time: settings.sessions.tick_time_ms,
            max_client_cnxns: settings.limits.max_client_cnxns,
            min_session_timeout: settings.sessions.min_timeout_ms,
            max_session_timeout: settings.sessions.max_timeout_ms,
            listen_backlog: settings.client.listen_backlog,
            server_id: if is_member { settings.quorum.my_id.unwrap_or(0) } else { 0 },
            ensemble: is_member.then(|| EnsembleConf {
                init_limit: settings.quorum.init_limit,
                sync_limit: settings.quorum.sync_limit,
                election_alg: 3,
                peer_type: i32::from(settings.quorum.role == Role::Observer),
                ..EnsembleConf::default()
            }),
            ..ServerConf::default()
        };
        let first_read_only_session = first_session(settings);
        Self {
            takes_observers: settings.quorum.observer_master_port.is_some(),
            whitelist: settings.four_letter_words.clone(),
            zone: Zone::of_this_machine(),
            conf,
            client_port: AtomicI32::new(-1),
            trace_mask: AtomicI64::new(TRACE_MASK),
            first_read_only_session,
            read_only_session: AtomicI64::new(first_read_only_session),
        }
    }

    /// The client port is bound.
    pub fn bound(&self, port: u16) {
        self.client_port.store(i32::from(port), Relaxed);
    }

    /// The configuration, without sizes.
    #[must_use]
    pub fn conf(&self) -> ServerConf {
        ServerConf { client_port: self.client_port.load(Relaxed), ..self.conf.clone() }
    }

    /// A number for a session that only this server knows.
    pub(super) fn next_read_only_session(&self) -> i64 {
        self.read_only_session.fetch_add(1, Relaxed)
    }

    /// Is it one of those?
    pub(super) fn made_read_only_session(&self, session: SessionId) -> bool {
        (self.first_read_only_session..self.read_only_session.load(Relaxed)).contains(&session.0)
    }

    /// Bits that say what is traced.
    #[must_use]
    pub fn trace_mask(&self) -> i64 {
        self.trace_mask.load(Relaxed)
    }

    /// Sets them.
    pub fn set_trace_mask(&self, mask: i64) {
        self.trace_mask.store(mask, Relaxed);
    }
}

/// What the process runs on. There is no Java here: its keys stay, without values.
#[must_use]
pub fn environment() -> Environment {
    let uname = rustix::system::uname();
    let text = |s: &std::ffi::CStr| s.to_string_lossy().into_owned();
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let memory = Memory::now();
    let mib = |kib: u64| if kib == 0 { String::new() } else { format!("{}MB", kib / 1024) };
    vec![
        ("host.name", text(uname.nodename())),
        ("java.version", String::new()),
        ("java.vendor", String::new()),
        ("java.home", String::new()),
        ("java.class.path", String::new()),
        ("java.library.path", String::new()),
        ("java.io.tmpdir", std::env::temp_dir().display().to_string()),
        ("java.compiler", String::new()),
        ("os.name", text(uname.sysname())),
        ("os.arch", java_arch(uname.machine().to_bytes())),
        ("os.version", text(uname.release())),
        ("user.name", user_name()),
        ("user.home", variable("HOME")),
        ("user.dir", std::env::current_dir().map(|d| d.display().to_string()).unwrap_or_default()),
        ("os.memory.free", mib(memory.available)),
        ("os.memory.max", mib(memory.total)),
        ("os.memory.total", mib(memory.resident)),
    ]
}

/// The processor as Java names it.
fn java_arch(machine: &[u8]) -> String {
    match machine {
        b"x86_64" => "amd64".to_owned(),
        other => String::from_utf8_lossy(other).into_owned(),
    }
}

fn user_name() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let by_id = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id).then(|| name.to_owned())
    });
    by_id.unwrap_or_else(|| std::env::var("USER").unwrap_or(id))
}

/// Memory, in KiB; 0 where it is not known.
#[derive(Debug, Default)]
struct Memory {
    available: u64,
    total: u64,
    resident: u64,
}

impl Memory {
    fn now() -> Self {
        let field = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let own = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            available: field(&machine, "MemAvailable").unwrap_or(0),
            total: field(&machine, "MemTotal").unwrap_or(0),
            resident: field(&own, "VmRSS").unwrap_or(0),
        }
    }
}

/// Bytes of memory that this process may use: the machine's, or its control group's where that is less.
#[must_use]
pub fn usable_memory() -> Option<usize> {
    let machine = usize::try_from(Memory::now().total).ok().filter(|kib| *kib > 0).map(|kib| kib * 1024);
    let groups = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = groups.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

/// Files open, and how many may be; -1 where that is not known.
#[must_use]
pub fn open_files() -> (i64, i64) {
    let open = std::fs::read_dir("/proc/self/fd").map_or(-1, |fds| i64::try_from(fds.count()).unwrap_or(-1));
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (open, limit.map_or(i64::MAX, |limit| i64::try_from(limit).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shown_as_it_was_set() {
        let arguments = ["0", "/nowhere", "2000", "-1"].map(str::to_owned).to_vec();
        let source = crate::config::Source::Arguments(arguments);
        let properties = crate::config::SystemProperties::default();
        let settings = crate::config::load(&source, properties, &crate::config::RealWorld).unwrap();
        assert_eq!(settings.limits.connections_per_address, None);
        assert_eq!(Facts::of(&settings).conf().max_client_cnxns, -1);
    }

    #[test]
    fn the_surroundings_are_known() {
        let environment = environment();
        let value = |key: &str| &environment.iter().find(|row| row.0 == key).unwrap().1;
        for key in ["host.name", "os.name", "os.arch", "os.version", "user.name", "user.dir", "os.memory.max"]
        {
            assert!(!value(key).is_empty(), "{key}");
        }
        assert!(value("os.memory.total").ends_with("MB"));
        assert_eq!(environment.len(), 17);
        assert_eq!(java_arch(b"x86_64"), "amd64");
        let (open, limit) = open_files();
        assert!(open > 2 && limit >= open);
    }
}
