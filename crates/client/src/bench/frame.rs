//! RFC 6455 framing, client side, for a load generator: frames are masked into a growing buffer, and the server's
//! frames (never masked, section 5.1) are parsed in the read buffer without being moved.

use std::ops::Range;

/// The opcode of a frame (RFC 6455 section 5.2). Continuation frames count as data, because no peer here fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opcode {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn bits(self) -> u8 {
        match self {
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    fn of(bits: u8) -> Self {
        match bits & 0x0F {
            0x1 => Self::Text,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => Self::Binary,
        }
    }
}

/// Creates masked frames. The keys are xorshift numbers: they must differ, not withstand an attacker.
#[derive(Debug)]
pub(super) struct Masker(u32);

impl Masker {
    pub(super) fn new() -> Self {
        Self(fastrand::u32(1..))
    }

    fn key(&mut self) -> [u8; 4] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.to_le_bytes()
    }

    /// Appends one final frame to `out`.
    pub(super) fn append(&mut self, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
        out.push(0x80 | opcode.bits());
        if payload.len() < 126 {
            out.push(0x80 | payload.len() as u8);
        } else if let Ok(length) = u16::try_from(payload.len()) {
            out.push(0x80 | 126);
            out.extend_from_slice(&length.to_be_bytes());
        } else {
            out.push(0x80 | 127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
        let key = self.key();
        out.extend_from_slice(&key);
        let start = out.len();
        out.extend_from_slice(payload);
        for (byte, key) in out[start..].iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
    }
}

/// The frame at the start of `bytes` and the range of its payload; `None` until it is complete.
pub(super) fn first(bytes: &[u8]) -> Option<(Opcode, Range<usize>)> {
    let (&kind, &length) = (bytes.first()?, bytes.get(1)?);
    let (start, length) = match length & 0x7F {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    let end = usize::try_from(length).ok()?.checked_add(start)?;
    (end <= bytes.len()).then_some((Opcode::of(kind), start..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unmasks a frame as a server does.
    fn unmask(frame: &[u8], start: usize) -> Vec<u8> {
        let (key, payload) = frame[start..].split_at(4);
        payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }

    #[test]
    fn client_frames_are_masked_and_of_the_shortest_length_form() {
        for (length, start) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let mut out = Vec::new();
            Masker::new().append(Opcode::Text, &payload, &mut out);
            assert_eq!((out[0], out[1] & 0x80, out.len()), (0x81, 0x80, start + 4 + length));
            assert_eq!(unmask(&out, start), payload);
        }
    }

    #[test]
    fn server_frames_are_found_only_when_whole() {
        for length in [0usize, 1, 125, 126, 65_535, 65_536] {
            let mut frame = vec![0x82];
            match length {
                0..=125 => frame.push(length as u8),
                126..=65_535 => {
                    frame.push(126);
                    frame.extend_from_slice(&(length as u16).to_be_bytes());
                }
                _ => {
                    frame.push(127);
                    frame.extend_from_slice(&(length as u64).to_be_bytes());
                }
            }
            let start = frame.len();
            frame.resize(start + length, 7);
            for cut in [0, 1, start.saturating_sub(1), frame.len() - 1] {
                assert_eq!(first(&frame[..cut]), None, "{length} cut at {cut}");
            }
            frame.push(0x81); // the next frame's first byte is not this one's
            assert_eq!(first(&frame), Some((Opcode::Binary, start..start + length)));
        }
    }

    #[test]
    fn a_length_beyond_all_memory_is_not_a_frame() {
        assert_eq!(first(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255, 0]), None);
    }
}
