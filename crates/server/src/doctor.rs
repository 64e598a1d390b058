//! `fanfare doctor`: looks for what keeps a server from working; with `--live`, asks a running one.

use crate::cli::DoctorArgs;
use crate::config::{Config, ConfigError, Host};
use crate::tls::{self, Tls};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// A probe's patience.
const PATIENCE: Duration = Duration::from_secs(3);
/// A certificate is to be renewed before it has fewer days left.
const RENEW_DAYS: u64 = 14;

/// Carries it out.
///
/// # Errors
/// What is wrong with the configuration.
pub fn doctor(args: DoctorArgs) -> Result<ExitCode, ConfigError> {
    let config = Config::load(&args.settings.sources())?.config;
    if args.live {
        return Ok(if is_live(&config) { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let mut out = std::io::stdout().lock();
    let mut well = true;
    let mut say = |good: bool, what: String| {
        well &= good;
        let _best_effort = writeln!(out, "{} {what}", if good { "ok  " } else { "BAD " });
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
            if is_live(&config) { "answers" } else { "does not answer" },
            port(&config)
        ),
    );
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tempwrite(folder: &std::path::Path) -> std::io::Result<()> {
    let file = folder.join("doctor.tmp");
    std::fs::write(&file, b"x")?;
    std::fs::remove_file(file)
}

/// Where the server listens, by the configuration.
fn port(config: &Config) -> u16 {
    if config.serves_tls() { config.tls.port } else { config.server.port }
}

/// Whether a server on the configured address answers `/livez`.
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
    if tls { answers(tls::probe(stream)?, address) } else { answers(stream, address) }
}

fn answers(mut stream: impl Read + Write, address: SocketAddr) -> std::io::Result<bool> {
    write!(stream, "GET /livez HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(&head == b"HTTP/1.1 200")
}
