//! One test per rule of RFC 6455 sections 5, 7 and 8, and of RFC 7692 section 6.

use super::*;
use crate::{CloseCode, OpCode};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => out.extend([&[0x80 | 126], &(len as u16).to_be_bytes()[..]].concat()),
        len => out.extend([&[0x80 | 127], &(len as u64).to_be_bytes()[..]].concat()),
    }
    out.extend(KEY);
    out.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    out
}

/// Decodes one read; events as their `Debug` text.
fn read(decoder: &mut Decoder, bytes: &[u8], limits: &Limits) -> Result<Vec<String>, ProtocolError> {
    let mut buffer = bytes.to_vec();
    let (mut at, mut events) = (0, Vec::new());
    loop {
        let step = decoder.next(&mut buffer[at..], limits)?;
        at += step.consumed;
        match step.event {
            Some(event) => events.push(format!("{event:?}")),
            None => return Ok(events),
        }
    }
}

fn all(frames: &[Vec<u8>]) -> Result<Vec<String>, ProtocolError> {
    read(&mut Decoder::default(), &frames.concat(), &Limits::default())
}

/// The close code and reason of a stream that must be refused.
fn refusal(bytes: &[u8], limits: &Limits) -> (u16, &'static str) {
    let error = read(&mut Decoder::default(), bytes, limits).expect_err("a violation");
    (error.close.get(), error.reason)
}

fn refused(bytes: &[u8]) -> (u16, &'static str) {
    refusal(bytes, &Limits::default())
}

#[test]
fn an_idle_decoder_is_one_pointer() {
    assert_eq!(size_of::<Decoder>(), size_of::<usize>());
    assert_eq!(size_of::<Option<Decoder>>(), size_of::<usize>() * 2);
}

#[test]
fn section_5_7_masked_hello() {
    let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(all(&[bytes.to_vec()]).unwrap(), ["Text(\"Hello\")"]);
}

#[test]
fn whole_frames_are_lent_out_of_the_input() {
    let mut input = [frame(0x82, b"first"), frame(0x82, b"second")].concat();
    let range = input.as_ptr_range();
    let mut decoder = Decoder::default();
    let step = decoder.next(&mut input, &Limits::default()).unwrap();
    let Some(Event::Binary(payload)) = step.event else { panic!("{step:?}") };
    assert!(range.contains(&payload.as_ptr()));
    assert_eq!((step.consumed, step.frames), (11, 1));
    assert!(decoder.is_idle());
}

#[test]
fn nothing_is_held_between_messages() {
    let mut decoder = Decoder::default();
    let limits = Limits::default();
    let bytes = [frame(0x01, b"Hel"), frame(0x89, b"ping"), frame(0x80, b"lo")].concat();
    for cut in 1..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        let before = read(&mut decoder, head, &limits).unwrap();
        assert!(!decoder.is_idle() && decoder.held_bytes() > 0, "cut at {cut}");
        let after = read(&mut decoder, tail, &limits).unwrap();
        assert_eq!([before, after].concat(), ["Ping([112, 105, 110, 103])", "Text(\"Hello\")"]);
        assert!(decoder.is_idle() && decoder.held_bytes() == 0);
    }
}

#[test]
fn memory_follows_received_bytes_not_announced_ones() {
    let mut decoder = Decoder::default();
    let header = [0x82, 0x80 | 127, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
    assert!(read(&mut decoder, &header, &Limits::default()).unwrap().is_empty());
    assert!(decoder.held_bytes() < 300, "{}", decoder.held_bytes());
}

#[test]
fn section_5_1_client_frames_are_masked() {
    assert_eq!(refused(&[0x81, 0x05]), (1002, "client frames must be masked"));
}

#[test]
fn section_5_2_reserved_bits_and_opcodes() {
    for bit in [0x10, 0x20, 0x40] {
        assert_eq!(refused(&[0x81 | bit]), (1002, "reserved bit set"));
        assert_eq!(refused(&[0x89 | bit]), (1002, "reserved bit set"));
    }
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        assert_eq!(refused(&[0x80 | opcode]), (1002, "reserved opcode"));
        assert_eq!(OpCode::from_bits(opcode), None);
    }
}

