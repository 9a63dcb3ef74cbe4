//! The command line of `quoll bench`, and the plan that comes out of it when it makes sense.

use super::clock::nanos;
use super::failure::Failure;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Workload {
    /// getData of random nodes.
    Read,
    /// setData of random nodes.
    Write,
    /// Create new nodes, every connection below a parent of its own.
    Create,
    /// Reads and writes by --ratio.
    Mixed,
    /// All connections watch one node: time from its change until every one has been told.
    Watch,
    /// Open and close sessions.
    Connect,
    /// Open sessions and hold them, with heartbeats.
    Idle,
    /// Create --nodes nodes as fast as multis can, and keep them.
    Load,
    /// Remove what an earlier run kept below --root.
    Clean,
}

impl Workload {
    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Create => "create",
            Self::Mixed => "mixed",
            Self::Watch => "watch",
            Self::Connect => "connect",
            Self::Idle => "idle",
            Self::Load => "load",
            Self::Clean => "clean",
        }
    }

    fn connections(self) -> usize {
        match self {
            // Below the 60 that a server takes from one address unless it is told otherwise.
            Self::Read | Self::Write | Self::Create | Self::Mixed | Self::Connect => 50,
            Self::Watch | Self::Idle => 1000,
            Self::Load => 4,
            Self::Clean => 1,
        }
    }

    fn depth(self) -> usize {
        if self == Self::Load { 4 } else { 1 }
    }

    fn nodes(self) -> u32 {
        if self == Self::Load { 1_000_000 } else { 1000 }
    }
}

/// Arguments of `quoll bench`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// What to do to the server.
    #[arg(value_enum)]
    pub workload: Workload,

    /// Servers to connect to; connections take them in turns.
    #[arg(
        short,
        long,
        value_name = "HOST:PORT[,HOST:PORT...]",
        default_value = "127.0.0.1:2181",
        value_delimiter = ','
    )]
    pub server: Vec<String>,

    /// Connections, each with a session [default: 50; watch and idle 1000; load 4].
    #[arg(short, long, value_name = "N")]
    pub connections: Option<usize>,

    /// Requests in flight on each connection [default: 1; load 4].
    #[arg(short, long, value_name = "N")]
    pub depth: Option<usize>,

    /// Bytes of data of each node.
    #[arg(long, value_name = "BYTES", default_value_t = 100)]
    pub value_size: usize,

    /// Nodes that reads and writes are spread over, or that load creates [default: 1000; load 1000000].
    #[arg(short, long, value_name = "N")]
    pub nodes: Option<u32>,

    /// How long to measure.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub seconds: f64,

    /// Measure this many operations, however long they take. For watch: rounds [default there: 20].
    #[arg(long, value_name = "N")]
    pub ops: Option<u64>,

    /// Run for so long before measuring.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub warmup: f64,

    /// Share of reads in mixed, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 70, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub ratio: u8,

    /// Threads of this client; more than one only helps with processors to spare.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,

    /// Give up when nothing at all was answered for so long.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    pub timeout: f64,

    /// Session timeout to ask for.
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 30_000)]
    pub session_timeout: i32,

    /// Creates per multi in load.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub batch: u32,

    /// Where to work [default: /quoll-bench-PID].
    #[arg(long, value_name = "PATH")]
    pub root: Option<String>,

    /// Leave the nodes behind.
    #[arg(long)]
    pub keep: bool,

    /// Process of a server on this machine: its processor time and memory are reported too.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,

    /// Local addresses to connect from, in turns; for more connections than one address has ports.
    #[arg(long, value_name = "ADDRESS[,ADDRESS...]", value_delimiter = ',')]
    pub source: Vec<IpAddr>,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How long the measured part lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Span {
    /// So many nanoseconds.
    Time(u64),
    /// So many operations.
    Count(u64),
}

/// Arguments that make sense.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) workload: Workload,
    pub(super) servers: Vec<SocketAddr>,
    pub(super) connections: usize,
    pub(super) depth: usize,
    pub(super) value_size: usize,
    pub(super) nodes: u32,
    pub(super) span: Span,
    pub(super) warmup: u64,
    pub(super) ratio: u8,
    pub(super) threads: usize,
    /// Nanoseconds.
    pub(super) timeout: u64,
    /// Milliseconds.
    pub(super) session_timeout: i32,
    pub(super) batch: u32,
    pub(super) root: String,
    pub(super) keep: bool,
    pub(super) server_pid: Option<u32>,
    pub(super) source: Vec<IpAddr>,
    pub(super) json: bool,
}

/// One frame may carry this much with the server's default `jute.maxbuffer`.
pub(super) const FRAME_LIMIT: usize = 0xf_ffff;
/// Names have eight digits.
const NODE_LIMIT: u32 = 100_000_000;
/// Requests in flight on one connection; keeps what one batch needs in memory below 1 GiB in the worst case.
const DEPTH_LIMIT: usize = 4096;

impl TryFrom<Options> for Plan {
    type Error = Failure;

