//! The command line of `fanfare bench`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use rustls::ClientConfig;

use super::peer::Dialect;
use crate::Trust;
use crate::commands::TrustArgs;

/// Load a server and measure it.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub(super) mode: Mode,
}

#[derive(Debug, Clone, clap::Subcommand)]
pub(super) enum Mode {
    /// Memory of idle subscribed connections, and the time to connect them.
    Idle(IdleArgs),
    /// Publish at a fixed rate: latency from the scheduled time, CPU a delivery, loss.
    Fanout(FanoutArgs),
    /// As fanout, over 1000 topics with 10 subscribers each.
    Topics(FanoutArgs),
    /// Publish as fast as a window of undelivered messages allows.
    Maxrate(MaxrateArgs),
    /// Requests and responses, closed loop.
    Echo(EchoArgs),
    /// Subscribe to a feed's channel, whose records the server reads from Kafka or generates.
    Feed(FeedArgs),
    /// No server: the kernel's cost of sending to many sockets.
    Floor(FloorArgs),
    /// The receiving end of `floor`.
    #[command(hide = true)]
    Sink(SinkArgs),
}

/// The server, its address and its process.
#[derive(Debug, Clone, Args)]
pub(super) struct ServerArgs {
    /// The label of the results.
    #[arg(long, default_value = "fanfare")]
    pub(super) label: String,
    /// The protocol the server speaks.
    #[arg(long, value_enum, default_value = "typed")]
    pub(super) dialect: Dialect,
    /// Its listen address. A port below the range of ephemeral ports cannot collide with one of the clients'.
    #[arg(long, default_value_t = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080))]
    pub(super) address: SocketAddrV4,
    /// With one of these options the connections use TLS.
    #[command(flatten)]
    pub(super) trust: TrustArgs,
    /// The upgrade's path, if not the dialect's own.
    #[arg(long)]
    pub(super) path: Option<String>,
    /// Measure this running server.
    #[arg(long)]
    pub(super) pid: Option<u32>,
    /// Pin the started server to one CPU (by taskset).
    #[arg(long, value_name = "CPU")]
    pub(super) server_cpu: Option<usize>,
    /// Pin this client to one CPU.
    #[arg(long, value_name = "CPU")]
    pub(super) client_cpu: Option<usize>,
    /// The started server's output.
    #[arg(long, value_name = "FILE")]
    pub(super) server_log: Option<PathBuf>,
    /// The server to start: its command and arguments.
    #[arg(last = true)]
    pub(super) command: Vec<String>,
}

impl ServerArgs {
    /// The TLS configuration; `None` without `--ca` and `--pin`.
    pub(super) fn tls(&self) -> Result<Option<Arc<ClientConfig>>, String> {
        match self.trust.trust() {
            Trust::System => Ok(None),
            trust => trust.config().map(Some).map_err(|e| e.to_string()),
        }
    }
}

/// The duration of the measurement.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Phases {
    /// Seconds of warm-up with the same load, not measured.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub(super) warm: f64,
    /// Seconds measured.
    #[arg(long, default_value_t = 5.0, value_parser = positive)]
    pub(super) seconds: f64,
}

#[derive(Debug, Clone, Args)]
pub(super) struct IdleArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    /// Connections.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connections: u32,
    /// Topics that the connections are spread over.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) topics: u32,
    /// Seconds of idle time before memory is read.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    pub(super) hold: f64,
}

/// The shape of the publish load; defaults depend on the mode.
#[derive(Debug, Clone, Args)]
pub(super) struct ShapeArgs {
    /// Topics [1; topics: 1000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) topics: Option<u32>,
    /// Subscribers of each topic [1000; topics: 10].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) subscribers: Option<u32>,
    /// Publishing connections [1; topics: 100].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) publishers: Option<u32>,
    /// Bytes of a payload's text, at least 34.
    #[arg(long, default_value_t = 128)]
    pub(super) size: usize,
    #[command(flatten)]
    pub(super) phases: Phases,
}

#[derive(Debug, Clone, Args)]
pub(super) struct FanoutArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    pub(super) shape: ShapeArgs,
    /// Messages a second, over all topics [100; topics: 5000].
    #[arg(long, value_parser = positive)]
    pub(super) rate: Option<f64>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct MaxrateArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    pub(super) shape: ShapeArgs,
    /// Messages of a topic that may be in flight at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) window: u32,
}

#[derive(Debug, Clone, Args)]
pub(super) struct EchoArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    pub(super) phases: Phases,
    /// Connections.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connections: u32,
    /// Requests that each connection keeps outstanding.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) depth: u32,
    /// Bytes of a request's text, at least 34 (a typed request id holds at most 128).
    #[arg(long, default_value_t = 120)]
    pub(super) size: usize,
    /// Send JSON-RPC `test.echo` on /rpc.
    #[arg(long)]
    pub(super) rpc: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct FeedArgs {
    #[command(flatten)]
    pub(super) server: ServerArgs,
    #[command(flatten)]
    pub(super) phases: Phases,
    /// The channel.
    #[arg(long, default_value = "dashboard")]
    pub(super) channel: String,
    /// The type to receive: one, of one partition.
    #[arg(long = "type", default_value = "trade_data")]
    pub(super) kind: String,
    /// Subscribers.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) subscribers: u32,
}

#[derive(Debug, Clone, Args)]
pub(super) struct FloorArgs {
    /// Sockets.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connections: u32,
    /// Bytes of a message.
    #[arg(long, default_value_t = 130, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) size: u32,
    /// Messages written with one call.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) coalesce: u32,
    /// Rounds over all sockets a second; unlimited if not given.
    #[arg(long, value_parser = positive)]
    pub(super) rate: Option<f64>,
    /// Seconds measured.
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    pub(super) seconds: f64,
    /// Pin the sender to one CPU.
    #[arg(long, value_name = "CPU")]
    pub(super) server_cpu: Option<usize>,
    /// Pin the reader to one CPU.
    #[arg(long, value_name = "CPU")]
    pub(super) client_cpu: Option<usize>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct SinkArgs {
    /// Connections to accept.
    #[arg(long)]
    pub(super) connections: u32,
    /// Pin to one CPU.
    #[arg(long, value_name = "CPU")]
    pub(super) client_cpu: Option<usize>,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("a positive number is needed".into()),
    }
}
