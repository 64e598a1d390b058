//! A peer that somebody else wrote: tokio-tungstenite, driven step by step from a plain test.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longest wait for anything that should come at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// One WebSocket. The library answers pings while it is read.
pub struct Client {
    runtime: Runtime,
    socket: WebSocketStream<TcpStream>,
    /// Frames that came while a reply was awaited.
    kept: std::collections::VecDeque<Value>,
    asked: u64,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("kept", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to `/ws` and takes the welcome.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn connect(to: SocketAddr) -> Self {
        Self::greeted(to).0
    }

    /// Connects to `/ws`; the connection and its welcome.
    #[track_caller]
    pub fn greeted(to: SocketAddr) -> (Self, Value) {
        let mut client = Self::open(to, "/ws", None);
        let welcome = client.hear();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        (client, welcome)
    }

    /// Connects to a path, with a subprotocol if one is given.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn open(to: SocketAddr, path: &str, protocol: Option<&'static str>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut request = format!("ws://{to}{path}").into_client_request().expect("a request");
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
        }
        let connecting = async {
            let tcp = TcpStream::connect(to).await.expect("a connection");
            tcp.set_nodelay(true).expect("a TCP socket");
            client_async(request, tcp).await.expect("an upgrade").0
        };
        let socket = runtime.block_on(async { tokio::time::timeout(PATIENCE, connecting).await });
        Self { runtime, socket: socket.expect("an upgrade in time"), kept: Default::default(), asked: 0 }
    }

    /// Sends a frame of JSON.
    ///
    /// # Panics
    /// When the connection is gone.
    #[track_caller]
    pub fn say(&mut self, frame: &Value) {
        assert!(self.try_say(frame), "the connection is gone");
    }

    /// Sends a frame of JSON; false when the connection is gone.
    pub fn try_say(&mut self, frame: &Value) -> bool {
        self.runtime.block_on(self.socket.send(Message::text(frame.to_string()))).is_ok()
    }

    /// The next text, kept ones first.
    ///
    /// # Panics
    /// When the connection ends, or nothing comes.
    #[track_caller]
    pub fn hear(&mut self) -> Value {
        self.try_hear().unwrap_or_else(|code| panic!("closed: {code:?}"))
    }

    /// The next text, kept ones first; the close code (if there was a close frame) when the connection ends.
    ///
    /// # Errors
    /// The close code.
    ///
    /// # Panics
    /// When nothing comes.
    #[track_caller]
    pub fn try_hear(&mut self) -> Result<Value, Option<u16>> {
        if let Some(kept) = self.kept.pop_front() {
            return Ok(kept);
        }
        self.read()
    }

    #[track_caller]
    fn read(&mut self) -> Result<Value, Option<u16>> {
        loop {
            let socket = &mut self.socket;
            let next = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, socket.next()).await });
            match next.expect("something comes in time") {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.map(|f| u16::from(f.code));
                    while let Some(Ok(_)) = self.runtime.block_on(self.socket.next()) {}
                    return Err(code);
                }
                Some(Ok(_)) => {}
                None | Some(Err(Error::ConnectionClosed | Error::Io(_) | Error::Protocol(_))) => {
                    return Err(None);
                }
                Some(Err(error)) => panic!("{error}"),
            }
        }
    }

    /// Sends a command and returns its reply; other frames are kept for [`Client::hear`].
    #[track_caller]
    pub fn call(&mut self, mut command: Value) -> Value {
        self.asked += 1;
        let id = format!("call-{}", self.asked);
        command["request_id"] = json!(id);
        self.say(&command);
        loop {
            let frame = self.read().unwrap_or_else(|code| panic!("closed: {code:?}"));
            if frame["request_id"] == id.as_str() {
                return frame;
            }
            self.kept.push_back(frame);
        }
    }

    /// The same over JSON-RPC: its answer.
    #[track_caller]
    pub fn rpc(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let frame = self.read().unwrap_or_else(|code| panic!("closed: {code:?}"));
            if frame["id"] == id {
                return frame;
            }
            self.kept.push_back(frame);
        }
    }

    /// Subscribes; the ack.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn subscribe(&mut self, topic: &str) -> Value {
        let ack = self.call(json!({ "type": "subscribe", "topic": topic }));
        assert_eq!(ack["type"], "ack", "{ack}");
        ack
    }

    /// Publishes; the ack.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn publish(&mut self, topic: &str, payload: Value) -> Value {
        let ack = self.call(json!({ "type": "publish", "topic": topic, "payload": payload }));
        assert_eq!(ack["type"], "ack", "{ack}");
        ack
    }

    /// The next frame of this `type`; others are passed over.
    #[track_caller]
    pub fn hear_type(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.hear();
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Says goodbye and waits for the answer.
    pub fn close(mut self) {
        let _gone = self.runtime.block_on(self.socket.close(None));
        while self.read().is_ok() {}
    }
}
