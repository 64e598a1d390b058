//! From a TCP connection to a ready one: the upgrade (RFC 6455 section 4.1), then the greeting of the peer's script.
//! Also heartbeats and closing of a connection.

use std::net::SocketAddrV4;

use super::frame::{Masker, Opcode};
use super::link::{Link, Stage};
use super::peer::Script;

pub(super) fn upgrade(server: SocketAddrV4, script: &Script) -> String {
    let subprotocol =
        script.subprotocol.map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    // The key is RFC 6455's own example: it guards against caches, of which there are none here.
    format!(
        "GET {} HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{subprotocol}\r\n",
        script.path
    )
}

/// The end of the upgrade's response, once it is complete.
pub(super) fn upgraded(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    if bytes.starts_with(b"HTTP/1.1 101") {
        return Ok(Some(end + 4));
    }
    let head = String::from_utf8_lossy(&bytes[..end]);
    Err(format!("upgrade refused: {}", head.lines().next().unwrap_or_default()))
}

/// Advances a connection through its greeting; returns whether it became ready.
pub(super) fn greet(
    link: &mut Link,
    script: &Script,
    topic: &str,
    frame: &[u8],
    masker: &mut Masker,
) -> bool {
    let hello = &script.hello;
    let holds =
        |text: &str| text.is_empty() || frame.windows(text.len()).any(|window| window == text.as_bytes());
    if link.stage == Stage::Greeting && holds(hello.after) {
        link.stage = Stage::Greeted;
        if let Some(send) = &hello.send {
            let mut text = Vec::new();
            send.fill(topic, b"", &mut text);
            link.queue(data(script), &text, masker);
            // The response arrives in a later frame than the one that triggered this.
            if !hello.ready.is_empty() {
                return false;
            }
        }
    }
    let ready = link.stage == Stage::Greeted && holds(hello.ready);
    if ready {
        link.stage = Stage::Ready;
    }
    ready
}

/// Responds to a heartbeat that arrives inside data frames.
pub(super) fn beat(link: &mut Link, script: &Script, frame: &[u8], masker: &mut Masker) {
    if let Some((ping, pong)) = script.heartbeat
        && frame.ends_with(ping.as_bytes())
    {
        link.queue(data(script), pong.as_bytes(), masker);
    }
}

/// The opcode of a peer's messages.
pub(super) fn data(script: &Script) -> Opcode {
    if script.binary { Opcode::Binary } else { Opcode::Text }
}

pub(super) fn closed(payload: &[u8]) -> String {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => {
            format!("closed by the server: {} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(reason))
        }
        None => "closed by the server".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;
    use crate::bench::peer::{Dialect, Role};

    fn link(role: Role) -> (TcpListener, Link) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
        let mut link = Link::open(address, 0, role, 0).unwrap();
        link.stage = Stage::Greeting;
        (listener, link)
    }

    /// Feeds frames, the first being "nothing yet"; returns after which of them the connection was ready, and whether
    /// it sent anything.
    fn ready_after(dialect: Dialect, role: Role, frames: &[&str]) -> (Option<usize>, bool) {
        let script = dialect.script(role, None);
        let (_listener, mut link) = link(role);
        let mut masker = Masker::new();
        let ready = frames.iter().position(|f| greet(&mut link, &script, "t", f.as_bytes(), &mut masker));
        (ready, !link.out.is_empty())
    }

    #[test]
    fn each_dialect_is_ready_after_its_greeting() {
        let welcome = r#"{"type":"welcome"}"#;
        let ack = r#"{"type":"ack","for":"subscribe"}"#;
        use Role::{Echo, Publisher, Subscriber};
        assert_eq!(ready_after(Dialect::Typed, Subscriber, &["", welcome, ack]), (Some(2), true));
        assert_eq!(ready_after(Dialect::Typed, Subscriber, &["", welcome]), (None, true));
        assert_eq!(ready_after(Dialect::Typed, Publisher, &["", welcome]), (Some(1), false));
        assert_eq!(ready_after(Dialect::Plain, Subscriber, &["", "OK"]), (Some(1), true));
        assert_eq!(ready_after(Dialect::Plain, Publisher, &[""]), (Some(0), false));
        assert_eq!(ready_after(Dialect::Nats, Echo, &["", "INFO {}", "PONG\r\n"]), (Some(2), true));
        let notice = r#"{"jsonrpc":"2.0","method":"session.welcome"}"#;
        assert_eq!(ready_after(Dialect::Rpc, Echo, &["", notice]), (Some(1), false));
    }

    #[test]
    fn only_a_101_is_an_upgrade() {
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n"), Ok(None));
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x81\x00"), Ok(Some(42)));
        assert_eq!(upgraded(b"HTTP/1.1 403 No\r\n\r\n"), Err("upgrade refused: HTTP/1.1 403 No".into()));
    }
}