    fn try_from(o: Options) -> Result<Self, Failure> {
        let workload = o.workload;
        let connections = o.connections.unwrap_or_else(|| workload.connections());
        let depth = o.depth.unwrap_or_else(|| workload.depth());
        let nodes = o.nodes.unwrap_or_else(|| workload.nodes());
        positive("--connections", connections > 0)?;
        positive("--threads", o.threads > 0)?;
        positive("--batch", o.batch > 0)?;
        positive("--nodes", nodes > 0)?;
        positive("--ops", o.ops != Some(0))?;
        demand((1..=DEPTH_LIMIT).contains(&depth), || format!("--depth: 1 to {DEPTH_LIMIT}"))?;
        demand(nodes <= NODE_LIMIT, || format!("--nodes: at most {NODE_LIMIT}"))?;
        demand(o.session_timeout > 0, || "--session-timeout: must be positive".into())?;
        for (name, value) in [("--seconds", o.seconds), ("--timeout", o.timeout)] {
            demand(value.is_finite() && value > 0.0, || format!("{name}: must be positive"))?;
        }
        demand(o.warmup.is_finite() && o.warmup >= 0.0, || "--warmup: must not be negative".into())?;
        let root = o.root.unwrap_or_else(|| format!("/quoll-bench-{}", std::process::id()));
        demand(well_formed(&root), || {
            format!("--root {root}: an absolute path without empty parts is expected")
        })?;
        demand(workload != Workload::Clean || root.starts_with("/quoll-bench") || o.keep, || {
            format!(
                "clean would remove all of {root}: say --keep to confirm for a path outside /quoll-bench*"
            )
        })?;
        let overhead = root.len() + 128;
        let size = o.value_size.saturating_add(overhead);
        demand(size <= FRAME_LIMIT, || {
            format!("--value-size: at most {}", FRAME_LIMIT.saturating_sub(overhead))
        })?;
        let fits = u32::try_from(FRAME_LIMIT / size).unwrap_or(u32::MAX);
        let span = match (o.ops, workload) {
            (Some(n), _) => Span::Count(n),
            (None, Workload::Watch) => Span::Count(20),
            (None, Workload::Load) => Span::Count(u64::MAX),
            (None, _) => Span::Time(nanos(o.seconds)),
        };
        Ok(Self {
            workload,
            servers: resolve(&o.server)?,
            connections,
            depth,
            value_size: o.value_size,
            nodes,
            span,
            warmup: if workload == Workload::Load { 0 } else { nanos(o.warmup) },
            ratio: o.ratio,
            threads: o.threads.min(connections),
            timeout: nanos(o.timeout),
            session_timeout: o.session_timeout,
            batch: o.batch.min(fits),
            root,
            keep: o.keep || workload == Workload::Load,
            server_pid: o.server_pid,
            source: o.source,
            json: o.json,
        })
    }
}

fn demand(holds: bool, message: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Usage(message())) }
}

fn positive(name: &str, holds: bool) -> Result<(), Failure> {
    demand(holds, || format!("{name}: must be positive"))
}

fn well_formed(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\0'))
    })
}

fn resolve(names: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let mut found = Vec::new();
    for name in names {
        let address = name.to_socket_addrs().map_err(Failure::io(format!("--server {name}")))?.next();
        found.push(address.ok_or_else(|| Failure::Usage(format!("--server {name}: no address")))?);
    }
    demand(!found.is_empty(), || "--server: at least one is needed".into())?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn plan(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).map_err(|e| e.to_string())?;
        Plan::try_from(cli.options).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_depend_on_the_workload() {
        let read = plan("read").unwrap();
        assert_eq!((read.connections, read.depth, read.nodes, read.threads), (50, 1, 1000, 1));
        assert_eq!(read.span, Span::Time(10_000_000_000));
        assert!(!read.keep && read.root.starts_with("/quoll-bench-"));
        let load = plan("load").unwrap();
        assert_eq!((load.connections, load.depth, load.nodes, load.batch), (4, 4, 1_000_000, 500));
        assert!(load.keep && load.warmup == 0);
        assert_eq!(plan("watch").unwrap().span, Span::Count(20));
    }

    #[test]
    fn every_option_reaches_the_plan() {
        let p = plan(
            "mixed -s 127.0.0.1:2181,127.0.0.1:2182 -c 16 -d 64 --value-size 7 -n 5 --ops 9 --warmup 0.5 \
             --ratio 30 --threads 2 --timeout 3 --session-timeout 4000 --root /a/b --keep --server-pid 4 \
             --source 127.0.0.2,127.0.0.3 --json",
        )
        .unwrap();
        assert_eq!((p.servers.len(), p.connections, p.depth, p.value_size, p.nodes), (2, 16, 64, 7, 5));
        assert_eq!((p.span, p.warmup, p.ratio, p.threads), (Span::Count(9), 500_000_000, 30, 2));
        assert_eq!((p.timeout, p.session_timeout, p.root.as_str()), (3_000_000_000, 4000, "/a/b"));
        assert_eq!((p.keep, p.server_pid, p.source.len(), p.json), (true, Some(4), 2, true));
    }

    #[test]
    fn nonsense_is_refused_with_the_name_of_the_option() {
        for (line, name) in [
            ("read --depth 0", "--depth"),
            ("read --depth 5000", "--depth"),
            ("read --connections 0", "--connections"),
            ("read --nodes 0", "--nodes"),
            ("read --seconds 0", "--seconds"),
            ("read --seconds nan", "--seconds"),
            ("read --warmup=-1", "--warmup"),
            ("read --value-size 1048575", "--value-size"),
            ("read --root relative", "--root"),
            ("read --root /a//b", "--root"),
            ("read --root /", "--root"),
            ("read --server nowhere", "--server"),
            ("mixed --ratio 101", "--ratio"),
            ("clean --root /kafka", "--keep"),
        ] {
            let message = plan(line).err().unwrap_or_default();
            assert!(message.contains(name), "{line}: {message}");
        }
        assert!(plan("juggle").is_err());
    }

    #[test]
    fn a_multi_never_exceeds_the_frame_limit() {
        let p = plan("load --value-size 100000 --batch 500").unwrap();
        assert!((p.value_size + p.root.len() + 100) * p.batch as usize <= FRAME_LIMIT);
        assert!(p.batch >= 8);
    }
}
