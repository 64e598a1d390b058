//! Frames that a person and the oracle can read, and sockets that take what they have room for.
//!
//! A frame is one byte of length and so many bytes of text. The variant is part of the text and of its length, so that
//! bytes of one variant sent to another are seen.

use super::program::Sabotage;
use super::{Violation, wrong};
use fanfare_core::model::{Delivery, Refusal};
use fanfare_core::ports::{Encoder, Encoders, Info, Sent, Wire};
use std::io::IoSlice;
use std::sync::Arc;

/// An encoder of one variant.
#[derive(Clone, Copy, Debug)]
pub struct TextEncoder(pub u8);

impl TextEncoder {
    /// Appends a frame with this text.
    pub fn frame(self, text: &str, out: &mut Vec<u8>) {
        let pad = ".".repeat(usize::from(self.0));
        out.push((text.len() + 1 + pad.len()) as u8);
        out.push(b'0' + self.0);
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(pad.as_bytes());
    }
}

impl Encoder for TextEncoder {
    fn delivery(&self, delivery: &Delivery<'_>, out: &mut Vec<u8>) {
        let text = match delivery {
            Delivery::Event(event) => format!("E|{}|{}|{}", event.topic, event.meta.offset, event.payload),
            Delivery::Body(body) => format!("R|{}", body.members),
            Delivery::Bytes(bytes) => format!("B|{}", String::from_utf8_lossy(bytes)),
            Delivery::PositionLost(lost) => format!("P|{}|{}|{}", lost.topic, lost.epoch.0, lost.offset),
        };
        self.frame(&text, out);
    }

    fn info(&self, info: &Info<'_>, _now_ms: u64, out: &mut Vec<u8>) {
        let text = match info {
            Info::TopicDeleted { topic } => format!("D|{topic}"),
            Info::MessagesDropped { count, channel: None } => format!("M|{count}"),
            Info::MessagesDropped { count, channel: Some(channel) } => format!("F|{channel}|{count}"),
            Info::ServerShutdown => "S".to_owned(),
            other => other.code().to_owned(),
        };
        self.frame(&text, out);
    }

    fn error(&self, refusal: &Refusal, _now_ms: u64, out: &mut Vec<u8>) {
        self.frame(&format!("X|{}", refusal.code.name()), out);
    }

    fn close(&self, code: u16, _reason: &str, out: &mut Vec<u8>) {
        self.frame(&format!("C|{code}"), out);
    }
}

/// The four encoders.
pub fn encoders() -> Encoders {
    Arc::new(std::array::from_fn(|v| Box::new(TextEncoder(v as u8)) as Box<dyn Encoder>))
}

/// The four encoders; with [`Sabotage::OverstateDrops`] they report one drop more than they are given.
pub fn encoders_with(sabotage: Sabotage) -> Encoders {
    match sabotage {
        Sabotage::OverstateDrops => {
            Arc::new(std::array::from_fn(|v| Box::new(Overstating(TextEncoder(v as u8))) as Box<dyn Encoder>))
        }
        _ => encoders(),
    }
}

struct Overstating(TextEncoder);

impl Encoder for Overstating {
    fn delivery(&self, delivery: &Delivery<'_>, out: &mut Vec<u8>) {
        self.0.delivery(delivery, out);
    }

    fn info(&self, info: &Info<'_>, now_ms: u64, out: &mut Vec<u8>) {
        let stated = match info {
            Info::MessagesDropped { count, channel } => {
                Info::MessagesDropped { count: count + 1, channel: *channel }
            }
            other => other.clone(),
        };
        self.0.info(&stated, now_ms, out);
    }

    fn error(&self, refusal: &Refusal, now_ms: u64, out: &mut Vec<u8>) {
        self.0.error(refusal, now_ms, out);
    }

    fn close(&self, code: u16, reason: &str, out: &mut Vec<u8>) {
        self.0.close(code, reason, out);
    }
}

