//! The metrics of a node (`http-api.md`): one set of counters per shard and one for HTTP, summed when they are read.
//!
//! Names start with `fanfare_`. No topic, user or channel name is ever a label, so the number of series is bounded.
//!
//! Longer than most: it is a table, an entry per metric.

use super::histogram::{Histogram, LATENCY_NS, SIZE_BYTES};
use super::series::Series;
use crate::storage::Commits;
use fanfare_core::model::{CLOSE_CODES, ErrorCode};
use fanfare_services::outcomes::Outcomes;
use fanfare_services::ports::Refused;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Kinds of commands whose time is measured.
#[derive(Clone, Copy, Debug)]
pub enum CommandKind {
    /// `subscribe`.
    Subscribe,
    /// `unsubscribe`.
    Unsubscribe,
    /// `publish`.
    Publish,
    /// `ping`.
    Ping,
    /// Anything else, refused frames included.
    Other,
}

const COMMAND_NAMES: [&str; 5] = ["subscribe", "unsubscribe", "publish", "ping", "other"];
/// Names of the dialects as labels, in the order of [`ShardMetrics::received`].
const DIALECT_NAMES: [&str; 2] = ["typed", "jsonrpc"];

/// Counters of one shard; only its thread writes them.
#[derive(Debug)]
pub struct ShardMetrics {
    /// Open connections.
    pub connections: AtomicI64,
    /// Connections opened.
    pub opened: AtomicU64,
    /// Text messages received, by dialect.
    pub received: [AtomicU64; 2],
    /// Events written to the kernel or queued for a connection.
    pub deliveries: AtomicU64,
    /// Events dropped from `drop_oldest` queues.
    pub dropped: AtomicU64,
    /// Connections ended as slow consumers.
    pub slow_consumers: AtomicU64,
    /// Bytes in outboxes.
    pub outbox_bytes: AtomicI64,
    /// From the first publish of a batch to its last write.
    pub publish_to_write: Histogram,
    /// Sizes of received messages.
    pub message_bytes: Histogram,
    /// Time of commands by [`CommandKind`].
    pub commands: [Histogram; 5],
    /// Errors sent, by code.
    pub errors: Vec<AtomicU64>,
    /// Messages refused by the connection's bucket.
    pub rate_limited: AtomicU64,
    /// Connections closed, by the index of their code in [`CLOSE_CODES`]; the last for all others: clients choose their
    /// code from thousands.
    closed: [AtomicU64; CLOSE_CODES.len() + 1],
}

