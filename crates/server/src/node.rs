//! A node: what its shards, its HTTP routes and its background tasks share, and the wiring of it.

use crate::admission::Admission;
use crate::encoders;
use crate::feeds::NodeFeeds;
use crate::methods::{NodeFacts, Parts};
use crate::posts::{ForAll, Posts, ToShard};
use crate::shard::Bell;
use crate::telemetry::metrics::{Metrics, ShardMetrics};
use crate::telemetry::repeated::RepeatedWarnings;
use fanfare_brokers::memory::{MemoryBroker, MemoryLimits};
use fanfare_config::Config;
use fanfare_core::hub::{Inbox, Turn};
use fanfare_core::model::{End, EventId};
use fanfare_core::topics::{Topics, TopicsConfig};
use fanfare_rpc::Registry;
use fanfare_services::access::Access;
use fanfare_services::clock::{Uptime, unix_ms};
use fanfare_services::rates::Rate;
use fanfare_services::topics::durable::{DurableLogs, Followers};
use fanfare_services::topics::{Asked, TopicDefaults};
use fanfare_services::{Foundations, NodeParts, Services};
use fanfare_ws::Limits as FrameLimits;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Wire bytes of one unfinished message beyond the message itself: room for headers of fragments.
const UNFINISHED_SLACK_BYTES: usize = 16 * 1024;
/// How long a socket may stay without authentication where it is asked for (`accounts-and-messages.md`).
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(10);
/// Sessions looked at in one sweep.
const SWEEP_SESSIONS: usize = 10_000;

/// Deadlines of connections in ticks of 100 ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    pub(crate) ping: u32,
    pub(crate) read: u32,
    pub(crate) write: u32,
    pub(crate) authenticate: u32,
    /// How long one look at every connection takes.
    pub(crate) scan: u32,
}

/// See the module's head.
pub struct Node {
    /// The configuration in force.
    pub config: Config,
    /// All topics.
    pub topics: Arc<Topics<ToShard>>,
    /// The rules.
    pub services: Services,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Methods by name.
    pub registry: Registry,
    /// Records of feeds.
    pub feeds: Arc<NodeFeeds>,
    /// Caps on connections.
    pub admission: Arc<Admission>,
    /// The way to the shards.
    pub posts: Posts,
    pub(crate) shard_metrics: Vec<Arc<ShardMetrics>>,
    pub(crate) frame_limits: FrameLimits,
    pub(crate) ticks: Ticks,
    pub(crate) message_rate: Option<Rate>,
    pub(crate) byte_rate: Option<Rate>,
    /// Refused origins that were logged.
    pub(crate) refused_origins: RepeatedWarnings,
    pub(crate) runtime: tokio::runtime::Handle,
    uptime: Uptime,
    id: u64,
    serial: AtomicU64,
    next_shard: AtomicUsize,
    draining: AtomicBool,
    requests: AtomicUsize,
    bound: OnceLock<Bound>,
}

/// The time of a shard's turn.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub(crate) at: Instant,
    /// Milliseconds since 1970.
    pub(crate) ms: u64,
    /// Nanoseconds since the node started.
    pub(crate) ns: u64,
    /// The same in units of 100 ms.
    pub(crate) tick: u32,
}

