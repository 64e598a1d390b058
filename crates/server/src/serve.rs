//! `fanfare serve`: assembles the parts, runs until it is stopped, and stops in order.
//!
//! Stopping (`protocol.md` 5): HTTP serves probes only; requests in progress finish; feeds stop and commit; every shard
//! stops accepting commands, notifies its clients and posts its pending work; when all have posted, every shard flushes
//! and closes all connections with 1001.

use crate::cli::ServeArgs;
use crate::http::{self, Listener};
use crate::listen::{self, Bounds, Places, Service};
use crate::node::Node;
use crate::open_files::{Room, raise_file_limit};
use crate::posts::ToShard;
use crate::shard::{Bell, Driver};
use crate::storage::{self, Commits};
use crate::telemetry::logs;
use crate::telemetry::snapshots::Snapshots;
use crate::tls::{Tls, reload};
use fanfare_config::{Config, ConfigError};
use fanfare_services::accounts::Accounts;
use fanfare_services::audit::life::Life;
use fanfare_services::audit::{self, Audit, AuditOptions};
use fanfare_services::clock::unix_ms;
use fanfare_services::connections_log::ConnectionsLog;
use fanfare_services::data_dir::DataDir;
use fanfare_services::fatal::{self, endless};
use fanfare_services::identity::Identity;
use fanfare_services::sessions::snapshot;
use fanfare_services::{Foundations, Services};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// The exit status after a second stop signal.
const IMPATIENT: u8 = 130;
/// How long work that still runs on the runtime after everything has stopped may delay the exit.
const LAST_TASKS: Duration = Duration::from_secs(2);
/// How often topics that follow a log are looked at while one of them misses events.
const WATCH_EVERY: Duration = Duration::from_millis(5);

