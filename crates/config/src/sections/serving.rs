//! Serving: the start of everything, the listener, logs, sockets, TLS and the cluster.

use crate::engines::RedisUrl;
use crate::group::settings;
use crate::hosts::{Host, HostPort, Network};
use crate::origin::{CorsOrigins, WebOrigin};
use crate::words::{Environment, LogFormat, LogLevel};
use crate::{ByteSize, Feature};
use std::path::PathBuf;
use std::time::Duration;

settings! {
    /// Settings that stand before the first section.
    pub(crate) struct General in "", cx: {
        /// Whether unsafe settings are refused (`production`) or convenient (`development`).
        environment: Environment = cx.environment; env "ENV",
        /// Folder for everything the server keeps; made when it is missing. One server at a time uses it.
        data_dir: PathBuf = cx.data_dir.clone(),
    }
}

settings! {
    /// The listener for HTTP and WebSocket.
    pub struct Server in "server", cx: {
        /// Address to listen on. `0.0.0.0` and `::` are all of this machine's.
        host: Host = Host::Ip([0, 0, 0, 0].into()); env "HOST",
        /// Port to listen on. 0 picks a free one, which is printed and written to `{data_dir}/address`.
        port: u16 = 8080; env "PORT",
        /// Origins whose pages may connect and send requests that change something. The server's own is always among them. In development, while this is not set, so is every `http` or `https` origin on `localhost`, `127.0.0.1`, `[::1]` and this machine's host name, whatever its port.
        cors_origins: CorsOrigins = cx.pick(CorsOrigins::development(), CorsOrigins::default());
            env "CORS_ORIGIN"; varies "`[\"http://localhost:3000\"]` in development, empty in production",
        /// The origin users reach the server under, when that is not the listener's own (behind a proxy, or a DNS name).
        public_origin: Option<WebOrigin> = None; varies "the listener's own; `0.0.0.0` becomes `localhost`",
        /// Says that a proxy in front serves HTTPS, so that production may listen without TLS on an address others reach. The flag `--insecure-behind-proxy` is the same.
        behind_proxy: bool = false,
        /// Networks whose `X-Forwarded-For` is believed; the client is the rightmost address outside of them.
        trusted_proxies: Vec<Network> = Vec::new(),
        /// Address of its own for `/metrics`, `/stats` and `/admin`, which then leave the public one.
        ops_listen: Option<HostPort> = None,
        /// Longest time for a request's head to arrive.
        header_timeout: Duration = Duration::from_secs(10); positive,
        /// Longest time for a request's body to arrive; for uploads, longest time without progress.
        body_timeout: Duration = Duration::from_secs(15); positive,
        /// Longest time from SIGTERM to the end of the process.
        shutdown_timeout: Duration = Duration::from_secs(30); positive,
    }
}

settings! {
    /// Log lines, on standard output.
    pub struct Log in "log", cx: {
        /// The least severe lines that are written. No level shows tokens, keys or message bodies.
        level: LogLevel = LogLevel::Debug; env "LOG_LEVEL",
        /// For people (`pretty`) or machines (`json`).
        format: LogFormat = cx.pick(LogFormat::Pretty, LogFormat::Json); varies "`\"pretty\"` in development, `\"json\"` in production",
    }
}

settings! {
    /// Metrics kept in the store, beside those of `/metrics`.
    pub struct MetricsKept in "metrics", cx: {
        /// Time between two snapshots; they are kept for a week.
        snapshot_interval: Duration = Duration::from_secs(60); positive,
    }
}

settings! {
    /// WebSocket connections.
    pub struct Ws in "ws", cx: {
        /// How often the server pings. Must be shorter than `ws.read_timeout`.
        ping_interval: Duration = cx.read_timeout * 9 / 10; positive; varies "`\"54s\"`; nine tenths of `ws.read_timeout` where that is set",
        /// A connection that sends nothing for so long, not even a pong, is closed.
        read_timeout: Duration = cx.read_timeout; positive,
        /// A connection that takes nothing for so long while something waits to be written is closed.
        write_timeout: Duration = Duration::from_secs(10); positive,
        /// Compresses messages for clients that offer it (permessage-deflate); costs CPU for every message.
        compression: bool = false,
        /// Hint for a connection's read buffer; the buffer that connections share may be larger.
        read_buffer_bytes: ByteSize = ByteSize::bytes(1024); env "WS_READ_BUFFER_SIZE"; positive,
        /// Hint for a connection's write buffer.
        write_buffer_bytes: ByteSize = ByteSize::bytes(1024); env "WS_WRITE_BUFFER_SIZE"; positive,
    }
}

settings! {
    /// HTTPS served by Fanfare itself. Set together: `tls.cert` and `tls.key`.
    pub struct Tls in "tls", cx: {
        /// Certificate chain, PEM.
        cert: Option<PathBuf> = None; env "TLS_CERT"; with Feature::Tls,
        /// Private key of the certificate, PEM; readable by the server's user alone.
        key: Option<PathBuf> = None; env "TLS_KEY"; with Feature::Tls,
        /// Port for HTTPS; `server.port` is then unused. 0 picks a free one.
        port: u16 = 443; with Feature::Tls,
        /// Port that sends plain HTTP over to HTTPS. 0 picks a free one.
        redirect_port: u16 = 80; with Feature::Tls,
        /// Redirects every method, not only GET and HEAD.
        redirect_all: bool = false; with Feature::Tls,
    }
}

settings! {
    /// Several nodes as one server.
    pub struct Cluster in "cluster", cx: {
        /// The Redis that joins the nodes. Unset: a single node.
        redis_url: Option<RedisUrl> = None; env "REDIS_ADDR"; passwords; with Feature::Cluster,
        /// This node's name among the others.
        node_id: Option<String> = None; with Feature::Cluster; varies "drawn at every start",
        /// How many Redis channels topics are spread over; the same on every node.
        partitions: u32 = 256; unit "channels"; positive; with Feature::Cluster,
    }
}
