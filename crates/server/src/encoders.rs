//! The variants of what is delivered: each dialect, plain and compressed, as complete WebSocket frames.
//!
//! A variant's number is `2 × (JSON-RPC?) + (compressed?)`. Compressed variants share one window size and no context, so
//! that one frame serves every connection of the variant.

use fanfare_core::model::{Delivery, PositionLost, Refusal};
use fanfare_core::ports::{Encoder, Encoders, Info};
use fanfare_dialects::Dialect;
use fanfare_dialects::jsonrpc::JsonRpc;
use fanfare_dialects::typed::Typed;
use fanfare_ws::deflate::{self, WindowBits};
use fanfare_ws::encode::{self, FrameWriter};
use fanfare_ws::{CloseCode, OpCode};
use std::cell::RefCell;
use std::sync::Arc;

/// Messages below this are not worth compressing.
const COMPRESS_FROM_BYTES: usize = 96;

/// The encoders in the order of their variants.
pub fn all() -> Encoders {
    Arc::new([
        Box::new(Framed { dialect: Typed, compress: false }),
        Box::new(Framed { dialect: Typed, compress: true }),
        Box::new(Framed { dialect: JsonRpc, compress: false }),
        Box::new(Framed { dialect: JsonRpc, compress: true }),
    ])
}

struct Framed<D> {
    dialect: D,
    compress: bool,
}

thread_local! {
    static PLAIN: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<D: Dialect> Framed<D> {
    fn frame(&self, expected: usize, out: &mut Vec<u8>, write: impl FnOnce(&D, &mut Vec<u8>)) {
        if !self.compress {
            let mut frame = FrameWriter::begin(out, OpCode::Text, expected);
            write(&self.dialect, frame.payload());
            frame.finish();
            return;
        }
        PLAIN.with_borrow_mut(|plain| {
            plain.clear();
            write(&self.dialect, plain);
            if plain.len() < COMPRESS_FROM_BYTES {
                encode::frame_into(out, OpCode::Text, plain);
            } else {
                deflate::frame_into(out, OpCode::Text, plain, WindowBits::MAX);
            }
        });
    }
}

impl<D: Dialect> Encoder for Framed<D> {
    fn delivery(&self, delivery: &Delivery<'_>, out: &mut Vec<u8>) {
        match delivery {
            Delivery::Event(event) => {
                self.frame(event.payload.len() + 160, out, |dialect, out| dialect.event(event, out));
            }
            Delivery::Body(body) => {
                self.frame(body.members.len() + 56, out, |dialect, out| dialect.body(body, out));
            }
            Delivery::Bytes(bytes) => encode::frame_into(out, OpCode::Binary, bytes),
            Delivery::PositionLost(PositionLost { topic, epoch, offset, at_ms }) => {
                let (epoch, offset) = (*epoch, *offset);
                self.info(&Info::PositionLost { topic, epoch, offset }, *at_ms, out);
            }
        }
    }

    fn info(&self, info: &Info<'_>, now_ms: u64, out: &mut Vec<u8>) {
        self.frame(160, out, |dialect, out| dialect.info(info, now_ms, out));
    }

    fn error(&self, refusal: &Refusal, now_ms: u64, out: &mut Vec<u8>) {
        self.frame(160, out, |dialect, out| dialect.error(refusal, now_ms, out));
    }

    fn close(&self, code: u16, reason: &str, out: &mut Vec<u8>) {
        match CloseCode::new(code) {
            Some(code) => encode::close_into(out, code, reason),
            None => encode::empty_close_into(out),
        }
    }
}