/// What a client reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An event.
    Event {
        /// The topic.
        topic: String,
        /// Its offset.
        offset: u64,
        /// Its payload.
        payload: String,
    },
    /// `TOPIC_DELETED`.
    Deleted(String),
    /// `POSITION_LOST`.
    Moved {
        /// The topic.
        topic: String,
        /// The epoch from here on.
        epoch: u64,
        /// The offset before the next event.
        offset: u64,
    },
    /// A feed's record: its body.
    Body(String),
    /// `MESSAGES_DROPPED`.
    Dropped(u64),
    /// The same of a feed's channel.
    FeedDropped(String, u64),
    /// An error that answers no command.
    Error(String),
    /// A close frame.
    Close(u16),
    /// An answer to a command.
    Reply(String),
}

fn record(text: &str) -> Option<Record> {
    let mut parts = text.split('|');
    let kind = parts.next()?;
    Some(match kind {
        "E" => Record::Event {
            topic: parts.next()?.to_owned(),
            offset: parts.next()?.parse().ok()?,
            payload: parts.next()?.to_owned(),
        },
        "R" => Record::Body(parts.next()?.to_owned()),
        "F" => Record::FeedDropped(parts.next()?.to_owned(), parts.next()?.parse().ok()?),
        "P" => Record::Moved {
            topic: parts.next()?.to_owned(),
            epoch: parts.next()?.parse().ok()?,
            offset: parts.next()?.parse().ok()?,
        },
        "D" => Record::Deleted(parts.next()?.to_owned()),
        "M" => Record::Dropped(parts.next()?.parse().ok()?),
        "X" => Record::Error(parts.next()?.to_owned()),
        "C" => Record::Close(parts.next()?.parse().ok()?),
        "A" => Record::Reply(text.to_owned()),
        _ => return None,
    })
}

/// The frames in the bytes of a variant, and how many bytes of an unfinished one follow.
///
/// # Errors
/// A frame that no encoder of this variant writes.
pub fn parse(variant: u8, bytes: &[u8]) -> Result<(Vec<Record>, usize), Violation> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while let Some((&len, tail)) = rest.split_first() {
        let Some(frame) = tail.get(..usize::from(len)) else { break };
        let pad = ".".repeat(usize::from(variant));
        let found = std::str::from_utf8(frame)
            .ok()
            .and_then(|t| t.strip_prefix(char::from(b'0' + variant)))
            .and_then(|t| t.strip_suffix(pad.as_str()))
            .and_then(record);
        let Some(found) = found else {
            return wrong(format!("broken frame {:?} after {records:?}", String::from_utf8_lossy(frame)));
        };
        records.push(found);
        rest = &tail[usize::from(len)..];
    }
    Ok((records, rest.len()))
}

/// A socket.
#[derive(Clone, Debug, Default)]
pub struct Socket {
    /// Bytes it takes now.
    pub room: usize,
    /// Everything it took.
    pub got: Vec<u8>,
    /// A send fell short at least once.
    pub fell_short: bool,
    /// Every send fails.
    pub broken: bool,
}

/// The sockets of a shard by slot.
#[derive(Debug, Default)]
pub struct Sockets {
    /// By slot.
    pub by_slot: Vec<Socket>,
    /// Report one byte more than was taken, now and then.
    pub lying: bool,
}

impl Sockets {
    /// Puts a socket at a slot.
    pub fn put(&mut self, slot: u32, socket: Socket) {
        let at = slot as usize;
        if self.by_slot.len() <= at {
            self.by_slot.resize_with(at + 1, Socket::default);
        }
        self.by_slot[at] = socket;
    }
}

impl Wire for Sockets {
    fn send(&mut self, slot: u32, bytes: &[u8]) -> Sent {
        self.send_vectored(slot, &[IoSlice::new(bytes)])
    }

    fn send_vectored(&mut self, slot: u32, pieces: &[IoSlice<'_>]) -> Sent {
        let Some(socket) = self.by_slot.get_mut(slot as usize).filter(|s| !s.broken) else {
            return Sent::Broken;
        };
        let mut taken = 0;
        for piece in pieces {
            let n = piece.len().min(socket.room);
            socket.got.extend_from_slice(&piece[..n]);
            socket.room -= n;
            taken += n;
            if n < piece.len() {
                socket.fell_short = true;
                let lie = usize::from(self.lying && taken > 0);
                return Sent::Bytes(taken + lie);
            }
        }
        Sent::Bytes(taken)
    }
}
