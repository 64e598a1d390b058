//! HTTP/1.1 by hand: one request, one answer, one connection.

use crate::raw::{Endpoint, Stream};
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request that is written exactly as it is built.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    version: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// The head of an answer.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Its head.
    pub head: Head,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            version: "HTTP/1.1".into(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target).header("Host", "localhost").header("Connection", "close")
    }

    /// A POST of a JSON text.
    pub fn post(target: &str, body: &str) -> Self {
        let mut request = Self::new("POST", target)
            .header("Host", "localhost")
            .header("Connection", "close")
            .header("Content-Type", "application/json")
            .header("Content-Length", &body.len().to_string());
        request.body = body.into();
        request
    }

    /// A well-formed opening handshake.
    pub fn upgrade(target: &str) -> Self {
        Self::new("GET", target)
            .header("Host", "localhost")
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("Sec-WebSocket-Version", "13")
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with this header's value replaced.
    #[must_use]
    pub fn replace(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    /// The same without this header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    /// The same with another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// The same with another version, as `HTTP/1.0`.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = version.into();
        self
    }

    /// The request's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            // Writing to a string cannot fail.
            let _never = write!(text, "{name}: {value}\r\n");
        }
        text += "\r\n";
        text += &self.body;
        text.into_bytes()
    }

    /// Sends it and reads the answer.
    ///
    /// # Panics
    /// When there is no answer.
    #[track_caller]
    pub fn send(&self, to: impl Into<Endpoint>) -> Answer {
        self.try_send(to).expect("an answer")
    }

    /// Sends it and reads the answer; `None` when the connection ends without one.
    ///
    /// # Panics
    /// When nothing happens.
    #[track_caller]
    pub fn try_send(&self, to: impl Into<Endpoint>) -> Option<Answer> {
        let mut stream = Stream::try_connect(&to.into())?;
        stream.try_write(&self.bytes());
        stream.read_answer(PATIENCE)
    }
}

impl Head {
    /// Reads a head's lines.
    ///
    /// # Panics
    /// When it is no HTTP.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned())).collect();
        Self { status: status.unwrap_or_else(|| panic!("no HTTP: {text:?}")), headers }
    }

    /// A header's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

impl Answer {
    /// The body as text.
    ///
    /// # Panics
    /// When it is no UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The problem's code, after checking the form (RFC 9457).
    ///
    /// # Panics
    /// When it is no problem, or says another status than the answer.
    #[track_caller]
    pub fn problem(&self) -> String {
        assert_eq!(self.head.get("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|d| !d.is_empty()), "{problem}");
        assert_eq!(problem["request_id"].as_str(), self.head.get("x-request-id"), "{problem}");
        problem["code"].as_str().expect("a code").to_owned()
    }
}
