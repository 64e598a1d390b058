//! The protocols of the servers, as data: where to connect, what to send before a connection counts as ready, and the
//! form of a publish and an echo. A new peer is a new constant here.

use super::template::Template;

/// The servers this generator can drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Dialect {
    /// Fanfare's typed dialect.
    Typed,
    /// A feed's channel in the typed dialect; only for `feed`.
    #[value(skip)]
    Feed,
    /// JSON-RPC 2.0 on `/rpc`; only for `echo`.
    Rpc,
    /// One letter and the rest: `S<topic>`, `P<topic>
    /// <payload>`, `E<payload>`. The small comparison peers use it.
    Plain,
    /// The NATS protocol in WebSocket frames; its echo is a publish to oneself.
    Nats,
}

/// The role of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Subscriber,
    Publisher,
    Echo,
}

/// The exchange between the upgrade and the first message: when a frame containing `after` has arrived (empty: at
/// once), `send` is sent (empty: nothing); the connection is ready when a frame containing `ready` has arrived (empty:
/// at once).
#[derive(Debug, Clone, Copy)]
struct Greeting {
    after: &'static str,
    send: &'static str,
    ready: &'static str,
}

/// The protocol of one server.
struct Ways {
    path: &'static str,
    subprotocol: Option<&'static str>,
    binary: bool,
    subscriber: Greeting,
    publisher: Greeting,
    echo_greeting: Greeting,
    publish: &'static str,
    echo: &'static str,
    /// A heartbeat inside data frames: a frame ending in the first is responded to with the second.
    heartbeat: Option<(&'static str, &'static str)>,
    /// Whether one frame may carry several messages.
    batches: bool,
    /// A text that only errors contain, near their start.
    refusal: &'static str,
}

const AT_ONCE: Greeting = Greeting { after: "", send: "", ready: "" };
const WELCOME: Greeting = Greeting { after: "", send: "", ready: r#""type":"welcome""# };

const TYPED: Ways = Ways {
    path: "/ws",
    subprotocol: Some("fanfare.v1"),
    binary: false,
    subscriber: Greeting {
        after: r#""type":"welcome""#,
        send: r#"{"type":"subscribe","topic":"<topic>"}"#,
        ready: r#""for":"subscribe""#,
    },
    publisher: WELCOME,
    echo_greeting: WELCOME,
    publish: r#"{"type":"publish","topic":"<topic>","payload":"<payload>"}"#,
    echo: r#"{"type":"ping","request_id":"<payload>"}"#,
    heartbeat: None,
    batches: false,
    refusal: r#""type":"error""#,
};

const FEED: Ways =
    Ways { subscriber: Greeting { send: r#"{"type":"subscribe",<topic>}"#, ..TYPED.subscriber }, ..TYPED };

const RPC: Ways = Ways {
    path: "/rpc",
    subprotocol: Some("jsonrpc"),
    echo_greeting: Greeting { after: "", send: "", ready: "session.welcome" },
    echo: r#"{"jsonrpc":"2.0","id":1,"method":"test.echo","params":{"msg":"<payload>"}}"#,
    refusal: r#""error":"#,
    ..TYPED
};

const PLAIN: Ways = Ways {
    path: "/",
    subprotocol: None,
    binary: false,
    subscriber: Greeting { after: "", send: "S<topic>", ready: "OK" },
    publisher: AT_ONCE,
    echo_greeting: AT_ONCE,
    publish: "P<topic>\n<payload>",
    echo: "E<payload>",
    heartbeat: None,
    batches: false,
    refusal: "ERR",
};

const NATS: Ways = Ways {
    path: "/",
    subprotocol: None,
    binary: true,
    subscriber: Greeting {
        after: "INFO",
        send: "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false}\r\nSUB <topic> 1\r\nPING\r\n",
        ready: "PONG",
    },
    publisher: Greeting {
        after: "INFO",
        send: "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false}\r\nPING\r\n",
        ready: "PONG",
    },
    echo_greeting: Greeting {
        after: "INFO",
        send: "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false}\r\nSUB <topic> 1\r\nPING\r\n",
        ready: "PONG",
    },
    publish: "PUB <topic> <length>\r\n<payload>\r\n",
    echo: "PUB <topic> <length>\r\n<payload>\r\n",
    heartbeat: Some(("PING\r\n", "PONG\r\n")),
    batches: true,
    refusal: "-ERR",
};

/// A greeting ready for use.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) after: &'static str,
    /// `None` when nothing is to be sent.
    pub(super) send: Option<Template>,
    pub(super) ready: &'static str,
}

/// A server's protocol for connections of one role.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) path: String,
    pub(super) subprotocol: Option<&'static str>,
    pub(super) binary: bool,
    pub(super) hello: Hello,
    /// The frame with which a publisher publishes, or an echo connection sends its request.
    pub(super) message: Template,
    pub(super) heartbeat: Option<(&'static str, &'static str)>,
    pub(super) batches: bool,
    pub(super) refusal: &'static str,
}

impl Dialect {
    /// The script of `role`; `path` replaces the dialect's own.
    pub(super) fn script(self, role: Role, path: Option<&str>) -> Script {
        let ways = match self {
            Self::Typed => TYPED,
            Self::Feed => FEED,
            Self::Rpc => RPC,
            Self::Plain => PLAIN,
            Self::Nats => NATS,
        };
        let greeting = match role {
            Role::Subscriber => ways.subscriber,
            Role::Publisher => ways.publisher,
            Role::Echo => ways.echo_greeting,
        };
        let message = if role == Role::Echo { ways.echo } else { ways.publish };
        Script {
            path: path.unwrap_or(ways.path).to_owned(),
            subprotocol: ways.subprotocol,
            binary: ways.binary,
            hello: Hello {
                after: greeting.after,
                send: (!greeting.send.is_empty()).then(|| Template::parse(greeting.send)),
                ready: greeting.ready,
            },
            message: Template::parse(message),
            heartbeat: ways.heartbeat,
            batches: ways.batches,
            refusal: ways.refusal,
        }
    }
}
