//! An independent implementation as the reference: each side reads what the other writes, and both refuse the same
//! input.

#![allow(clippy::expect_used)]

mod support;

use fanfare_ws::{CloseCode, Limits, encode, handshake};
use proptest::collection::vec;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use support::{End, Seen, client_frame, compare, decode, pieces, second_opinion};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{Role, WebSocket};

fn message() -> impl Strategy<Value = Seen> {
    prop_oneof![
        4 => "\\PC{0,200}".prop_map(Seen::Text),
        1 => "[a-z ]{60000,65536}".prop_map(Seen::Text),
        2 => vec(any::<u8>(), 0..300).prop_map(Seen::Binary),
        1 => vec(any::<u8>(), 0..126).prop_map(Seen::Ping),
        1 => vec(any::<u8>(), 0..126).prop_map(Seen::Pong),
    ]
}

/// A socket that only writes.
#[derive(Default)]
struct Written(Vec<u8>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Read for Written {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::WouldBlock.into())
    }
}

fn their_client_writes(messages: &[Seen]) -> Vec<u8> {
    let mut socket = WebSocket::from_raw_socket(Written::default(), Role::Client, None);
    for message in messages.iter().cloned() {
        let message = match message {
            Seen::Text(text) => Message::text(text),
            Seen::Binary(bytes) => Message::binary(bytes),
            Seen::Ping(bytes) => Message::Ping(bytes.into()),
            Seen::Pong(bytes) => Message::Pong(bytes.into()),
            Seen::Close(code, reason) => {
                Message::Close(code.map(|code| CloseFrame { code: code.into(), reason: reason.into() }))
            }
        };
        socket.send(message).expect("the buffer takes everything");
    }
    std::mem::take(&mut socket.get_mut().0)
}

fn we_write(messages: &[Seen]) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        match message {
            Seen::Text(text) => encode::text_into(&mut out, text),
            Seen::Binary(bytes) => encode::frame_into(&mut out, fanfare_ws::OpCode::Binary, bytes),
            Seen::Ping(bytes) => encode::ping_into(&mut out, bytes),
            Seen::Pong(bytes) => encode::pong_into(&mut out, bytes),
            Seen::Close(Some(code), reason) => {
                encode::close_into(&mut out, CloseCode::new(*code).expect("a valid code"), reason);
            }
            Seen::Close(None, _) => encode::empty_close_into(&mut out),
        }
    }
    out
}

proptest! {
    #[test]
    fn the_decoder_reads_tungstenites_frames(mut messages in vec(message(), 0..8), code in 3000u16..5000, seed: u64) {
        messages.push(Seen::Close(Some(code), "bye".into()));
        let bytes = their_client_writes(&messages);
        let limits = Limits::default();
        let verdict = decode(pieces(&bytes, seed), &limits);
        prop_assert_eq!(verdict.error, None);
        prop_assert_eq!(&verdict.events, &messages);
        prop_assert_eq!(decode([bytes.as_slice()], &limits).events, messages);
    }

    #[test]
    fn tungstenite_reads_the_encoders_frames(mut messages in vec(message(), 0..8), code in 3000u16..5000) {
        messages.push(Seen::Close(Some(code), "bye".into()));
        let theirs = second_opinion(&we_write(&messages), Role::Client, &Limits::default());
        prop_assert_eq!(theirs, (messages, End::Quiet));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_decoder_refuses_what_tungstenite_refuses(
        frames in vec((any::<u8>(), "[a-zé€]{0,20}", vec(any::<u8>(), 0..4), any::<[u8; 4]>()), 0..8),
    ) {
        let limits = Limits {
            max_message_bytes: 60, max_frame_bytes: 125, max_unfinished_bytes: usize::MAX, ..Limits::default()
        };
        // Opcodes and flags from one byte, so that most frames are valid.
        const FIRSTS: [u8; 16] =
            [0x81, 0x81, 0x82, 0x01, 0x02, 0x00, 0x00, 0x80, 0x80, 0x89, 0x8a, 0x88, 0x09, 0xc1, 0x83, 0x8b];
        let bytes: Vec<u8> = frames
            .iter()
            .flat_map(|(first, text, tail, key)| {
                let tail: &[u8] = if first & 0xe0 == 0 { tail } else { &[] };
                client_frame(FIRSTS[usize::from(first & 15)], &[text.as_bytes(), tail].concat(), *key)
            })
            .collect();
        compare(&bytes, &limits);
    }
}

#[test]
fn their_client_accepts_our_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("more of the request");
            request.extend(byte);
        }
        let request = String::from_utf8(request).expect("ASCII");
        let headers: Vec<(String, Vec<u8>)> = request
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.into()))
            .collect();
        let options = handshake::Options { protocols: &["jsonrpc", "fanfare.v1"], deflate: true };
        let accepted = handshake::check(
            |name| headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice()),
            &options,
        )
        .expect("a valid request");
        assert_eq!(accepted.deflate, None, "tungstenite offers no extension");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
            accepted.accept_key,
            accepted.protocol.expect("one of the two"),
        );
        stream.write_all(answer.as_bytes()).expect("the client is connected");
        let mut frame = Vec::new();
        encode::text_into(&mut frame, "welcome");
        stream.write_all(&frame).expect("the client is connected");
    });
    let mut request = format!("ws://{address}/").into_client_request().expect("a valid address");
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "other, fanfare.v1, jsonrpc".parse().expect("a value"));
    let stream = TcpStream::connect(address).expect("the server accepts connections");
    let (mut socket, response) = tungstenite::client(request, stream).expect("an accepted handshake");
    assert_eq!(response.headers()["sec-websocket-protocol"], "fanfare.v1");
    assert_eq!(socket.read().expect("a frame"), Message::text("welcome"));
    server.join().expect("the server's assertions");
}
