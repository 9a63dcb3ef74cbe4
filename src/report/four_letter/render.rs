//! The answers, to the byte: missing ends of line, stray blanks and all, because tools were written to them.

use super::super::counters::ResponseSizes;
use super::super::view::{Bucket, ConnInfo, EnsembleConf, Mode, SessionDump, View};
use super::super::{java, monitor};
use jute::OpCode;
use std::fmt::Write as _;

/// `conf`.
#[must_use]
pub fn conf(view: &dyn View) -> String {
    let c = view.conf();
    let mut out = String::new();
    _ = write!(
        out,
        "clientPort={}\nsecureClientPort={}\ndataDir={}\ndataDirSize={}\ndataLogDir={}\ndataLogSize={}\n\
         tickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\nmaxSessionTimeout={}\n\
         clientPortListenBacklog={}\nserverId={}\n",
        c.client_port,
        c.secure_client_port,
        c.data_dir,
        c.sizes.data,
        c.data_log_dir,
        c.sizes.log,
        c.tick_time,
        c.max_client_cnxns,
        c.min_session_timeout,
        c.max_session_timeout,
        c.listen_backlog,
        c.server_id,
    );
    if let Some(EnsembleConf {
        init_limit,
        sync_limit,
        election_alg,
        election_port,
        quorum_port,
        peer_type,
        membership,
    }) = c.ensemble
    {
        _ = write!(
            out,
            "initLimit={init_limit}\nsyncLimit={sync_limit}\nelectionAlg={election_alg}\n\
             electionPort={election_port}\nquorumPort={quorum_port}\npeerType={peer_type}\n",
        );
        if let Some(membership) = membership {
            _ = write!(out, "membership: \n{membership}");
        }
    }
    out
}

/// `srvr`.
#[must_use]
pub fn srvr(view: &dyn View) -> String {
    let mut out = head(view);
    numbers(view, &mut out);
    out
}

/// `stat`.
#[must_use]
pub fn stat(view: &dyn View) -> String {
    let mut out = head(view);
    out.push_str("Clients:\n");
    for conn in view.connections().iter().filter(|conn| conn.secure == view.is_secure()) {
        brief(conn, &mut out);
        out.push_str(")\n");
    }
    out.push('\n');
    numbers(view, &mut out);
    out
}

fn head(view: &dyn View) -> String {
    let mut out = format!("Zookeeper version: {}\n", view.version());
    if view.mode() == Some(Mode::ReadOnly) {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    out
}

fn numbers(view: &dyn View, out: &mut String) {
    let (traffic, status) = (view.traffic(), view.status());
    let latency = traffic.latency;
    _ = write!(
        out,
        "Latency min/avg/max: {}/{}/{}\nReceived: {}\nSent: {}\nConnections: {}\nOutstanding: {}\nZxid: {}\n\
         Mode: {}\nNode count: {}\n",
        latency.min,
        java::double(latency.avg()),
        latency.max,
        traffic.packets_received,
        traffic.packets_sent,
        status.connections,
        status.outstanding,
        status.last_zxid,
        view.mode().map_or("", Mode::name),
        status.node_count,
    );
    if let Some(ResponseSizes { last, min, max }) = status.proposals {
        _ = writeln!(out, "Proposal sizes last/min/max: {last}/{min}/{max}");
    }
}

/// `cons`.
#[must_use]
pub fn cons(view: &dyn View) -> String {
    let mut out = String::new();
    for conn in view.connections().iter().filter(|conn| conn.secure == view.is_secure()) {
        brief(conn, &mut out);
        if let Some(s) = conn.session {
            _ = write!(
                out,
                ",sid={},lop={},est={},to={}",
                s.id,
                operation(s.last_op),
                conn.established,
                s.timeout.0
            );
            if s.last_cxid >= 0 {
                _ = write!(out, ",lcxid=0x{:x}", s.last_cxid);
            }
            _ = write!(
                out,
                ",lzxid=0x{:x},lresp={},llat={},minlat={},avglat={},maxlat={}",
                s.last_zxid, s.last_response.0, s.last_latency, s.min_latency, s.avg_latency, s.max_latency
            );
        }
        out.push_str(")\n");
    }
    out.push('\n');
    out
}

fn brief(conn: &ConnInfo, out: &mut String) {
    let ConnInfo { remote, interest, outstanding, received, sent, .. } = conn;
    _ = write!(out, " /{remote}[{interest:x}](queued={outstanding},recved={received},sent={sent}");
}

/// What `cons` calls an operation.
#[must_use]
pub fn operation(op: Option<i32>) -> &'static str {
    match op.and_then(OpCode::from_code) {
        Some(OpCode::Ping) => "PING",
        Some(OpCode::CreateSession) => "SESS",
        Some(OpCode::CloseSession) => "CLOS",
        Some(OpCode::Multi) => "MULT",
        Some(OpCode::MultiRead) => "MLTR",
        Some(OpCode::Create | OpCode::Create2 | OpCode::CreateTtl | OpCode::CreateContainer) => "CREA",
        Some(OpCode::Delete | OpCode::DeleteContainer) => "DELE",
        Some(OpCode::SetData) => "SETD",
        Some(OpCode::Reconfig) => "RECO",
        Some(OpCode::SetAcl) => "SETA",
        Some(OpCode::Sync) => "SYNC",
        Some(OpCode::Check) => "CHEC",
        Some(OpCode::Exists) => "EXIS",
        Some(OpCode::GetData) => "GETD",
        Some(OpCode::SetWatches) => "SETW",
        Some(OpCode::SetWatches2) => "STW2",
        Some(OpCode::AddWatch) => "ADDW",
        Some(OpCode::GetAcl) => "GETA",
        Some(OpCode::GetChildren | OpCode::GetChildren2) => "GETC",
        Some(OpCode::GetAllChildrenNumber) => "GETACN",
        Some(OpCode::CheckWatches) => "CHKW",
        Some(OpCode::RemoveWatches) => "REMW",
        Some(OpCode::WhoAmI) => "HOMI",
        Some(OpCode::GetEphemerals) => "GETE",
        Some(OpCode::Notification | OpCode::Auth | OpCode::Sasl | OpCode::Error) | None => "NA",
    }
}

