//! `fanfare doctor`: checks for problems that keep a server from working; with `--live`, probes a running one.

use crate::cli::DoctorArgs;
use crate::storage;
use crate::tls::{self, Tls};
use fanfare_config::{Config, ConfigError, Host};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Free space the server should have in its data folder, in MiB.
const ROOM_MIB: u64 = 256;
/// Time limit of a probe.
const PATIENCE: Duration = Duration::from_secs(3);
/// Days of validity below which a certificate should be renewed.
const RENEW_DAYS: u64 = 14;

/// Runs the command.
///
/// # Errors
/// The error of the configuration.
pub fn doctor(args: DoctorArgs) -> Result<ExitCode, ConfigError> {
    let config = Config::load(&args.settings.sources())?.config;
    if args.live {
        return Ok(if is_live(&config) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut out = std::io::stdout().lock();
    let mut well = true;
    let mut say = |passed: bool, what: String| {
        well &= passed;
        let _best_effort = writeln!(out, "{} {what}", if passed { "ok  " } else { "BAD " });
    };
    say(true, "the configuration is valid".into());
    match config.check_exposure() {
        Ok(()) => say(true, format!("{} may be served", config.server.host)),
        Err(error) => say(false, error.to_string()),
    }
    match Tls::check(&config) {
        Ok(None) => {}
        Ok(Some(end)) => {
            let days = end.duration_since(SystemTime::now()).unwrap_or_default().as_secs() / 86_400;
            say(days >= RENEW_DAYS, format!("tls.cert is valid for {days} more days"));
        }
        Err(error) => say(false, error.to_string()),
    }
    let folder = config.data_dir.display().to_string();
    match std::fs::create_dir_all(&config.data_dir).and_then(|()| tempwrite(&config.data_dir)) {
        Ok(()) => say(true, format!("{folder} can be written")),
        Err(error) => say(false, format!("data_dir: {folder} cannot be written: {error}")),
    }
    disk(&config, &mut say);
    store(&config, &mut say);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let wanted = config.limits.max_connections as u64;
    let enough = limit.is_none_or(|limit| limit >= wanted);
    say(
        enough,
        format!(
            "open files: {} allowed, limits.max_connections is {wanted}",
            limit.map_or("any number".into(), |l| l.to_string())
        ),
    );
    say(
        true,
        format!(
            "a server {} on port {}",
            if is_live(&config) { "responds" } else { "does not respond" },
            port(&config)
        ),
    );
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks the free space for writes.
fn disk(config: &Config, say: &mut impl FnMut(bool, String)) {
    match rustix::fs::statvfs(&config.data_dir) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize) >> 20;
            say(
                free >= ROOM_MIB,
                format!("data_dir: {free} MiB are free (at least {ROOM_MIB} are required)"),
            );
        }
        Err(error) => say(false, format!("data_dir: the free space cannot be read: {error}")),
    }
}

/// Checks whether the store is usable, and whether the server still has the name that users sign with.
fn store(config: &Config, say: &mut impl FnMut(bool, String)) {
    let looked = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| ConfigError::key("store.url", e.to_string()))
        .and_then(|runtime| runtime.block_on(look(config)));
    match looked {
        Err(error) => say(false, error.to_string()),
        Ok(None) => say(true, "store.url: there is no store yet; the first start makes it".into()),
        Ok(Some(id)) => {
            say(true, "store.url: the store can be used".into());
            let bound = match &config.server.host {
                Host::Ip(ip) => SocketAddr::new(*ip, config.server.port),
                Host::Name(_) => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), config.server.port),
            };
            let origin = config.public_origin(bound);
            let now = origin.host().trim_matches(['[', ']']).to_ascii_lowercase();
            if id.as_ref().is_some_and(|id| *id != now) {
                let id = id.unwrap_or_default();
                say(
                    true,
                    format!(
                        "server.id is {id}, fixed at the first start, and server.public_origin is at {now} now: \
                     what users sign names {id}"
                    ),
                );
            }
        }
    }
}

/// The server's name in the store; `None` when there is no store.
async fn look(config: &Config) -> Result<Option<Option<String>>, ConfigError> {
    let steps = fanfare_store::migrate::status(&storage::options(config)).await;
    let steps = steps.map_err(|e| storage::wrong(&e))?;
    if steps.iter().all(|step| step.applied_at.is_none()) {
        return Ok(None);
    }
    let store = storage::open_to_read(config).await?;
    let id = store.setting("server_id").await.map_err(|e| storage::wrong(&e));
    store.close().await;
    id.map(Some)
}

fn tempwrite(folder: &std::path::Path) -> std::io::Result<()> {
    let file = folder.join("doctor.tmp");
    std::fs::write(&file, b"x")?;
    std::fs::remove_file(file)
}

/// The configured port of the server.
fn port(config: &Config) -> u16 {
    if config.serves_tls() { config.tls.port } else { config.server.port }
}

/// Whether a server on the configured address responds to `/livez`.
fn is_live(config: &Config) -> bool {
    let port = port(config);
    let scheme = if config.serves_tls() { "https://" } else { "http://" };
    let addresses: Vec<SocketAddr> = match std::fs::read_to_string(config.data_dir.join("address")) {
        Ok(url) if port == 0 => url.trim().trim_start_matches(scheme).parse().into_iter().collect(),
        _ => match &config.server.host {
            Host::Ip(IpAddr::V4(ip)) if ip.is_unspecified() => vec![(Ipv4Addr::LOCALHOST, port).into()],
            Host::Ip(IpAddr::V6(ip)) if ip.is_unspecified() => vec![(Ipv6Addr::LOCALHOST, port).into()],
            Host::Ip(ip) => vec![(*ip, port).into()],
            Host::Name(name) => std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port))
                .map(Iterator::collect)
                .unwrap_or_default(),
        },
    };
    addresses.into_iter().any(|address| asks_livez(address, config.serves_tls()).unwrap_or(false))
}

fn asks_livez(address: SocketAddr, tls: bool) -> std::io::Result<bool> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    if tls { responds(tls::probe(stream)?, address) } else { responds(stream, address) }
}

fn responds(mut stream: impl Read + Write, address: SocketAddr) -> std::io::Result<bool> {
    write!(stream, "GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(&head == b"HTTP/1.1 200")
}
