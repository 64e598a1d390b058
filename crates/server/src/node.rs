//! A node: what its shards, its HTTP routes and its background tasks share.
//!
//! Longer than most: it is the list of all that is shared, each with its few lines of access, and nothing else.

use crate::access::{Access, Caller, IssuerIdentity, Principal};
use crate::accounts::Accounts;
use crate::admission::{AddressBuckets, Admission, Rate};
use crate::audit::{Audit, AuditEvent, Outcome};
use crate::config::Config;
use crate::connections_log::ConnectionsLog;
use crate::encoders;
use crate::identity::{Identity, Take, Users};
use crate::shard::{Bell, Driver, ToShard};
use crate::telemetry::metrics::{Metrics, ShardMetrics};
use fanfare_brokers::memory::{MemoryBroker, MemoryLimits};
use fanfare_core::hub::{ConnAddr, Inbox, Post};
use fanfare_core::model::{ErrorCode, EventId, Publish, Refusal, Requester};
use fanfare_core::ports::Retention;
use fanfare_core::session::{
    Resume, ResumeGuard, Resumed, SessionCode, SessionLimits, SessionPort, Sessions,
};
use fanfare_core::topics::{Published, Publishing, TopicOptions, Topics, TopicsConfig};
use fanfare_rpc::Registry;
use fanfare_store::{ChangedUser, EndedSession, Store};
use fanfare_ws::Limits as FrameLimits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wire bytes of one unfinished message beyond the message itself: room for headers of fragments.
const UNFINISHED_SLACK_BYTES: usize = 16 * 1024;
/// How long a socket may stay without authentication where it is asked for (`accounts-and-messages.md`).
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(10);

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
    /// Who may use them.
    pub access: Access,
    /// All sessions.
    pub sessions: Box<dyn SessionPort>,
    /// Slows those who guess at sessions.
    pub guard: ResumeGuard,
    /// All metrics.
    pub metrics: Arc<Metrics>,
    /// Methods by name.
    pub registry: Registry,
    /// Records from elsewhere.
    pub feeds: crate::feeds::NodeFeeds,
    /// Who gets in.
    pub admission: Arc<Admission>,
    /// What is kept.
    pub store: Store,
    /// Who there is.
    pub accounts: Accounts,
    /// Whom credentials stand for.
    pub identity: Identity,
    /// What is written down for good.
    pub audit: Audit,
    /// Connections of users that have closed.
    pub connections_log: ConnectionsLog,
    /// Users who are there.
    pub(crate) users: Arc<Users>,
    logins: Logins,
    pub(crate) shard_metrics: Vec<Arc<ShardMetrics>>,
    pub(crate) frame_limits: FrameLimits,
    pub(crate) ticks: Ticks,
    pub(crate) message_rate: Option<Rate>,
    pub(crate) byte_rate: Option<Rate>,
    pub(crate) message_buckets: AddressBuckets,
    /// Refused origins that were logged.
    pub(crate) refused_origins: crate::http::RefusedOrigins,
    pub(crate) runtime: tokio::runtime::Handle,
    started: Instant,
    id: u64,
    serial: AtomicU64,
    next_shard: AtomicUsize,
    draining: AtomicBool,
    requests: AtomicUsize,
    bound: OnceLock<Bound>,
}

/// What a node needs from those that were started before it.
#[derive(Debug)]
pub struct Services {
    /// What is kept.
    pub store: Store,
    /// Who there is.
    pub accounts: Accounts,
    /// Whom credentials stand for.
    pub identity: Identity,
    /// What is written down for good.
    pub audit: Audit,
    /// Connections of users that have closed.
    pub connections_log: ConnectionsLog,
}

/// The logins behind sessions, and those that ended a moment ago.
#[derive(Debug, Default)]
struct Logins {
    /// Whom a session belongs to, for when it is resumed without a credential.
    by_session: Mutex<HashMap<SessionCode, Arc<Principal>>>,
    /// Logins and issuers' tokens that ended, and when: a connection that was on its way then must not stay.
    ended: Mutex<HashMap<String, u64>>,
    /// Users whose role or lock was changed, as they are now, and when that was noticed: for connections on their way.
    changed: Mutex<HashMap<String, (ChangedUser, u64)>>,
}

