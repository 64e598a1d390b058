//! The bytes of every frame shape.

use super::*;
use std::io::Write as _;

fn bytes(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = b"before".to_vec();
    write(&mut out);
    out.split_off(6)
}

#[test]
fn section_5_7_examples() {
    assert_eq!(bytes(|out| text_into(out, "Hello")), [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(bytes(|out| ping_into(out, b"Hello")), [0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(bytes(|out| pong_into(out, b"Hello")), [0x8a, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    assert_eq!(header(OpCode::Binary, 256, false).as_bytes(), [0x82, 0x7e, 0x01, 0x00]);
    assert_eq!(header(OpCode::Binary, 65536, false).as_bytes(), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn header_shapes() {
    let shapes: [(usize, &[u8]); 8] = [
        (0, &[0xc1, 0]),
        (1, &[0xc1, 1]),
        (125, &[0xc1, 125]),
        (126, &[0xc1, 126, 0, 126]),
        (127, &[0xc1, 126, 0, 127]),
        (65535, &[0xc1, 126, 0xff, 0xff]),
        (65536, &[0xc1, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (0x0102_0304_0506, &[0xc1, 127, 0, 0, 1, 2, 3, 4, 5, 6]),
    ];
    for (length, shape) in shapes {
        assert_eq!(header(OpCode::Text, length, true).as_bytes(), shape);
        assert_eq!(header_bytes(length), shape.len());
    }
}

#[test]
fn close_frames() {
    assert_eq!(close(CloseCode::NORMAL, ""), [0x88, 2, 0x03, 0xe8]);
    assert_eq!(close(CloseCode::new(4429).unwrap(), "slow"), [0x88, 6, 0x11, 0x4d, b's', b'l', b'o', b'w']);
    assert_eq!(bytes(empty_close_into), [0x88, 0]);
    let long = close(CloseCode::GOING_AWAY, &"é".repeat(100));
    assert_eq!((long[1], long.len()), (124, 126));
    assert!(str::from_utf8(&long[4..]).is_ok());
}

#[test]
fn control_payloads_are_cut() {
    for write in [ping_into, pong_into] {
        let frame = bytes(|out| write(out, &[7; 200]));
        assert_eq!((frame[1], frame.len()), (125, 127));
    }
}

#[test]
fn a_wrong_estimate_of_the_length_gives_the_same_frame() {
    for length in [0, 5, 125, 126, 1000, 65535, 65536, 70000] {
        let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
        let expected = bytes(|out| frame_into(out, OpCode::Binary, &payload));
        for guess in [0, 125, 126, 65535, 65536] {
            let actual = bytes(|out| {
                let mut frame = FrameWriter::begin(out, OpCode::Binary, guess);
                frame.write_all(&payload).unwrap();
                assert_eq!(frame.payload_bytes(), length);
                assert_eq!(frame.finish(), expected.len());
            });
            assert!(actual == expected, "length {length}, guess {guess}");
        }
    }
}

#[test]
fn an_unfinished_frame_leaves_no_trace() {
    let written = bytes(|out| {
        let mut frame = FrameWriter::begin(out, OpCode::Text, 10);
        frame.payload().extend_from_slice(b"half");
        std::fmt::Write::write_str(&mut frame, " done").unwrap();
    });
    assert!(written.is_empty());
}