/// `dirs`.
#[must_use]
pub fn dirs(view: &dyn View) -> String {
    let sizes = view.dir_sizes();
    format!("datadir_size: {}\nlogdir_size: {}\n", sizes.data, sizes.log)
}

/// `dump`.
#[must_use]
pub fn dump(view: &dyn View) -> String {
    let mut out = "SessionTracker dump:\n".to_owned();
    let session = |out: &mut String, id: &crate::types::SessionId| _ = write!(out, "{id}");
    match view.sessions() {
        SessionDump::Tracked { local: None, global } => {
            buckets(view, "Session Sets", &global, session, &mut out)
        }
        SessionDump::Tracked { local: Some(local), global } => {
            buckets(view, "Local Session Sets", &local, session, &mut out);
            buckets(view, "Global Session Sets", &global, session, &mut out);
        }
        SessionDump::Learner { local, mut global } => {
            if let Some(local) = local {
                buckets(view, "Local Session Sets", &local, session, &mut out);
            }
            global.sort_unstable();
            _ = writeln!(out, "Global Sessions({}):", global.len());
            for (id, timeout) in global {
                _ = writeln!(out, "{id}\t{}ms", timeout.0);
            }
        }
    }
    let ephemerals = view.ephemerals();
    _ = writeln!(out, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", ephemerals.len());
    for (id, paths) in ephemerals {
        _ = writeln!(out, "{id}:");
        lines(&paths, &mut out);
    }
    out.push_str("Connections dump:\n");
    if let Some(deadlines) = view.connection_deadlines() {
        let conn =
            |out: &mut String, (remote, id): &(String, _)| _ = write!(out, "ip: /{remote} sessionId: {id}");
        buckets(view, "Connections Sets", &deadlines, conn, &mut out);
    }
    out
}

fn buckets<T>(
    view: &dyn View,
    title: &str,
    buckets: &[Bucket<T>],
    item: impl Fn(&mut String, &T),
    out: &mut String,
) {
    let items: usize = buckets.iter().map(|bucket| bucket.items.len()).sum();
    _ = writeln!(out, "{title} ({})/({items}):", buckets.len());
    for bucket in buckets {
        _ = writeln!(out, "{} expire at {}:", bucket.items.len(), view.zone().date(bucket.wall));
        for one in &bucket.items {
            out.push('\t');
            item(out, one);
            out.push('\n');
        }
    }
}

fn lines<T: std::fmt::Display>(items: &[T], out: &mut String) {
    for item in items {
        _ = writeln!(out, "\t{item}");
    }
}

/// `envi`.
#[must_use]
pub fn envi(view: &dyn View) -> String {
    let mut out = format!("Environment:\nzookeeper.version={}\n", view.version());
    for (key, value) in view.environment() {
        _ = writeln!(out, "{key}={}", if value.is_empty() { "<NA>" } else { &value });
    }
    out
}

/// `wchs`.
#[must_use]
pub fn wchs(view: &dyn View) -> String {
    let watches = view.watch_summary();
    format!(
        "{} connections watching {} paths\nTotal watches:{}\n",
        watches.connections, watches.paths, watches.total
    )
}

/// `wchc`.
#[must_use]
pub fn wchc(view: &dyn View) -> String {
    let mut out = String::new();
    for (id, paths) in view.watches_by_session() {
        _ = writeln!(out, "{id}");
        lines(&paths, &mut out);
    }
    out.push('\n');
    out
}

/// `wchp`.
#[must_use]
pub fn wchp(view: &dyn View) -> String {
    let mut out = String::new();
    for (path, sessions) in view.watches_by_path() {
        _ = writeln!(out, "{path}");
        lines(&sessions, &mut out);
    }
    out.push('\n');
    out
}

/// `hash`.
#[must_use]
pub fn hash(view: &dyn View) -> String {
    let mut out = String::new();
    for (zxid, digest) in view.digests() {
        _ = writeln!(out, "{:x}: {}", zxid.0, digest.cast_signed());
    }
    out
}

/// `mntr`.
#[must_use]
pub fn mntr(view: &dyn View) -> String {
    let mut out = String::new();
    for (name, value) in monitor(view) {
        _ = writeln!(out, "zk_{name}\t{value}");
    }
    out
}
