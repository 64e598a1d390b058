//! RFC 6455 by hand: a socket that says what no library would, and sees each frame as it came.

pub use crate::raw_frame::{Frame, deflate, inflate, op};
pub use crate::raw_stream::{Endpoint, Stream};

use crate::raw_http::{Head, Request};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Longest wait for anything that should come at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// A WebSocket under full control.
#[derive(Debug)]
pub struct Raw {
    /// The connection.
    pub stream: Stream,
    /// The handshake's answer.
    pub head: Head,
}

impl Raw {
    /// Connects to `/ws`.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn open(to: impl Into<Endpoint>) -> Self {
        Self::upgrade(to, &Request::upgrade("/ws"))
    }

    /// Connects with this request.
    ///
    /// # Panics
    /// When the answer is not 101.
    #[track_caller]
    pub fn upgrade(to: impl Into<Endpoint>, request: &Request) -> Self {
        Self::with_bytes(to, &request.bytes())
    }

    /// Connects with these bytes, which begin with the request.
    ///
    /// # Panics
    /// When the answer is not 101.
    #[track_caller]
    pub fn with_bytes(to: impl Into<Endpoint>, bytes: &[u8]) -> Self {
        let mut stream = Stream::connect(to);
        stream.write(bytes);
        let head = stream.read_head(Instant::now() + PATIENCE).expect("an answer");
        assert_eq!(head.status, 101, "{head:?}");
        Self { stream, head }
    }

    /// Sends a frame.
    #[track_caller]
    pub fn send(&mut self, frame: &Frame) {
        self.stream.write(&frame.encode());
    }

    /// Sends a command.
    #[track_caller]
    pub fn say(&mut self, command: &Value) {
        self.send(&Frame::text(command.to_string()));
    }

    /// The next frame; `None` at the end of the stream.
    ///
    /// # Panics
    /// When nothing comes, or it is masked.
    #[track_caller]
    pub fn recv(&mut self) -> Option<Frame> {
        self.recv_within(PATIENCE)
    }

    /// The next frame; `None` at the end of the stream.
    ///
    /// # Panics
    /// When nothing comes within `within`, or it is masked.
    #[track_caller]
    pub fn recv_within(&mut self, within: Duration) -> Option<Frame> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            if !self.stream.fill(deadline) {
                assert!(self.stream.rest().is_empty(), "the stream ended within a frame");
                return None;
            }
        }
    }

    /// The next frame that comes before `deadline`, if one does and the stream does not end first.
    ///
    /// # Panics
    /// When it is masked.
    #[track_caller]
    pub fn recv_until(&mut self, deadline: Instant) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            if Instant::now() >= deadline || !self.stream.fill_or_timeout(deadline) || self.stream.has_ended()
            {
                return self.parse();
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let rest = self.stream.rest();
        let (&first, &second) = (rest.first()?, rest.get(1)?);
        assert_eq!(second & 0x80, 0, "a server must not mask");
        let (length, head) = match second {
            126 => (usize::from(u16::from_be_bytes(*rest.get(2..)?.first_chunk()?)), 4),
            127 => (u64::from_be_bytes(*rest.get(2..)?.first_chunk()?) as usize, 10),
            n => (usize::from(n), 2),
        };
        if rest.len() < head + length {
            return None;
        }
        let payload = self.stream.take(head + length)[head..].to_vec();
        Some(Frame { fin: first & 0x80 != 0, rsv: first >> 4 & 7, opcode: first & 15, payload })
    }

    /// The next text as JSON; the server's pings are answered on the way.
    ///
    /// # Panics
    /// When the connection ends first.
    #[track_caller]
    pub fn hear(&mut self) -> Value {
        loop {
            let frame = self.recv().expect("a text frame, not the end");
            match frame.opcode {
                op::TEXT => return frame.json(),
                op::PING => self.send(&Frame::new(op::PONG, &frame.payload)),
                op::CLOSE => {
                    panic!("closed: {:?} {}", frame.close_code(), String::from_utf8_lossy(&frame.payload))
                }
                _ => {}
            }
        }
    }

    /// The next text of this `type`; others are passed over.
    #[track_caller]
    pub fn hear_type(&mut self, kind: &str) -> Value {
        loop {
            let value = self.hear();
            if value["type"] == kind {
                return value;
            }
        }
    }

    /// Sends a command and returns the next reply.
    #[track_caller]
    pub fn call(&mut self, command: &Value) -> Value {
        self.say(command);
        loop {
            let value = self.hear();
            if matches!(value["type"].as_str(), Some("ack" | "error" | "pong" | "server_response")) {
                return value;
            }
        }
    }

    /// Subscribes; the ack.
    ///
    /// # Panics
    /// When it is refused.
    #[track_caller]
    pub fn subscribe(&mut self, topic: &str) -> Value {
        let ack = self.call(&serde_json::json!({ "type": "subscribe", "topic": topic }));
        assert_eq!(ack["type"], "ack", "{ack}");
        ack
    }

    /// Everything up to the close frame, and its code; `None` when the stream ends without one. The close is answered
    /// and the end of the stream awaited.
    ///
    /// # Panics
    /// When that takes longer than `within`.
    #[track_caller]
    pub fn read_to_close(&mut self, within: Duration) -> (Vec<Frame>, Option<u16>) {
        let deadline = Instant::now() + within;
        let mut frames = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.recv_within(left) {
                None => return (frames, None),
                Some(frame) if frame.opcode == op::CLOSE => {
                    self.stream.try_write(&Frame::new(op::CLOSE, &frame.payload).encode());
                    self.stream.expect_end(within);
                    return (frames, frame.close_code());
                }
                Some(frame) => frames.push(frame),
            }
        }
    }

    /// Checks that the connection is closed with this code; what came before it.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> Vec<Frame> {
        let (frames, closed) = self.read_to_close(PATIENCE);
        assert_eq!(closed, Some(code), "after {frames:?}");
        frames
    }

    /// Checks that a ping comes back.
    #[track_caller]
    pub fn expect_alive(&mut self) {
        let token = b"still there?";
        self.send(&Frame::new(op::PING, token));
        loop {
            let frame = self.recv().expect("an open connection");
            assert_ne!(frame.opcode, op::CLOSE, "closed: {:?}", frame.close_code());
            if frame.opcode == op::PONG && frame.payload == token {
                return;
            }
        }
    }
}