#[test]
fn section_5_2_lengths_are_in_their_shortest_form() {
    assert_eq!(refused(&[0x81, 0xfe, 0, 125]), (1002, "length not in its shortest form"));
    assert_eq!(
        refused(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
        (1002, "length not in its shortest form")
    );
    assert_eq!(refused(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]), (1002, "length above 63 bits"));
    for length in [0, 125, 126, 127, 65535, 65536] {
        let payload = vec![b'x'; length];
        let events = all(&[frame(0x81, &payload)]).unwrap();
        assert_eq!(events, [format!("Text({:?})", "x".repeat(length))]);
    }
}

#[test]
fn section_5_4_fragments_make_one_message() {
    let frames =
        [frame(0x01, b"a"), frame(0x00, b""), frame(0x00, b"b"), frame(0x80, b"c"), frame(0x82, b"d")];
    assert_eq!(all(&frames).unwrap(), ["Text(\"abc\")", "Binary([100])"]);
    assert_eq!(all(&[frame(0x01, b""), frame(0x80, b"")]).unwrap(), ["Text(\"\")"]);
}

#[test]
fn section_5_4_fragments_out_of_order() {
    assert_eq!(refused(&[0x80]), (1002, "continuation without a message"));
    assert_eq!(refused(&[0x00]), (1002, "continuation without a message"));
    for second in [0x81, 0x82, 0x01] {
        let bytes = [frame(0x01, b"a"), vec![second]].concat();
        assert_eq!(refused(&bytes), (1002, "new message inside a fragmented one"));
    }
    let done = [frame(0x01, b"a"), frame(0x80, b"b"), vec![0x80]].concat();
    assert_eq!(refused(&done), (1002, "continuation without a message"));
}

#[test]
fn section_5_5_control_frames_are_short_and_whole() {
    for opcode in [0x8, 0x9, 0xa] {
        assert_eq!(refused(&[0x80 | opcode, 0xfe]), (1002, "control frame longer than 125 bytes"));
        assert_eq!(refused(&[0x80 | opcode, 0xff]), (1002, "control frame longer than 125 bytes"));
        assert_eq!(refused(&[opcode]), (1002, "fragmented control frame"));
    }
    let payload = vec![1; 125];
    assert_eq!(all(&[frame(0x8a, &payload)]).unwrap(), [format!("Pong({payload:?})")]);
}

#[test]
fn section_5_5_1_close_payloads() {
    assert_eq!(all(&[frame(0x88, b"")]).unwrap(), ["Close(None, \"\")"]);
    assert_eq!(all(&[frame(0x88, b"\x03\xe8")]).unwrap(), ["Close(Some(CloseCode(1000)), \"\")"]);
    assert_eq!(all(&[frame(0x88, b"\x0f\xa0bye")]).unwrap(), ["Close(Some(CloseCode(4000)), \"bye\")"]);
    assert_eq!(refused(&frame(0x88, b"\x03")), (1002, "close payload of one byte"));
    assert_eq!(refused(&frame(0x88, b"\x03\xe8\xff")), (1007, "text is not UTF-8"));
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        assert_eq!(
            refused(&frame(0x88, &code.to_be_bytes())),
            (1002, "close code that must not be sent"),
            "{code}"
        );
    }
}

#[test]
fn section_8_1_text_is_utf8() {
    assert_eq!(refused(&frame(0x81, b"\xce\xba\xed\xa0\x80")), (1007, "text is not UTF-8"));
    assert_eq!(refused(&frame(0x81, b"cut \xe2\x82")), (1007, "text is not UTF-8"));
    assert_eq!(refused(&[frame(0x01, b"\xe2\x82"), frame(0x80, b"")].concat()), (1007, "text is not UTF-8"));
    assert_eq!(all(&[frame(0x01, b"\xe2\x82"), frame(0x80, b"\xac")]).unwrap(), ["Text(\"€\")"]);
    assert_eq!(all(&[frame(0x82, b"\xff")]).unwrap(), ["Binary([255])"]);
}

#[test]
fn section_8_1_invalid_text_is_refused_at_its_first_invalid_byte() {
    // U+110000 would begin F4 90: the second byte proves it, in a fragment as well as in a frame that is cut.
    assert_eq!(refused(&frame(0x01, b"\xf4\x90")), (1007, "text is not UTF-8"));
    let cut = &frame(0x81, b"\xf4\x90\x80\x80")[..8];
    assert_eq!(refused(cut), (1007, "text is not UTF-8"));
    assert!(read(&mut Decoder::default(), &cut[..7], &Limits::default()).unwrap().is_empty());
}

