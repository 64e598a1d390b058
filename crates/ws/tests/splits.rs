//! The decoder returns the same events however the network splits a stream (RFC 6455 section 5.4: a receiver cannot
//! know how a sender's bytes were split).

#![allow(clippy::unwrap_used)]

mod support;

use fanfare_ws::{Limits, OpCode};
use flate2::{Compress, Compression, FlushCompress};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{client_frame, decode, pieces};

const SMALL: Limits = Limits {
    max_message_bytes: 600,
    max_frame_bytes: 400,
    max_unfinished_bytes: 700,
    max_inflated_bytes: 1200,
    deflate: false,
};

/// Payloads, most of them text.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-zé€😀]{0,40}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..20),
        1 => vec(b'x'..=b'z', 120..450),
        1 => (any::<u16>(), "[a-z]{0,6}").prop_map(|(code, reason)| {
            let code = 1000 + code % 16;
            [&code.to_be_bytes(), reason.as_bytes()].concat()
        }),
        2 => "[a-z]{0,300}".prop_map(|text| {
            let mut out = Vec::with_capacity(1000);
            let mut compress = Compress::new(Compression::default(), false);
            compress.compress_vec(text.as_bytes(), &mut out, FlushCompress::Sync).unwrap();
            out.truncate(out.len() - 4);
            out
        }),
    ]
}

/// Frames that are mostly valid one by one, in any order.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        2 => prop::sample::select(vec![0xc1u8, 0x41, 0xc2, 0x88]),
        1 => any::<u8>(),
    ];
    let frame = (first, payload(), any::<[u8; 4]>())
        .prop_map(|(first, payload, key)| client_frame(first, &payload, key));
    let frame = prop_oneof![20 => frame, 1 => vec(any::<u8>(), 0..16)];
    vec(frame, 0..12).prop_map(|frames| frames.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn frames_mean_the_same_in_any_pieces(bytes in stream(), seed: u64, deflate: bool) {
        let limits = Limits { deflate, ..SMALL };
        let whole = decode([bytes.as_slice()], &limits);
        prop_assert_eq!(&decode(pieces(&bytes, seed), &limits), &whole);
        prop_assert_eq!(&decode(bytes.chunks(1), &limits), &whole);
    }

    #[test]
    fn any_bytes_mean_the_same_in_any_pieces(bytes in vec(any::<u8>(), 0..200), seed: u64, deflate: bool) {
        let limits = Limits { deflate, ..SMALL };
        prop_assert_eq!(decode(pieces(&bytes, seed), &limits), decode([bytes.as_slice()], &limits));
    }

    #[test]
    fn a_cut_never_hides_an_event(text in "\\PC{0,200}", cut: prop::sample::Index) {
        let bytes = client_frame(0x80 | OpCode::Text as u8, text.as_bytes(), *b"mask");
        let (head, tail) = bytes.split_at(cut.index(bytes.len()));
        let limits = Limits { max_frame_bytes: 1000, max_message_bytes: 1000, max_unfinished_bytes: 1100, ..SMALL };
        let verdict = decode([head, tail], &limits);
        prop_assert_eq!(verdict.events, vec![support::Seen::Text(text)]);
    }
}
