//! Any bytes from a client: no panic, the same verdict however they are cut, and tungstenite's where compression is off.
//!
//! The first byte chooses compression and a text or framing diet, the second the cuts; the rest is the stream.
#![no_main]

#[path = "../../crates/ws/tests/support/mod.rs"]
mod support;

use fanfare_ws::Limits;
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches every one of them.
const LIMITS: Limits = Limits {
    max_message_bytes: 300,
    max_frame_bytes: 200,
    max_unfinished_bytes: 340,
    max_inflated_bytes: 600,
    deflate: false,
};

fuzz_target!(|data: &[u8]| {
    let [flags, seed, stream @ ..] = data else { return };
    // Masked, most mutations of a payload mean nothing; with bit 1 each frame's mask is cleared on the way in.
    let cleared;
    let stream = if flags & 2 != 0 {
        cleared = support::with_null_masks(stream);
        &cleared
    } else {
        stream
    };
    let limits = Limits { deflate: flags & 1 != 0, ..LIMITS };
    let whole = support::decode([stream], &limits);
    assert_eq!(support::decode(support::pieces(stream, u64::from(*seed)), &limits), whole);
    assert_eq!(support::decode(stream.chunks(1), &limits), whole);
    if !limits.deflate {
        support::compare(stream, &limits);
    }
});
