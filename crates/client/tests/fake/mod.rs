//! A server of the typed dialect that sends only the frames its test specifies.

#![allow(dead_code, reason = "each test binary uses its share")]

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

pub(crate) struct Fake {
    listener: TcpListener,
    attempts: AtomicUsize,
}

/// The server's end of one connection.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    query: String,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, attempts: AtomicUsize::new(0) }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.listener.local_addr().unwrap())
    }

    /// Number of connections accepted so far.
    pub(crate) fn attempts(&self) -> usize {
        self.attempts.load(Ordering::Relaxed)
    }

    async fn tcp(&self) -> TcpStream {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.listener.accept().await.unwrap().0
    }

    pub(crate) async fn accept(&self) -> Peer {
        let mut query = String::new();
        #[allow(clippy::result_large_err, reason = "the signature is the library's")]
        let callback = |request: &Request, mut response: Response| {
            query = request.uri().query().unwrap_or_default().to_owned();
            let protocol = request.headers()["sec-websocket-protocol"].clone();
            assert_eq!(protocol, "fanfare.v1");
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            Ok(response)
        };
        let socket = accept_hdr_async(self.tcp().await, callback).await.unwrap();
        Peer { socket, query }
    }

    /// Responds to one upgrade with an HTTP status; returns its query.
    pub(crate) async fn refuse(&self, status: u16) -> String {
        let (head, _) = self.answer_http(status, &Value::Null).await;
        let path = head.split(' ').nth(1).unwrap();
        path.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default()
    }

    /// Responds to one HTTP request; returns its head and its JSON body.
    pub(crate) async fn answer_http(&self, status: u16, body: &Value) -> (String, Value) {
        let mut tcp = self.tcp().await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let mut sent = vec![0; length.unwrap_or(0)];
        tcp.read_exact(&mut sent).await.unwrap();
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        tcp.write_all(answer.as_bytes()).await.unwrap();
        (head, serde_json::from_slice(&sent).unwrap_or(Value::Null))
    }
}

impl Peer {
    pub(crate) fn query(&self) -> &str {
        &self.query
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.socket.next().await.unwrap().unwrap() {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }

    pub(crate) async fn ack_subscribe(
        &mut self,
        request: &Value,
        epoch: &str,
        offset: u64,
        recovered: Option<bool>,
    ) {
        let mut ack = json!({"type":"ack","for":"subscribe","topic":request["topic"],"epoch":epoch,"offset":offset,
                             "request_id":request["request_id"],"timestamp":"now"});
        if let Some(recovered) = recovered {
            ack["recovered"] = json!(recovered);
        }
        self.send(ack).await;
    }

    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "because".into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Waits for the client's close frame; returns its code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = self.socket.next().await {
            if let Message::Close(frame) = message {
                code = frame.map(|f| f.code.into());
            }
        }
        code
    }
}

pub(crate) fn welcome(code: &str, token: &str) -> Value {
    json!({"type":"welcome","session_code":code,"resume_token":token,"client_id":"c1","user":null,"heartbeat_ms":54000,
           "limits":{"max_message_bytes":65536,"queue_messages":256},
           "server":{"name":"fanfare","version":"0.1.0","id":"localhost"},"timestamp":"now"})
}

pub(crate) fn event(topic: &str, offset: u64, payload: &Value) -> Value {
    json!({"type":"event","topic":topic,"id":format!("m{offset}"),"offset":offset,"payload":payload,"timestamp":"now"})
}