/// What is known once the listener is bound.
#[derive(Debug)]
pub struct Bound {
    /// The address the listener got.
    pub address: SocketAddr,
    /// Origins whose pages may connect.
    pub origins: Vec<String>,
    /// The public origin's host.
    pub public_host: String,
    /// This machine's name, in lower case.
    pub machine: String,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Node {
    /// A node with one shard per bell. `session_key` seals resume tokens; methods that wait run on `runtime`.
    ///
    /// # Errors
    /// A method whose schema cannot be enforced: a mistake in the build.
    pub fn new(
        config: Config,
        bells: &[Bell],
        session_key: &[u8; 32],
        runtime: tokio::runtime::Handle,
        base: Foundations,
    ) -> Result<Arc<Self>, fanfare_rpc::BuildError> {
        let id = random_u64();
        let uptime = Uptime::begin();
        let inboxes = inboxes(bells);
        let shard_metrics: Vec<_> = bells.iter().map(|_| Arc::new(ShardMetrics::new())).collect();
        let metrics = Arc::new(Metrics::new(shard_metrics.clone()));
        let access = Access::new(config.topic_rules(), config.topics_restricted());
        let limits = MemoryLimits {
            history_bytes: config.topics.history_total_bytes.len(),
            idempotency_keys: config.limits.idempotency_keys,
        };
        let logs = DurableLogs::new(base.store.clone(), runtime.clone());
        let broker = Arc::new(MemoryBroker::new(limits, id).with_logs(Arc::new(logs.clone())));
        let (encoders, topics_config) = (encoders::all(), topics_config(&config, &access));
        let posts = Posts::new(inboxes.clone(), encoders.clone());
        let topics = Arc::new(Topics::new(inboxes, broker.clone(), encoders, topics_config));
        let followers: Arc<dyn Followers> = topics.clone();
        logs.serve(&followers);
        let parts = NodeParts {
            topics: topics.clone(),
            logs,
            access,
            sockets: Arc::new(posts.clone()),
            refused: metrics.clone(),
            uptime,
        };
        let services = Services::new(&config, base, parts, session_key);
        let feeds = Arc::<NodeFeeds>::default();
        let facts = NodeFacts {
            server_id: services.accounts.server_id().to_owned(),
            uptime,
            metrics: metrics.clone(),
            users: services.users.clone(),
        };
        let parts = Parts {
            topics: services.topics.clone(),
            sessions: services.sessions.clone(),
            feeds: feeds.clone(),
            facts: Arc::new(facts),
        };
        let registry = crate::methods::registry(&config, parts)?;
        let l = &config.limits;
        let node = Arc::new(Self {
            topics,
            services,
            metrics,
            registry,
            feeds,
            posts,
            runtime,
            admission: Admission::new(l.max_connections, l.max_connections_per_ip, l.max_unauthenticated),
            shard_metrics,
            frame_limits: frame_limits(&config),
            ticks: ticks(&config),
            message_rate: l.messages().map(Rate::from),
            byte_rate: Rate::new(l.bytes_per_second.len() as u64, l.bytes_per_second.len() as u64),
            refused_origins: RepeatedWarnings::default(),
            uptime,
            id,
            serial: AtomicU64::new(0),
            next_shard: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            bound: OnceLock::new(),
            config,
        });
        node.watch(&broker);
        Ok(node)
    }

    fn watch(self: &Arc<Self>, broker: &Arc<MemoryBroker>) {
        let weak = Arc::downgrade(self);
        let of = move |f: fn(&Node) -> u64| {
            let weak = weak.clone();
            move || weak.upgrade().map_or(0, |node| f(&node))
        };
        let m = &self.metrics;
        let sessions = |n: &Node| n.services.sessions.table().count() as u64;
        m.watch("fanfare_sessions", "Sessions, attached or not", of(sessions));
        m.watch_logins(self.services.accounts.outcomes());
        m.watch("fanfare_users_online", "Distinct users online", of(|n| n.services.users.online()));
        m.watch("fanfare_topics", "Live topics", of(|n| n.topics.count() as u64));
        m.watch("fanfare_broker_up", "Whether the broker answers", || 1);
        m.watch_counter("fanfare_messages_published", "Events published", of(|n| n.topics.published()));
        m.watch(
            "fanfare_durable_topics",
            "Durable topics with a log",
            of(|n| n.services.topics.durable_totals().0),
        );
        let bytes = of(|n: &Node| n.services.topics.durable_totals().1);
        m.watch("fanfare_durable_bytes", "Bytes of the events of durable topics in the store", bytes);
        let broker = broker.clone();
        m.watch("fanfare_history_bytes", "Bytes kept for clients that reconnect", move || {
            broker.history_bytes() as u64
        });
    }

    /// Notes the address the listener got. Only the first call counts.
    pub fn bind(&self, address: SocketAddr) {
        let bound = Bound {
            address,
            public_host: self.config.public_origin(address).host().to_owned(),
            machine: rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase(),
            origins: self.config.origins(address).iter().map(|o| o.as_str().to_owned()).collect(),
        };
        let _first = self.bound.set(bound);
    }

    /// What is known of the listener; `None` before it is bound.
    pub fn bound(&self) -> Option<&Bound> {
        self.bound.get()
    }

    /// Whether the public origin is a DNS name: not `localhost`, not an address.
    pub fn is_named(&self) -> bool {
        let host = self.bound.get().map_or("", |b| &b.public_host).trim_matches(['[', ']']);
        let local = host == "localhost" || host.ends_with(".localhost");
        !host.is_empty() && !local && host.parse::<IpAddr>().is_err()
    }

    /// The server's name in what users sign and in the welcome: fixed at the first start (`accounts-and-messages.md`).
    pub fn server_id(&self) -> &str {
        self.services.accounts.server_id()
    }

    /// The time now.
    pub(crate) fn now(&self) -> Now {
        let at = Instant::now();
        let ns = at.duration_since(self.uptime.started()).as_nanos() as u64;
        Now { at, ms: unix_ms(), ns, tick: (ns / 100_000_000) as u32 }
    }

    /// How long the node has run.
    pub fn uptime(&self) -> Duration {
        self.uptime.elapsed()
    }

    /// A connection's serial: rising, and later than those of a life of the node before.
    pub(crate) fn next_serial(&self, now_ms: u64) -> u64 {
        let now = now_ms << 20;
        let step = |last: u64| Some(now.max(last + 1));
        let last = self.serial.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or_default();
        now.max(last + 1)
    }

    /// The text of a connection's id.
    pub(crate) fn client_id(&self, serial: u64) -> String {
        EventId { time: serial, node: self.id }.to_string()
    }

    /// Gives a new connection to a shard, in turn.
    pub(crate) fn place(&self) -> usize {
        self.next_shard.fetch_add(1, Ordering::Relaxed) % self.topics.inboxes().len()
    }

    /// The first `limit` open connections after a serial, in the order of opening, and whether there are more.
    pub async fn connections(
        &self,
        after: Option<u64>,
        limit: usize,
    ) -> (Vec<crate::posts::ConnectionInfo>, bool) {
        let mut all = Vec::new();
        for answer in self.posts.ask_all(|tell| ForAll::List { after, limit: limit + 1, tell }) {
            all.extend(answer.await.unwrap_or_default());
        }
        all.sort_unstable_by_key(|c| c.serial);
        let more = all.len() > limit;
        all.truncate(limit);
        (all, more)
    }

    /// Ends a connection by the text of its id. Says whether there was one.
    pub async fn end_connection(&self, id: &str, why: End) -> bool {
        let Some(serial) = self.serial_of(id) else { return false };
        let mut found = false;
        for answer in self.posts.ask_all(|tell| ForAll::End(serial, why, tell)) {
            found |= answer.await.unwrap_or_default();
        }
        found
    }

    /// The serial in the text of a connection's id, if this node gave it.
    pub fn serial_of(&self, id: &str) -> Option<u64> {
        crate::connection_id::serial_in(id).filter(|serial| self.client_id(*serial) == id)
    }

    /// Looks at topics that follow a log and miss events of it.
    pub(crate) fn tick(&self) {
        let Now { at, ms, .. } = self.now();
        self.topics.tick(Turn { at, ms });
    }

    /// Forgets sessions, logins and users that are past their time.
    pub(crate) fn sweep(&self) {
        self.topics.sweep(unix_ms());
        self.services.sessions.sweep(unix_ms(), self.uptime.ns(), SWEEP_SESSIONS);
    }

    /// Counts a request for as long as the guard lives.
    pub(crate) fn begin_request(&self) -> InFlight<'_> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        InFlight(&self.requests)
    }