/// Runs the server until it is stopped.
///
/// # Errors
/// One line that names the key: nothing was started then.
pub fn serve(args: ServeArgs) -> Result<ExitCode, ConfigError> {
    let loaded = Config::load(&args.sources())?;
    loaded.config.check_exposure()?;
    let data = DataDir::open(&loaded.config.data_dir)?;
    data.must_be_whole()?;
    let key = data.key("session.key")?;
    let notices = loaded.notices();
    let mut config = loaded.config;
    logs::start(&config.log);
    notices.iter().for_each(|notice| tracing::warn!("{notice}"));
    let room = Room::within(raise_file_limit(), &config);
    config.limits.max_connections = room.sockets;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(usize::from(u8::MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(4))
        .thread_name("fanfare-http")
        .enable_all()
        .build()
        .map_err(|e| ConfigError::key("limits.max_connections", format!("the runtime cannot start: {e}")))?;
    let ended = runtime.block_on(run(config, &data, &key, threads, &room));
    runtime.shutdown_timeout(LAST_TASKS);
    logs::flush();
    ended
}

async fn run(
    config: Config,
    data: &DataDir,
    session_key: &[u8; 32],
    shards: usize,
    room: &Room,
) -> Result<ExitCode, ConfigError> {
    let no_descriptor =
        |e: std::io::Error| ConfigError::key("limits.max_connections", format!("no descriptor left: {e}"));
    let bells = (0..shards).map(|_| Bell::new()).collect::<Result<Vec<_>, _>>().map_err(no_descriptor)?;
    let tls = Tls::load(&config)?;
    let (key, port) = match tls {
        Some(_) => ("tls.port", config.tls.port),
        None => ("server.port", config.server.port),
    };
    let listener = listen::bind(&config, key, port).await?;
    let redirecting = match tls {
        Some(_) => Some(listen::bind(&config, "tls.redirect_port", config.tls.redirect_port).await?),
        None => None,
    };
    let renewal = reload(tls.clone()).map_err(no_descriptor)?;
    let address = listener.local_addr().map_err(|e| ConfigError::key("server.host", e.to_string()))?;
    let ops = match &config.server.ops_listen {
        Some(at) => Some(ops_listener(&at.to_string()).await?),
        None => None,
    };
    let bounds = Bounds::from(&config);
    let exempt = config.server.trusted_proxies.iter().map(|network| network.0).collect();
    let places = Places::new(room.http, room.reserve, config.limits.http_connections_per_ip, exempt);
    let ops_places = Places::new(room.ops, room.reserve, 0, Vec::new());
    let shutdown_timeout = config.server.shutdown_timeout;
    let runtime = tokio::runtime::Handle::current();
    let commits = Arc::new(Commits::default());
    let services = start_foundations(&config, data, address, &commits).await?;
    let (store, audit) = (services.store.clone(), services.audit.clone());
    let built = Node::new(config, &bells, session_key, runtime, services);
    let node = built.map_err(|e| {
        ConfigError::key("rpc.test_methods", format!("the methods cannot be registered: {e}"))
    })?;
    node.bind(address);
    storage::watch(&node.metrics, &store, commits);
    let (lost, rows) = (audit.clone(), node.services.connections_log.clone());
    node.metrics
        .watch_counter("fanfare_audit_lost", "Audit events that are only counted", move || lost.lost());
    let help = "Log lines that could not be written to standard output";
    node.metrics.watch_counter("fanfare_log_lines_lost", help, logs::lost);
    node.metrics.watch_counter(
        "fanfare_connection_rows_lost",
        "Closed connections left out of the store",
        move || rows.lost(),
    );
    let (evicting, dropping) = (places.clone(), places.clone());
    let help = "HTTP connections closed while they waited because another one needed their place";
    node.metrics.watch_counter("fanfare_http_connections_evicted", help, move || evicting.evicted());
    let help = "HTTP connections for which there was no place, not even for probes";
    node.metrics.watch_counter("fanfare_http_connections_dropped", help, move || dropping.dropped());
    node.services.topics.restore().await?;
    restore_sessions(&node);
    let ended = start_shards(&node, bells).map_err(no_descriptor)?;
    crate::feeds::start(&node)?;
    let public = if ops.is_some() { Listener::Public } else { Listener::All };
    let mut serving = tokio::task::JoinSet::new();
    let mut redirect_from = None;
    let plain = |routes, places| Service { routes, bounds, places, tls: None };
    let acceptor = tls.as_ref().map(Tls::acceptor);
    let service = Service { tls: acceptor, ..plain(http::router(node.clone(), public), places.clone()) };
    serving.spawn(endless("accept loop", listen::serve(listener, service)));
    if let Some(redirecting) = redirecting {
        redirect_from = redirecting.local_addr().ok();
        let redirects = plain(http::redirects(node.clone()), places);
        serving.spawn(endless("redirect listener", listen::serve(redirecting, redirects)));
    }
    if let Some(ops) = ops {
        let routes = plain(http::router(node.clone(), Listener::Ops), ops_places);
        serving.spawn(endless("ops listener", listen::serve(ops, routes)));
    }
    serving.spawn(endless("certificate renewal", renewal));
    serving.spawn(endless("sweep", sweep(node.clone())));
    serving.spawn(endless("followed topics", follow(node.clone())));
    serving.spawn(endless("retention of durable topics", node.services.topics.retention()));
    serving.spawn(endless("login watch", login_watch(&node)));
    serving.spawn(endless("metric snapshots", snapshots(&node)?.run()));
    let life = Life::begin(&node.config.data_dir, &audit)
        .map_err(|e| ConfigError::key("data_dir", format!("it cannot be written: {e}")))?;
    // A process that reads the address may send a signal at once.
    let stop_signals = stop_signals();
    announce(&node, data, redirect_from)?;
    stop_signals.await;
    let code = stop(&node, ended, shutdown_timeout).await;
    serving.shutdown().await;
    save_sessions(&node);
    node.services.connections_log.flush().await;
    life.end(&audit, "signal").await;
    store.close().await;
    data.remove_address();
    Ok(code)
}

/// The node's dependencies: the store, accounts, credentials, the audit log.
pub(crate) async fn start_foundations(
    config: &Config,
    data: &DataDir,
    address: std::net::SocketAddr,
    commits: &Arc<Commits>,
) -> Result<Foundations, ConfigError> {
    let store = storage::open_to_serve(config, commits.clone()).await?;
    let options = AuditOptions {
        node: audit::node_name(config.cluster.node_id.as_deref(), &config.data_dir)?,
        sealer: audit::Sealer::load_or_create(&config.data_dir)?,
        mark: audit::Mark::of_folder(&config.data_dir),
        cadence: audit::Cadence::default(),
    };
    let audit = Audit::start(store.clone(), options);
    let origin = config.public_origin(address);
    let accounts = Accounts::open(config, &store, data, &origin, audit.clone()).await?;
    let identity = Arc::new(Identity::new(config, store.clone(), accounts.clone())?);
    let connections_log = ConnectionsLog::start(store.clone());
    Ok(Foundations { store, accounts, identity, audit, connections_log })
}

async fn ops_listener(at: &str) -> Result<tokio::net::TcpListener, ConfigError> {
    let wrong = |e: String| ConfigError::key("server.ops_listen", format!("cannot listen on {at}: {e}"));
    let mut found = tokio::net::lookup_host(at).await.map_err(|e| wrong(e.to_string()))?;
    let address = found.next().ok_or_else(|| wrong("it has no address".into()))?;
    listen::listen(address).map_err(|e| wrong(e.to_string()))
}

/// Starts a thread per shard; each reports its end.
fn start_shards(node: &Arc<Node>, bells: Vec<Bell>) -> std::io::Result<Vec<oneshot::Receiver<()>>> {
    let mut ended = Vec::new();
    for (id, bell) in bells.into_iter().enumerate() {
        let driver = Driver::new(node.clone(), id as u8, bell)?;
        let (done, end) = oneshot::channel::<()>();
        std::thread::Builder::new().name(format!("fanfare-shard-{id}")).spawn(move || {
            // A panic in a connection's work is contained there; any other leaves a shard in an unknown state.
            fatal::vital_thread(&format!("shard {id}"), || driver.run());
            let _gone = done.send(());
        })?;
        ended.push(end);
    }
    Ok(ended)
}

/// Restores the sessions of the last graceful stop. A failure does not prevent the start.
fn restore_sessions(node: &Node) {
    match node.services.sessions.restore(&node.config.data_dir, unix_ms()) {
        Ok(0) => {}
        Ok(sessions) => tracing::info!(sessions, "sessions continue"),
        Err(error) => {
            tracing::warn!(%error, file = snapshot::FILE, "the saved sessions cannot be read; clients start new ones");
        }
    }
}

/// Saves the sessions for the next start.
fn save_sessions(node: &Node) {
    match node.services.sessions.save(&node.config.data_dir, unix_ms()) {
        Ok(sessions) => tracing::info!(sessions, "sessions are saved for the next start"),
        Err(error) => tracing::warn!(%error, file = snapshot::FILE, "the sessions cannot be saved"),
    }
}

/// Applies changes that other processes make to users and logins.
fn login_watch(node: &Node) -> impl Future<Output = ()> + use<> {
    let Services { store, identity, sessions, .. } = &node.services;
    fanfare_services::identity::watch(store.clone(), identity.clone(), sessions.clone())
}

/// Stores snapshots of the metrics from now on.
fn snapshots(node: &Node) -> Result<Snapshots, ConfigError> {
    let config = &node.config;
    Ok(Snapshots {
        metrics: node.metrics.clone(),
        store: node.services.store.clone(),
        node: audit::node_name(config.cluster.node_id.as_deref(), &config.data_dir)?,
        every: config.metrics.snapshot_interval,
    })
}

/// Prints the address and writes it to the data folder: from here on clients can find the server.
fn announce(node: &Node, data: &DataDir, redirect_from: Option<SocketAddr>) -> Result<(), ConfigError> {
    let Some(bound) = node.bound() else { return Ok(()) };
    let scheme = if node.config.serves_tls() { "https" } else { "http" };
    let url = format!("{scheme}://{}", bound.address);
    data.write_address(&url)?;
    let local = match bound.address.ip().is_unspecified() {
        true => format!(" ({scheme}://localhost:{})", bound.address.port()),
        false => String::new(),
    };
    logs::print(&format!("listening on {url}{local}"));
    if let Some(from) = redirect_from {
        logs::print(&format!("redirecting http://{from}"));
    }
    if node.config.is_production() && node.config.topics.rules.is_empty() {
        tracing::info!(
            "no topics.rules: anyone may subscribe, only the app's backend publishes, makes and deletes topics"
        );
    }
    tracing::info!(version = crate::VERSION, shards = node.topics.inboxes().len(), "started");
    Ok(())
}

/// Looks at topics that follow a log and miss events of it, or whose log is out of reach.
async fn follow(node: Arc<Node>) {
    let watching = Arc::new(Notify::new());
    let notify = watching.clone();
    node.topics.on_watch(Box::new(move || notify.notify_one()));
    loop {
        watching.notified().await;
        while node.topics.is_watching() {
            tokio::time::sleep(WATCH_EVERY).await;
            node.tick();
        }
    }
}

/// Removes expired state, once a second.
async fn sweep(node: Arc<Node>) {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let node = node.clone();
        let swept = tokio::task::spawn_blocking(move || {
            node.sweep();
        });
        if swept.await.is_err() {
            // Its state is unknown, and a lock may still be held.
            return;
        }
    }
}