/// How long an ended login or a changed user is remembered for connections on their way, in milliseconds.
const ENDED_MS: u64 = 60_000;

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
        services: Services,
    ) -> Result<Arc<Self>, fanfare_rpc::BuildError> {
        let id = random_u64();
        let inboxes: Arc<[Inbox<ToShard>]> = bells
            .iter()
            .map(|bell| {
                let bell = bell.clone();
                Inbox::new(move || bell.ring())
            })
            .collect();
        let shard_metrics: Vec<_> = bells.iter().map(|_| Arc::new(ShardMetrics::new())).collect();
        let access = Access::new(config.topic_rules(), config.topics_restricted());
        let limits = MemoryLimits {
            history_bytes: config.topics.history_total_bytes.len(),
            idempotency_keys: config.limits.idempotency_keys,
        };
        let broker = Arc::new(MemoryBroker::new(limits, id));
        let topics =
            Arc::new(Topics::new(inboxes, broker.clone(), encoders::all(), topics_config(&config, &access)));
        let metrics = Arc::new(Metrics::new(shard_metrics.clone()));
        let registry = crate::methods::registry(&config, &metrics)?;
        let l = &config.limits;
        let node = Arc::new(Self {
            topics,
            access,
            sessions: Box::new(Sessions::new(session_limits(&config), session_key)),
            guard: ResumeGuard::default(),
            metrics,
            registry,
            feeds: crate::feeds::NodeFeeds::default(),
            runtime,
            admission: Admission::new(l.max_connections, l.max_connections_per_ip, l.max_unauthenticated),
            shard_metrics,
            frame_limits: frame_limits(&config),
            ticks: ticks(&config),
            message_rate: l.messages().map(Rate::from),
            byte_rate: Rate::new(l.bytes_per_second.len() as u64, l.bytes_per_second.len() as u64),
            refused_origins: crate::http::RefusedOrigins::default(),
            message_buckets: AddressBuckets::new(l.messages_per_ip().map(Rate::from)),
            store: services.store,
            accounts: services.accounts,
            audit: services.audit,
            connections_log: services.connections_log,
            identity: services.identity,
            users: Users::new(
                config.presence.grace.as_millis() as u64,
                l.max_connections_per_user,
                l.messages_per_user().map(Rate::from),
                l.commands().map(Rate::from),
            ),
            logins: Logins::default(),
            started: Instant::now(),
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
        m.watch("fanfare_sessions", "Sessions, attached or not", of(|n| n.sessions.count() as u64));
        m.watch_logins(self.accounts.outcomes());
        m.watch("fanfare_users_online", "Distinct users online", of(|n| n.users.online()));
        m.watch("fanfare_topics", "Live topics", of(|n| n.topics.count() as u64));
        m.watch("fanfare_broker_up", "Whether the broker answers", || 1);
        m.watch_counter("fanfare_messages_published", "Events published", of(|n| n.topics.published()));
        let broker = broker.clone();
        m.watch("fanfare_history_bytes", "Bytes kept for those who come back", move || {
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
        self.accounts.server_id()
    }

    /// The time now.
    pub(crate) fn now(&self) -> crate::shard::Now {
        let at = Instant::now();
        let ns = at.duration_since(self.started).as_nanos() as u64;
        crate::shard::Now { at, ms: unix_ms(), ns, tick: (ns / 100_000_000) as u32 }
    }

    /// How long the node has run.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
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

    /// Posts to a shard from another thread.
    pub(crate) fn post(&self, shard: usize, post: ToShard) {
        self.topics.inboxes()[shard].push(Post::Driver(post), false);
    }

    /// Runs something for a connection on its shard.
    pub(crate) fn post_for(&self, addr: ConnAddr, task: impl FnOnce(&mut Driver) + Send + 'static) {
        self.post(usize::from(addr.shard()), ToShard::For(addr, Box::new(task)));
    }

    /// Closes a connection from anywhere.
    pub(crate) fn close(&self, addr: ConnAddr, code: u16, reason: &'static str) {
        self.post(usize::from(addr.shard()), ToShard::Close(addr, code, reason));
    }

    /// Resumes a session for a client at `address`. Guesses are slowed; every reason to refuse answers alike.
    ///
    /// # Errors
    /// `UNAUTHORIZED`, or `RATE_LIMITED` after too many guesses for a token that does not unseal.
    pub(crate) fn resume(
        &self,
        code: &str,
        token: &str,
        user: Option<&str>,
        address: IpAddr,
        now_ms: u64,
    ) -> Result<Resumed, Refusal> {
        self.sessions.resume(Resume { code, token, user }, now_ms).map_err(|refused| {
            // A token of ours is tried first: neighbours behind one address must not lock each other out.
            if !refused.unsealed
                && let Err(wait) = self.guard.check(address, now_ms)
            {
                self.metrics.refused_by("resume");
                let why = "too many failed resumes from this address";
                return Refusal::new(ErrorCode::RateLimited, why).retry_after(wait);
            }
            if refused.counted {
                self.guard.failed(address, now_ms);
                let event = || AuditEvent::new("resume_fail", Outcome::Failure).ip(address);
                self.note_refusal(address, event);
            }
            if let Some(addr) = refused.revoked {
                self.close(addr, 4401, "session ended");
            }
            not_resumed()
        })
    }

    /// Notes whom a session belongs to.
    pub(crate) fn remember(&self, code: SessionCode, principal: &Arc<Principal>) {
        self.logins.by_session.lock().insert(code, principal.clone());
    }

    /// Whom a session belonged to when it was last used.
    pub(crate) fn remembered(&self, code: SessionCode) -> Option<Arc<Principal>> {
        self.logins.by_session.lock().get(&code).cloned()
    }

    /// Ends the connections and sessions of logins that have ended: 4401.
    pub fn end_sessions(&self, ended: &[EndedSession]) {
        for login in ended {
            self.logins.ended.lock().insert(login.id.clone(), unix_ms());
            self.end_logins(&login.user_id, Some(&login.id));
        }
    }

    /// Ends all connections and sessions of a user, whatever proved them.
    pub fn end_user(&self, user_id: &str) {
        self.end_logins(user_id, None);
    }

    fn end_logins(&self, user_id: &str, session_id: Option<&str>) {
        let is = |p: &Principal| *p.user_id == *user_id && session_id.is_none_or(|id| *p.session_id == *id);
        self.identity.forget(is);
        self.logins.by_session.lock().retain(|code, principal| {
            if is(principal) {
                self.sessions.end(*code);
                return false;
            }
            true
        });
        for addr in self.users.connections(user_id, session_id) {
            self.close(addr, 4401, "session ended");
        }
    }

    /// Ends a token of an issuer and, as its users have no logins here, all connections and sessions of the user.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store cannot be asked.
    pub(crate) async fn end_token(&self, who: &Principal, issuer: &IssuerIdentity) -> Result<(), Refusal> {
        self.identity.end_token(&issuer.token, who.expires_at_ms).await?;
        self.logins.ended.lock().insert(fanfare_e2ee::b64::encode(&issuer.token), unix_ms());
        self.end_user(&who.user_id);
        Ok(())
    }

    /// A user's role or lock was changed: open connections follow.
    pub(crate) fn user_changed(&self, user: ChangedUser) {
        let (id, role, disabled) = (user.id.clone(), user.role, user.disabled);
        self.logins.changed.lock().insert(id.clone(), (user, unix_ms()));
        if disabled {
            self.end_user(&id);
            return;
        }
        self.identity.forget(|p| *p.user_id == *id);
        for addr in self.users.connections(&id, None) {
            self.post_for(addr, move |driver| driver.change_role(addr, role));
        }
    }

    /// The principal with the role the user has now, if that was changed a moment ago.
    pub(crate) fn present(&self, principal: Arc<Principal>) -> Arc<Principal> {
        let changed = self.logins.changed.lock();
        match changed.get(&*principal.user_id) {
            Some((user, _)) if user.role != principal.role && principal.issuer.is_none() => {
                Arc::new(Principal { role: user.role, ..(*principal).clone() })
            }
            _ => principal,
        }
    }

    /// Whether what a principal stands on ended a moment ago: the login, the issuer's token, or the user.
    pub(crate) fn has_ended(&self, principal: &Principal) -> bool {
        let ended = self.logins.ended.lock();
        let is_ended = match &principal.issuer {
            Some(issuer) => ended.contains_key(&fanfare_e2ee::b64::encode(&issuer.token)),
            None => ended.contains_key(&*principal.session_id),
        };
        drop(ended);
        is_ended || self.logins.changed.lock().get(&*principal.user_id).is_some_and(|(user, _)| user.disabled)
    }

    /// Forgets logins of sessions that are gone, and users who have left.
    pub(crate) fn sweep_logins(&self, now_ms: u64) {
        self.users.sweep(now_ms, self.now().ns);
        self.logins.ended.lock().retain(|_, at| now_ms < *at + ENDED_MS);
        self.logins.changed.lock().retain(|_, (_, at)| now_ms < *at + ENDED_MS);
        self.logins.by_session.lock().retain(|code, _| self.sessions.info(*code, now_ms).is_some());
    }

    /// Takes one message out of the buckets of a caller without a connection: the user's and the address's. The app's
    /// own backend has no such limit.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub(crate) fn take_message(&self, address: IpAddr, caller: &Caller) -> Result<(), Refusal> {
        let limited = |whose: &'static str, why: &'static str| {
            move |wait: u64| {
                self.metrics.refused_by(whose);
                Refusal::new(ErrorCode::RateLimited, why).retry_after(wait)
            }
        };
        let now = self.now().ns;
        match caller {
            Caller::Server(_) => return Ok(()),
            Caller::User(user) => {
                let why = "too many messages of this user; this one was not processed";
                let taken = self.users.take_apart(Take::Message, &user.user_id, now);
                taken.map_err(limited("user", why))?;
            }
            Caller::Anonymous => {}
        }
        let why = "too many messages from this address; this one was not processed";
        self.message_buckets.take(address, now).map_err(limited("address", why))
    }

    /// Records a refusal that costs its cause nothing; bounded per address and in all ([`Audit::refused`]).
    pub(crate) fn note_refusal(&self, address: IpAddr, event: impl FnOnce() -> AuditEvent) {
        self.audit.refused(address, event);
    }

    /// Refuses a server command that found the user's bucket empty.
    pub(crate) fn command_refused(&self, wait: u64) -> Refusal {
        self.metrics.refused_by("command");
        let why = "too many server commands; this one was not carried out";
        Refusal::new(ErrorCode::RateLimited, why).retry_after(wait)
    }

    /// Publishes for a caller that has no connection; the batch goes out at once.
    ///
    /// # Errors
    /// As [`Topics::publish`].
    pub(crate) fn publish(
        &self,
        publish: &Publish<'_>,
        client_id: &str,
        publisher: Requester<'_>,
    ) -> Result<Published, Refusal> {
        self.topics.publish(&Publishing {
            topic: publish.topic.as_str(),
            payload: publish.payload,
            client_id,
            idempotency_key: publish.idempotency_key.as_deref(),
            publisher,
            exclude: None,
            shard: None,
            now_ms: unix_ms(),
            at: Instant::now(),
        })
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

/// Every reason not to resume a session answers alike.
pub(crate) fn not_resumed() -> Refusal {
    let why =
        "this session cannot be resumed with this token; connect without session and resume for a new one";
    Refusal::new(ErrorCode::Unauthorized, why)
}

/// A request that is being answered.
pub(crate) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn topics_config(config: &Config, access: &Access) -> TopicsConfig {
    let (access, topics) = (access.clone(), config.topics.clone());
    let bytes = topics.history_topic_bytes.len();
    let options = move |name: &str| {
        let rule = access.options(name);
        let ttl = rule.history_ttl.unwrap_or(topics.history_ttl);
        let retention = Retention {
            size: rule.history_size.unwrap_or(topics.history_size),
            ttl_ms: ttl.as_millis() as u64,
            bytes,
        };
        TopicOptions { backpressure: rule.backpressure.unwrap_or(topics.backpressure), retention }
    };
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

fn session_limits(config: &Config) -> SessionLimits {
    SessionLimits {
        ttl_ms: config.session.ttl.as_millis() as u64,
        detached_ttl_ms: config.session.detached_ttl.as_millis() as u64,
        max: config.session.max,
        max_data_bytes: config.session.max_data_bytes.len(),
        data_total_bytes: config.session.data_total_bytes.len(),
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

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}
