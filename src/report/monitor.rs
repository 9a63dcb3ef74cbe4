//! The rows of `mntr` and of its kin: names and values, in the order in which they are shown.

use super::counters::{ResponseSizes, Traffic};
use super::java;
use super::metrics::Metrics;
use super::summary::{Quantiles, Totals};
use super::view::{Gauges, Status, View};
use std::borrow::Cow;
use std::fmt;

/// The value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A decimal one.
    Decimal(f64),
    /// A text.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::Decimal(number) => f.write_str(&java::double(*number)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Rows as they come up.
struct Rows(Vec<(Cow<'static, str>, Value)>);

impl Rows {
    fn text(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name.into(), Value::Text(value.into())));
    }

    fn int(&mut self, name: impl Into<Cow<'static, str>>, value: i64) {
        self.0.push((name.into(), Value::Int(value)));
    }

    fn count(&mut self, name: impl Into<Cow<'static, str>>, value: impl TryInto<i64>) {
        self.int(name, value.try_into().unwrap_or(i64::MAX));
    }

    fn decimal(&mut self, name: impl Into<Cow<'static, str>>, value: f64) {
        self.0.push((name.into(), Value::Decimal(value)));
    }
}

/// Every row, without a prefix to the names.
#[must_use]
pub fn monitor(view: &dyn View) -> Vec<(Cow<'static, str>, Value)> {
    let mut rows = Rows(Vec::with_capacity(512));
    rows.text("version", view.version());
    rows.text("server_state", view.mode().map_or("", |mode| mode.name()));
    if let Some(peer) = view.peer() {
        rows.text("peer_state", peer.state);
        if let Some(master) = peer.observer_master {
            rows.int("observer_master_id", master);
        }
    }
    gauges(&mut rows, &view.status(), &view.traffic(), &view.gauges());
    metrics(&mut rows, &view.metrics());
    rows.0
}

fn gauges(rows: &mut Rows, status: &Status, traffic: &Traffic, gauges: &Gauges) {
    let ResponseSizes { last, min, max } = traffic.responses;
    let proposals = status.proposals;
    let leader = gauges.leader;
    rows.count("ephemerals_count", gauges.ephemerals_count);
    rows.count("num_alive_connections", status.connections);
    rows.decimal("avg_latency", traffic.latency.avg());
    if let Some(sizes) = proposals {
        rows.int("min_proposal_size", sizes.min);
    }
    rows.count("outstanding_requests", status.outstanding);
    rows.count("znode_count", status.node_count);
    rows.count("global_sessions", gauges.global_sessions);
    rows.count("non_mtls_remote_conn_count", gauges.non_mtls_remote);
    rows.int("last_client_response_size", last);
    rows.count("packets_sent", traffic.packets_sent);
    rows.count("packets_received", traffic.packets_received);
    if let Some(sizes) = proposals {
        rows.int("max_proposal_size", sizes.max);
    }
    rows.int("max_client_response_size", max);
    if let Some(leader) = leader {
        rows.count("synced_followers", leader.synced_followers);
    }
    rows.decimal("connection_drop_probability", gauges.connection_drop_probability);
    rows.count("watch_count", gauges.watch_count);
    if let Some(leader) = leader {
        rows.count("synced_non_voting_followers", leader.synced_non_voting_followers);
    }
    if let Some(observers) = gauges.synced_observers {
        rows.count("synced_observers", observers);
    }
    rows.count("auth_failed_count", traffic.auth_failed);
    rows.int("min_latency", traffic.latency.min);
    rows.int("max_file_descriptor_count", gauges.max_files);
    rows.int("approximate_data_size", gauges.approximate_data_size);
    rows.int("open_file_descriptor_count", gauges.open_files);
    if let Some(sizes) = proposals {
        rows.int("last_proposal_size", sizes.last);
    }
    if let Some(leader) = leader {
        rows.count("pending_syncs", leader.pending_syncs);
        rows.int("leader_uptime", leader.uptime);
    }
    rows.count("local_sessions", gauges.local_sessions);
    rows.int("uptime", gauges.uptime);
    rows.int("max_latency", traffic.latency.max);
    rows.count("outstanding_tls_handshake", gauges.outstanding_tls_handshakes);
    if let Some(leader) = leader {
        rows.count("learners", leader.learners);
    }
    rows.int("min_client_response_size", min);
    rows.count("non_mtls_local_conn_count", gauges.non_mtls_local);
    if let Some(voters) = gauges.quorum_size {
        rows.count("quorum_size", voters);
    }
    for quota in &gauges.quotas {
        let name = |what: &str| format!("{}_quota_{what}_per_namespace", quota.namespace);
        rows.int(name("count_limit"), quota.count_limit);
        rows.int(name("bytes_limit"), quota.bytes_limit);
        rows.int(name("count_usage"), quota.count_usage);
        rows.int(name("bytes_usage"), quota.bytes_usage);
    }
}

fn metrics(rows: &mut Rows, metrics: &Metrics) {
    for (name, count) in &metrics.counters {
        rows.count(*name, *count);
    }
    for (name, set) in &metrics.counter_sets {
        for (key, count) in set {
            rows.count(format!("{key}_{name}"), *count);
        }
    }
    for (name, totals) in &metrics.summaries {
        summary(rows, name, totals);
    }
    for (name, totals, quantiles) in &metrics.percentiles {
        summary(rows, name, totals);
        percentiles(rows, name, quantiles);
    }
    for (name, set) in &metrics.keyed_summaries {
        for (key, totals) in set {
            summary(rows, &format!("{key}_{name}"), totals);
        }
    }
    for (name, set) in &metrics.keyed_percentiles {
        for (key, (totals, quantiles)) in set {
            let name = format!("{key}_{name}");
            summary(rows, &name, totals);
            percentiles(rows, &name, quantiles);
        }
    }
}

fn summary(rows: &mut Rows, name: &str, totals: &Totals) {
    rows.decimal(format!("avg_{name}"), totals.avg());
    rows.int(format!("min_{name}"), totals.min);
    rows.int(format!("max_{name}"), totals.max);
    rows.count(format!("cnt_{name}"), totals.count);
    rows.int(format!("sum_{name}"), totals.sum);
}

fn percentiles(rows: &mut Rows, name: &str, quantiles: &Quantiles) {
    rows.int(format!("p50_{name}"), quantiles.p50);
    rows.int(format!("p95_{name}"), quantiles.p95);
    rows.int(format!("p99_{name}"), quantiles.p99);
    rows.int(format!("p999_{name}"), quantiles.p999);
}