/// Handles SIGTERM and SIGINT from now on; the future ends with the first one, and the second ends the process.
fn stop_signals() -> impl Future<Output = ()> {
    stop_signal(signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
}

async fn stop_signal(term: std::io::Result<Signal>, int: std::io::Result<Signal>) {
    let (Ok(mut term), Ok(mut int)) = (term, int) else {
        tracing::error!("signals cannot be received; the server runs until it is killed");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        fatal::exit(IMPATIENT);
    });
}

async fn stop(node: &Arc<Node>, ended: Vec<oneshot::Receiver<()>>, timeout: Duration) -> ExitCode {
    let deadline = Instant::now() + timeout;
    tracing::info!("stopping");
    node.drain();
    while node.requests_in_flight() > 0 && Instant::now() + timeout / 2 < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if tokio::time::timeout_at(deadline, node.feeds.stop()).await.is_err() {
        tracing::warn!("server.shutdown_timeout passed before the feeds had stopped");
    }
    let shards = 0..node.topics.inboxes().len();
    let posted = shards.clone().map(|shard| {
        let (done, drained) = oneshot::channel();
        node.posts.post(shard, ToShard::Drain(done));
        drained
    });
    for drained in posted.collect::<Vec<_>>() {
        let _ended_or_late = tokio::time::timeout_at(deadline, drained).await;
    }
    node.topics.drain();
    shards.for_each(|shard| node.posts.post(shard, ToShard::Finish));
    let mut late = 0;
    for end in ended {
        late += usize::from(tokio::time::timeout_at(deadline, end).await.is_err());
    }
    if late > 0 {
        tracing::warn!(shards = late, "server.shutdown_timeout passed before every queue was flushed");
    }
    tracing::info!("stopped");
    ExitCode::SUCCESS
}