    /// Requests that are being answered.
    pub fn requests_in_flight(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Whether the node is shutting down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// From now on HTTP answers probes only.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }
}

/// A request that is being answered.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn inboxes(bells: &[Bell]) -> Arc<[Inbox<ToShard>]> {
    let one = |bell: &Bell| {
        let bell = bell.clone();
        Inbox::new(move || bell.ring())
    };
    bells.iter().map(one).collect()
}

fn topics_config(config: &Config, access: &Access) -> TopicsConfig {
    let (access, defaults) = (access.clone(), TopicDefaults::from(&config.topics));
    let options = move |name: &str| defaults.options(access.options(name), &Asked::default());
    TopicsConfig {
        max_topics: config.limits.max_topics,
        topics_per_client: match config.limits.topics_per_client {
            0 => usize::MAX,
            most => most,
        },
        publish_creates: config.topics.publish_creates,
        options: Box::new(options),
    }
}

fn frame_limits(config: &Config) -> FrameLimits {
    let max = config.limits.max_message_bytes.len();
    FrameLimits {
        max_message_bytes: max,
        max_frame_bytes: max,
        max_unfinished_bytes: max + UNFINISHED_SLACK_BYTES,
        max_inflated_bytes: max,
        deflate: false,
    }
}

fn ticks(config: &Config) -> Ticks {
    let ticks = |d: Duration| (d.as_millis() as u64).div_ceil(100).clamp(1, u64::from(u32::MAX / 2)) as u32;
    let ws = &config.ws;
    let shortest = ws.ping_interval.min(ws.read_timeout).min(ws.write_timeout);
    Ticks {
        ping: ticks(ws.ping_interval),
        read: ticks(ws.read_timeout),
        write: ticks(ws.write_timeout),
        authenticate: ticks(AUTHENTICATE_WITHIN),
        scan: (ticks(shortest) / 8).clamp(1, 10),
    }
}

fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        return unix_ms();
    }
    u64::from_ne_bytes(bytes)
}
