//! The results of a run: one JSON line on standard output for programs, one readable line on standard error.

use std::io::Write as _;

use serde_json::{Map, Value};

use super::args::ServerArgs;
use super::histogram::Histogram;
use super::process::{self, CpuTimes};
use super::server::Server;
use super::swarm::Swarm;
use crate::Trust;

/// Figures by name. Times are in the unit that the name ends with, memory in bytes.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) figures: Map<String, Value>,
    /// The readable line.
    pub(super) summary: String,
    /// Whether a message was lost, doubled or out of order, or a connection broke.
    pub(super) faulty: bool,
}

impl Report {
    pub(super) fn new(mode: &str, label: &str, pinned: bool) -> Self {
        let mut report = Self { figures: Map::new(), summary: String::new(), faulty: false };
        report.set("mode", mode);
        report.set("label", label);
        report.set("pinned", pinned);
        report
    }

    /// The report of a run on `server`, which was obtained by `args`.
    pub(super) fn of(mode: &str, args: &ServerArgs, server: &Server) -> Self {
        let mut report = Self::new(mode, &args.label, server.pinned && args.client_cpu.is_some());
        report.set("tls", args.trust.trust() != Trust::System);
        report
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Adds a figure to three decimals: no run is more exact than that.
    pub(super) fn measure(&mut self, name: &str, value: f64) {
        self.set(name, (value * 1e3).round() / 1e3);
    }

    /// Adds a count that must be zero.
    pub(super) fn fault(&mut self, name: &str, count: u64) {
        self.set(name, count);
        self.faulty |= count > 0;
    }

    pub(super) fn latencies(&mut self, histogram: &Histogram) {
        for (name, q) in [("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999)] {
            self.measure(name, histogram.quantile_us(q));
        }
        self.measure("max_us", histogram.max_us());
    }

    /// Adds the connections that ended unexpectedly.
    pub(super) fn failures(&mut self, swarm: &Swarm) {
        self.fault("errors", swarm.failed as u64);
        if let Some(reason) = &swarm.first_failure {
            self.set("first_error", reason.as_str());
        }
    }

    pub(super) fn print(self) -> std::io::Result<()> {
        writeln!(std::io::stdout().lock(), "{}", Value::Object(self.figures))?;
        writeln!(std::io::stderr().lock(), "{}", self.summary)
    }
}

/// CPU time of the server and of this client over a measured span.
#[derive(Debug)]
pub(super) struct Span {
    pid: u32,
    server: CpuTimes,
    client: f64,
    stolen: f64,
    start: u64,
}

impl Span {
    pub(super) fn begin(pid: u32, now: u64) -> Self {
        let stolen = process::stolen_seconds();
        Self { pid, server: CpuTimes::of(pid), client: process::thread_seconds(), stolen, start: now }
    }

    /// Adds the CPU time, in all and for a million of `units`, and the share of a CPU each side used until `now`;
    /// returns the wall time in seconds and the server's CPU seconds for a million units.
    pub(super) fn end(self, report: &mut Report, units: u64, now: u64) -> (f64, f64) {
        let client = process::thread_seconds() - self.client;
        let server = CpuTimes::of(self.pid).seconds_since(&self.server);
        let wall = ((now.saturating_sub(self.start)) as f64 / 1e9).max(1e-9);
        let per_million = |seconds: f64| seconds * 1e6 / units.max(1) as f64;
        report.measure("wall_s", wall);
        report.measure("server_cpu_s", server);
        report.measure("cpu_s_per_million", per_million(server));
        report.measure("client_cpu_s_per_million", per_million(client));
        report.measure("server_utilisation", server / wall);
        report.measure("client_utilisation", client / wall);
        report.measure("stolen_s", process::stolen_seconds() - self.stolen);
        (wall, per_million(server))
    }
}