#[test]
fn too_large_is_refused_by_its_announcement() {
    let limits = Limits { max_frame_bytes: 300, max_message_bytes: 400, ..Limits::default() };
    assert_eq!(refusal(&[0x82, 0xfe, 1, 45], &limits), (1009, "frame too large"));
    let second = [frame(0x02, &[0; 300]), vec![0x80, 0x80 | 101]].concat();
    assert_eq!(refusal(&second, &limits), (1009, "message too large"));
    let huge = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(refusal(&huge, &limits), (1009, "frame too large"));
    let fits = [frame(0x02, &[0; 300]), frame(0x80, &[0; 100])].concat();
    assert_eq!(read(&mut Decoder::default(), &fits, &limits).unwrap().len(), 1);
}

#[test]
fn tiny_fragments_are_bounded_by_their_wire_bytes() {
    let limits = Limits { max_unfinished_bytes: 70, ..Limits::default() };
    let mut bytes = frame(0x02, b"x");
    (0..9).for_each(|_| bytes.extend(frame(0x00, b"x")));
    assert!(read(&mut Decoder::default(), &bytes, &limits).unwrap().is_empty());
    bytes.extend(frame(0x89, b"pings do not count"));
    assert_eq!(read(&mut Decoder::default(), &bytes, &limits).unwrap().len(), 1);
    bytes.extend([0x00, 0x80]);
    assert_eq!(refusal(&bytes, &limits), (1008, "message takes too many bytes"));
}

#[test]
fn frames_are_counted_with_fragments() {
    let mut input = [frame(0x01, b"a"), frame(0x00, b"b"), frame(0x89, b""), frame(0x80, b"c")].concat();
    let mut decoder = Decoder::default();
    let step = decoder.next(&mut input, &Limits::default()).unwrap();
    assert_eq!((step.frames, step.event), (3, Some(Event::Ping(b""))));
    let at = step.consumed;
    let step = decoder.next(&mut input[at..], &Limits::default()).unwrap();
    assert_eq!((step.frames, step.event), (1, Some(Event::Text("abc"))));
}

/// RFC 7692 section 7.2.3.1.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

fn deflating() -> Limits {
    Limits { deflate: true, ..Limits::default() }
}

#[test]
fn rfc_7692_section_7_2_3_examples() {
    let once = frame(0xc1, &HELLO);
    let fragments = [frame(0x41, &HELLO[..3]), frame(0x89, b""), frame(0x80, &HELLO[3..])].concat();
    let stored = frame(0xc1, &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]);
    let last_block = frame(0xc1, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]);
    let two_blocks =
        frame(0xc1, &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]);
    for bytes in [once, stored, last_block, two_blocks] {
        assert_eq!(
            read(&mut Decoder::default(), &bytes, &deflating()).unwrap(),
            ["Text(\"Hello\")"],
            "{bytes:x?}"
        );
    }
    let events = read(&mut Decoder::default(), &fragments, &deflating()).unwrap();
    assert_eq!(events, ["Ping([])", "Text(\"Hello\")"]);
}

#[test]
fn rfc_7692_section_6_rsv1_marks_the_first_frame_of_a_message_only() {
    assert_eq!(
        refusal(&[frame(0x41, &HELLO[..3]), vec![0xc0]].concat(), &deflating()),
        (1002, "reserved bit set")
    );
    for control in [0xc8, 0xc9, 0xca] {
        assert_eq!(refusal(&[control], &deflating()), (1002, "reserved bit set"));
    }
    let mixed = [frame(0x81, b"plain"), frame(0xc2, &HELLO), frame(0xc1, b"\x00")].concat();
    let events = read(&mut Decoder::default(), &mixed, &deflating()).unwrap();
    assert_eq!(events, ["Text(\"plain\")", "Binary([72, 101, 108, 108, 111])", "Text(\"\")"]);
}

#[test]
fn compressed_text_is_checked_after_inflating() {
    let mut invalid = Vec::new();
    assert!(crate::deflate::compress_into(&mut invalid, b"\xff\xfe", Default::default()));
    assert_eq!(refusal(&frame(0xc1, &invalid), &deflating()), (1007, "text is not UTF-8"));
}

#[test]
fn an_error_names_its_code_and_reason() {
    let error = all(&[frame(0x01, b"abc"), frame(0x81, b"")]).unwrap_err();
    assert_eq!(error.close, CloseCode::PROTOCOL_ERROR);
    assert_eq!(error.to_string(), "new message inside a fragmented one (1002)");
}
