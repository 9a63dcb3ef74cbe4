//! What a run has to say: a table for people, JSON for programs. Both show the same figures.

use super::clock::seconds;
use super::gauge::Look;
use super::options::Plan;
use super::tally::{Faults, Latencies};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// One kind of operation.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Operations; more than latencies where one request carries many.
    pub(super) operations: u64,
    /// Of requests.
    pub(super) latencies: Latencies,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    pub(super) faults: Faults,
    /// How long was counted, in nanoseconds.
    pub(super) elapsed: u64,
    /// The server's process when counting started and when it ended.
    pub(super) looks: Option<(Look, Look)>,
    /// Further figures of this workload.
    pub(super) facts: Vec<(&'static str, f64)>,
}

/// Percentiles shown, and their names.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)];

impl Report {
    fn operations(&self) -> u64 {
        self.rows
            .first()
            .map_or(0, |_| self.rows.iter().filter(|row| !row.is_detail()).map(|r| r.operations).sum())
    }

    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn rate(&self, operations: u64) -> f64 {
        operations as f64 / seconds(self.elapsed).max(1e-9)
    }

    /// Microseconds of the server's processor time for each operation.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn cpu_per_operation(&self) -> Option<f64> {
        let (before, after) = self.looks?;
        Some((after.cpu - before.cpu) * 1e6 / self.operations().max(1) as f64)
    }

    /// As JSON.
    pub(super) fn json(&self, plan: &Plan) -> Value {
        let kinds: Map<String, Value> = self
            .rows
            .iter()
            .map(|row| {
                let mut latency = Map::new();
                latency.insert("mean".into(), round(row.latencies.mean_micros()));
                for (name, quantile) in QUANTILES {
                    latency.insert(name.into(), round(row.latencies.micros_at(quantile)));
                }
                latency.insert("max".into(), round(row.latencies.max_micros()));
                let value = json!({
                    "operations": row.operations,
                    "operations_per_second": round(self.rate(row.operations)),
                    "latency_us": latency,
                });
                (row.name.to_owned(), value)
            })
            .collect();
        let mut out = json!({
            "workload": plan.workload.name(),
            "servers": plan.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "connections": plan.connections,
            "depth": plan.depth,
            "threads": plan.threads,
            "value_size": plan.value_size,
            "nodes": plan.nodes,
            "root": plan.root,
            "seconds": round(seconds(self.elapsed)),
            "operations": self.operations(),
            "operations_per_second": round(self.rate(self.operations())),
            "kinds": kinds,
            "faults": {
                "total": self.faults.total(),
                "kinds": self.faults.named().into_iter().map(|(k, n)| (k, n.into())).collect::<Map<_, _>>(),
            },
        });
        if let Some(object) = out.as_object_mut() {
            for (name, figure) in &self.facts {
                object.insert((*name).to_owned(), round(*figure));
            }
            if let Some((before, after)) = self.looks {
                let process = json!({
                    "cpu_seconds": round(after.cpu - before.cpu),
                    "cpu_us_per_operation": self.cpu_per_operation().map(round),
                    "resident_kib_before": before.resident,
                    "resident_kib_after": after.resident,
                });
                object.insert("server_process".into(), process);
            }
        }
        out
    }

    /// As a table.
    pub(super) fn text(&self, plan: &Plan) -> String {
        let mut out = String::new();
        let servers: Vec<String> = plan.servers.iter().map(ToString::to_string).collect();
        // Writing into a string cannot fail.
        let _ = writeln!(
            out,
            "{} on {}: {} connections x depth {}, {} nodes of {} B, {:.1} s",
            plan.workload.name(),
            servers.join(","),
            plan.connections,
            plan.depth,
            plan.nodes,
            plan.value_size,
            seconds(self.elapsed),
        );
        let _ = write!(out, "{:<14}{:>12}{:>13}{:>11}", "", "operations", "per second", "mean us");
        for (name, _) in QUANTILES {
            let _ = write!(out, "{name:>11}");
        }
        let _ = writeln!(out, "{:>11}", "max");
        for row in &self.rows {
            let rate = self.rate(row.operations);
            let mean = row.latencies.mean_micros();
            let _ = write!(out, "{:<14}{:>12}{rate:>13.0}{mean:>11.1}", row.name, row.operations);
            for (_, quantile) in QUANTILES {
                let _ = write!(out, "{:>11.1}", row.latencies.micros_at(quantile));
            }
            let _ = writeln!(out, "{:>11.1}", row.latencies.max_micros());
        }
        for (name, figure) in &self.facts {
            let _ = writeln!(out, "{}: {figure:.1}", name.replace('_', " "));
        }
        if let Some((before, after)) = self.looks {
            let cpu = after.cpu - before.cpu;
            let each = self.cpu_per_operation().unwrap_or_default();
            let (from, to) = (before.resident, after.resident);
            let _ = writeln!(out, "server: {cpu:.2} s of processor time, {each:.2} us per operation");
            let _ = writeln!(out, "server: {from} KiB resident before, {to} KiB after");
        }
        let faults: Vec<String> =
            self.faults.named().into_iter().map(|(name, n)| format!("{name} {n}")).collect();
        let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(", ") };
        let _ = writeln!(out, "faults: {faults}");
        out
    }
}

impl Row {
    /// Rows that show the same operations from another side are not added to the total.
    fn is_detail(&self) -> bool {
        matches!(self.name, "each watcher" | "close")
    }
}

/// Three decimals are what the figures are good for.
fn round(figure: f64) -> Value {
    json!((figure * 1e3).round() / 1e3)
}