impl ShardMetrics {
    /// All counters at zero.
    pub fn new() -> Self {
        Self {
            connections: AtomicI64::new(0),
            opened: AtomicU64::new(0),
            received: [AtomicU64::new(0), AtomicU64::new(0)],
            deliveries: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            slow_consumers: AtomicU64::new(0),
            outbox_bytes: AtomicI64::new(0),
            publish_to_write: Histogram::new(LATENCY_NS),
            message_bytes: Histogram::new(SIZE_BYTES),
            commands: std::array::from_fn(|_| Histogram::new(LATENCY_NS)),
            errors: ErrorCode::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            rate_limited: AtomicU64::new(0),
            closed: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Counts an error that was sent.
    pub fn error(&self, code: ErrorCode) {
        self.errors[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that ended.
    pub fn closed(&self, code: u16) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
        let at = CLOSE_CODES.iter().position(|known| *known == code).unwrap_or(CLOSE_CODES.len());
        self.closed[at].fetch_add(1, Ordering::Relaxed);
    }
}

impl Default for ShardMetrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The totals for `/stats`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Open connections.
    pub connections: u64,
    /// Text messages received.
    pub received: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Events dropped.
    pub dropped: u64,
}

/// All metrics of a node.
#[derive(Debug)]
pub struct Metrics {
    shards: Vec<Arc<ShardMetrics>>,
    /// Times of requests by (route, status).
    http: Series<(Box<str>, u16), Histogram>,
    rpc: Mutex<BTreeMap<&'static str, Arc<Histogram>>>,
    rate_limited: Series<&'static str, AtomicU64>,
    logins: OnceLock<Arc<Outcomes>>,
    gauges: Mutex<Vec<Gauge>>,
    families: Mutex<Vec<Watched>>,
    commits: OnceLock<Arc<Commits>>,
}

/// A gauge or counter whose value is read when metrics are rendered.
struct Gauge {
    name: &'static str,
    help: &'static str,
    counter: bool,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// Families that another part of the server writes when metrics are rendered.
type Families = Box<dyn Fn(&mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync>;

struct Watched(Families);

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("families")
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Metrics {
    /// The metrics of a node with these shards.
    pub fn new(shards: Vec<Arc<ShardMetrics>>) -> Self {
        Self {
            shards,
            http: Series::default(),
            rpc: Mutex::default(),
            rate_limited: Series::default(),
            logins: OnceLock::new(),
            gauges: Mutex::default(),
            families: Mutex::default(),
            commits: OnceLock::new(),
        }
    }

    /// Registers the store's commits. Only the first call counts.
    pub fn watch_commits(&self, commits: Arc<Commits>) {
        let _first = self.commits.set(commits);
    }

    /// Registers the logins by their outcome, which the accounts count.
    pub fn watch_logins(&self, logins: Arc<Outcomes>) {
        let _first = self.logins.set(logins);
    }

    /// Registers a value that is read when metrics are rendered.
    pub fn watch(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.gauges.lock().push(Gauge { name, help, counter: false, read: Box::new(read) });
    }

    /// Registers a counter that is kept elsewhere.
    pub fn watch_counter(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.gauges.lock().push(Gauge { name, help, counter: true, read: Box::new(read) });
    }

    /// Registers families that are written elsewhere.
    pub fn watch_families(
        &self,
        write: Box<dyn Fn(&mut DescriptorEncoder<'_>) -> fmt::Result + Send + Sync>,
    ) {
        self.families.lock().push(Watched(write));
    }

    /// Counts an HTTP request. `route` is the route's pattern, never the path.
    pub fn http(&self, route: &str, status: u16, ns: u64) {
        let is = |(known, of): &(Box<str>, u16)| **known == *route && *of == status;
        let make = || ((route.into(), status), Histogram::new(LATENCY_NS));
        if let Some(times) = self.http.get((route, status), is, make) {
            times.observe(ns);
        }
    }

    /// The times of a method's calls; looked up when it is registered, so that a call takes no lock for them.
    pub fn rpc_times(&self, method: &'static str) -> Arc<Histogram> {
        self.rpc.lock().entry(method).or_insert_with(|| Arc::new(Histogram::new(LATENCY_NS))).clone()
    }

    /// Counts a refusal by a limit that is not a connection's own bucket.
    pub fn refused_by(&self, scope: &'static str) {
        let refusals = self.rate_limited.get(scope, |known| *known == scope, || (scope, AtomicU64::new(0)));
        if let Some(refusals) = refusals {
            refusals.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sums over the shards.
    pub fn totals(&self) -> Totals {
        let sum = |f: fn(&ShardMetrics) -> u64| self.shards.iter().map(|s| f(s)).sum();
        Totals {
            connections: sum(|s| s.connections.load(Ordering::Relaxed).max(0) as u64),
            received: sum(|s| s.received.iter().map(|r| r.load(Ordering::Relaxed)).sum()),
            // Deliveries that were queued and then dropped reached no client.
            delivered: sum(|s| {
                s.deliveries.load(Ordering::Relaxed).saturating_sub(s.dropped.load(Ordering::Relaxed))
            }),
            dropped: sum(|s| s.dropped.load(Ordering::Relaxed)),
        }
    }

    /// The metrics as OpenMetrics text.
    ///
    /// # Errors
    /// Never in practice: writing to a string cannot fail.
    pub fn render(self: &Arc<Self>) -> Result<String, fmt::Error> {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(NodeCollector(self.clone())));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct NodeCollector(Arc<Metrics>);

/// A histogram summed over shards, in seconds or bytes.
struct Summed {
    sum: f64,
    buckets: Vec<(f64, u64)>,
}

impl EncodeMetric for Summed {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let count = self.buckets.iter().map(|(_, n)| n).sum();
        encoder.encode_histogram::<prometheus_client::encoding::NoLabelSet>(
            self.sum,
            count,
            &self.buckets,
            None,
        )
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

impl Summed {
    fn of<'a>(all: impl Iterator<Item = &'a Histogram>, unit: f64) -> Self {
        let (mut sum, mut counts, mut bounds) = (0, Vec::new(), &[][..]);
        for histogram in all {
            histogram.add_to(&mut sum, &mut counts);
            bounds = histogram.bounds();
        }
        let bounds = bounds.iter().map(|b| *b as f64 * unit).chain(std::iter::once(f64::INFINITY));
        Self { sum: sum as f64 * unit, buckets: bounds.zip(counts).collect() }
    }
}

impl NodeCollector {
    fn sum(&self, f: impl Fn(&ShardMetrics) -> u64) -> u64 {
        self.0.shards.iter().map(|s| f(s)).sum()
    }

    fn counters(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut m = family(e, "fanfare_messages_received", "Text messages received", MetricType::Counter)?;
        for (at, dialect) in DIALECT_NAMES.iter().enumerate() {
            let value = self.sum(|s| s.received[at].load(Ordering::Relaxed));
            ConstCounter::new(value).encode(m.encode_family(&[("dialect", *dialect)])?)?;
        }
        let mut m = family(e, "fanfare_messages_dropped", "Events not delivered", MetricType::Counter)?;
        let dropped = self.sum(|s| s.dropped.load(Ordering::Relaxed));
        ConstCounter::new(dropped).encode(m.encode_family(&[("reason", "drop_oldest")])?)?;
        let slow = self.sum(|s| s.slow_consumers.load(Ordering::Relaxed));
        simple(e, "fanfare_slow_consumers", "Connections ended because they read too slowly", slow)?;
        simple(
            e,
            "fanfare_deliveries",
            "Events handed to connections",
            self.sum(|s| s.deliveries.load(Ordering::Relaxed)),
        )?;
        simple(
            e,
            "fanfare_connections_opened",
            "Connections opened",
            self.sum(|s| s.opened.load(Ordering::Relaxed)),
        )?;
        let mut m = family(e, "fanfare_connections_closed", "Connections closed", MetricType::Counter)?;
        let codes = CLOSE_CODES.iter().map(u16::to_string).chain(std::iter::once("other".to_owned()));
        for (at, code) in codes.enumerate() {
            let n = self.sum(|s| s.closed[at].load(Ordering::Relaxed));
            if n > 0 {
                ConstCounter::new(n).encode(m.encode_family(&[("code", code)])?)?;
            }
        }
        if let Some(logins) = self.0.logins.get() {
            let mut m = family(e, "fanfare_auth", "Logins by outcome", MetricType::Counter)?;
            for (outcome, n) in logins.all() {
                ConstCounter::new(n).encode(m.encode_family(&[("outcome", outcome)])?)?;
            }
        }
        let mut m = family(e, "fanfare_rate_limited", "Refusals by a limit", MetricType::Counter)?;
        let own = self.sum(|s| s.rate_limited.load(Ordering::Relaxed));
        ConstCounter::new(own).encode(m.encode_family(&[("scope", "connection")])?)?;
        for (scope, n) in self.0.rate_limited.all() {
            ConstCounter::new(n.load(Ordering::Relaxed)).encode(m.encode_family(&[("scope", *scope)])?)?;
        }
        let mut m = family(e, "fanfare_errors", "Errors sent on sockets", MetricType::Counter)?;
        for code in ErrorCode::ALL {
            let n = self.sum(|s| s.errors[*code as usize].load(Ordering::Relaxed));
            if n > 0 {
                ConstCounter::new(n).encode(m.encode_family(&[("code", code.name())])?)?;
            }
        }
        Ok(())
    }

    fn histograms(&self, e: &mut DescriptorEncoder<'_>) -> fmt::Result {
        const NS: f64 = 1e-9;
        let shards = || self.0.shards.iter();
        let h = Summed::of(shards().map(|s| &s.publish_to_write), NS);
        let help = "From the first publish of a batch to its last write";
        h.encode(family(e, "fanfare_publish_to_write_seconds", help, MetricType::Histogram)?)?;
        let h = Summed::of(shards().map(|s| &s.message_bytes), 1.0);
        h.encode(family(e, "fanfare_message_bytes", "Sizes of received messages", MetricType::Histogram)?)?;
        let mut m =
            family(e, "fanfare_command_seconds", "Time to carry out a command", MetricType::Histogram)?;
        for (at, kind) in COMMAND_NAMES.iter().enumerate() {
            Summed::of(shards().map(|s| &s.commands[at]), NS).encode(m.encode_family(&[("type", *kind)])?)?;
        }
        if let Some(commits) = self.0.commits.get() {
            let h = Summed::of(std::iter::once(&commits.took), NS);
            let help = "Time of the store's commits";
            h.encode(family(e, "fanfare_store_commit_seconds", help, MetricType::Histogram)?)?;
            let h = Summed::of(std::iter::once(&commits.rows), 1.0);
            let help = "Units of work in a commit of the store";
            h.encode(family(e, "fanfare_store_batch_rows", help, MetricType::Histogram)?)?;
        }
        let mut m = family(e, "fanfare_rpc_request_seconds", "Time of method calls", MetricType::Histogram)?;
        for (method, times) in self.0.rpc.lock().iter().filter(|(_, times)| !times.is_empty()) {
            Summed::of(std::iter::once(&**times), NS).encode(m.encode_family(&[("method", *method)])?)?;
        }
        let mut m =
            family(e, "fanfare_http_request_seconds", "Time of HTTP requests", MetricType::Histogram)?;
        for ((route, status), times) in self.0.http.all() {
            let labels = [("route", route.to_string()), ("status", status.to_string())];
            Summed::of(std::iter::once(times), NS).encode(m.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn family<'e>(
    e: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &'e str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    e.encode_descriptor(name, help, None, kind)
}

fn simple(e: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(family(e, name, help, MetricType::Counter)?)
}

impl Collector for NodeCollector {
    fn encode(&self, mut e: DescriptorEncoder<'_>) -> fmt::Result {
        let open = self.sum(|s| s.connections.load(Ordering::Relaxed).max(0) as u64) as i64;
        ConstGauge::new(open).encode(family(
            &mut e,
            "fanfare_connections",
            "Open connections",
            MetricType::Gauge,
        )?)?;
        let bytes: i64 = self.0.shards.iter().map(|s| s.outbox_bytes.load(Ordering::Relaxed)).sum();
        let help = "Bytes that wait for slow readers";
        ConstGauge::new(bytes).encode(family(&mut e, "fanfare_outbox_bytes", help, MetricType::Gauge)?)?;
        for gauge in self.0.gauges.lock().iter() {
            let value = (gauge.read)();
            if gauge.counter {
                simple(&mut e, gauge.name, gauge.help, value)?;
            } else {
                ConstGauge::new(value as i64).encode(family(
                    &mut e,
                    gauge.name,
                    gauge.help,
                    MetricType::Gauge,
                )?)?;
            }
        }
        for watched in self.0.families.lock().iter() {
            (watched.0)(&mut e)?;
        }
        self.counters(&mut e)?;
        self.histograms(&mut e)
    }
}

impl Refused for Metrics {
    fn refused(&self, scope: &'static str) {
        self.refused_by(scope);
    }
}
