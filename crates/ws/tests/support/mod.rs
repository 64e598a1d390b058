//! Shared by the integration tests and the fuzz target: owned events, decoding in pieces, client frames, and
//! tungstenite as the reference.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

use fanfare_ws::{Decoder, Event, Limits, ProtocolError};
use std::io::{self, Read, Write};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message, error};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.into()),
            Event::Binary(bytes) => Self::Binary(bytes.into()),
            Event::Ping(bytes) => Self::Ping(bytes.into()),
            Event::Pong(bytes) => Self::Pong(bytes.into()),
            Event::Close(code, reason) => Self::Close(code.map(Into::into), reason.into()),
        }
    }
}

/// Everything a decoder returned for one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub events: Vec<Seen>,
    /// Frames completed; 0 after an error, since those of the failing read are not reported.
    pub frames: u32,
    pub error: Option<ProtocolError>,
}

/// Feeds a stream in pieces, each as one read, as a driver does; stops at a close frame or an error.
pub fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> Verdict {
    let mut decoder = Decoder::default();
    let mut verdict = Verdict { events: Vec::new(), frames: 0, error: None };
    for piece in pieces {
        let mut buffer = piece.to_vec();
        let mut at = 0;
        loop {
            let rest = buffer.len() - at;
            match decoder.next(&mut buffer[at..], limits) {
                Ok(step) => {
                    assert!(step.consumed <= rest);
                    assert!(step.event.is_some() || step.consumed == rest, "input left without an event");
                    at += step.consumed;
                    verdict.frames += step.frames;
                    let Some(event) = step.event else { break };
                    let seen = Seen::from(event);
                    let closed = matches!(seen, Seen::Close(..));
                    verdict.events.push(seen);
                    if closed {
                        return verdict;
                    }
                }
                Err(error) => {
                    verdict.error = Some(error);
                    verdict.frames = 0;
                    return verdict;
                }
            }
        }
        let most = 2 * (limits.max_message_bytes.max(limits.max_inflated_bytes)) + 1024;
        assert!(decoder.held_bytes() <= most, "{} bytes held", decoder.held_bytes());
    }
    verdict
}

/// Cuts a stream at positions drawn from `seed`: runs of tiny reads and long ones.
pub fn pieces(bytes: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut state = seed | 1;
    let (mut rest, mut out) = (bytes, Vec::new());
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let most = if state & 0x30 == 0 { 300 } else { 6 };
        let (piece, left) = rest.split_at((1 + (state >> 8) as usize % most).min(rest.len()));
        out.push(piece);
        rest = left;
    }
    out
}

/// One masked client frame, valid or not: `first` is used unchanged as the first byte.
pub fn client_frame(first: u8, payload: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(key);
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]));
    out
}

/// How tungstenite's run over a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It waits for more input, or the close handshake is done.
    Quiet,
    /// It found a violation.
    Failed,
}

/// A stream that returns fixed bytes and discards writes.
struct Canned<'a>(&'a [u8]);

impl Read for Canned<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Canned<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Tungstenite's events for a stream.
pub fn second_opinion(bytes: &[u8], role: Role, limits: &Limits) -> (Vec<Seen>, End) {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(limits.max_message_bytes))
        .max_frame_size(Some(limits.max_frame_bytes));
    let mut context = WebSocketContext::new(role, Some(config));
    let mut stream = Canned(bytes);
    let mut events = Vec::new();
    loop {
        let message = match context.read(&mut stream) {
            Ok(message) => message,
            Err(
                Error::ConnectionClosed | Error::Protocol(error::ProtocolError::ResetWithoutClosingHandshake),
            ) => {
                return (events, End::Quiet);
            }
            Err(_) => return (events, End::Failed),
        };
        events.push(match message {
            Message::Text(text) => Seen::Text(text.to_string()),
            Message::Binary(bytes) => Seen::Binary(bytes.into()),
            Message::Ping(bytes) => Seen::Ping(bytes.into()),
            Message::Pong(bytes) => Seen::Pong(bytes.into()),
            Message::Close(frame) => {
                let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                let (code, reason) = frame.unzip();
                events.push(Seen::Close(code, reason.unwrap_or_default()));
                return (events, End::Quiet);
            }
            Message::Frame(frame) => panic!("raw frame {frame}"),
        });
    }
}

/// Compares the decoder's result for a client's stream with tungstenite's. The intended differences:
///
/// - tungstenite checks whole frames, so it may still be waiting where the decoder has already refused;
/// - it accepts lengths that are not in their shortest form, also for control frames, and has no limit on wire bytes;
/// - it reports a close frame with a code it refuses as one of code 1002; it refuses 1014, which is registered.
pub fn compare(bytes: &[u8], limits: &Limits) {
    let ours = decode([bytes], limits);
    let (mut theirs, end) = second_opinion(bytes, Role::Server, limits);
    let refused = Seen::Close(Some(1002), "Protocol violation".into());
    let Some(error) = ours.error else {
        if let (Some(Seen::Close(Some(1014), _)), Some(last)) = (ours.events.last(), theirs.last_mut())
            && *last == refused
        {
            *last = ours.events.last().unwrap().clone();
        }
        assert_eq!((ours.events, End::Quiet), (theirs, end));
        return;
    };
    if theirs.last() == Some(&refused) && theirs.len() == ours.events.len() + 1 {
        theirs.pop();
    }
    let stricter = [
        "length not in its shortest form",
        "control frame longer than 125 bytes",
        "message takes too many bytes",
    ]
    .contains(&error.reason);
    if stricter {
        assert!(theirs.starts_with(&ours.events));
    } else {
        assert_eq!(ours.events, theirs, "{error}");
    }
}

/// Sets the mask bit and inserts a mask of zeros into each frame of an unmasked stream, so that payloads stay readable.
pub fn with_null_masks(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let length_bytes = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((length, rest)) = rest.split_at_checked(length_bytes) else { break };
        let payload = match length {
            [] => u64::from(second & 0x7f),
            length => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        out.extend([*first, second | 0x80]);
        out.extend(length);
        out.extend([0; 4]);
        let (payload, rest) = rest.split_at(usize::try_from(payload).unwrap_or(usize::MAX).min(rest.len()));
        out.extend(payload);
        bytes = rest;
    }
    out.extend(bytes);
    out
}
