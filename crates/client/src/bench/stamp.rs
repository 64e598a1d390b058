//! The stamp at the start of every payload: when it was due, its number in its topic, its topic. Plain letters and digits, so
//! that it passes through any text or JSON envelope unchanged; the rest of the payload is filler.

/// Marks the start of a stamp; no peer's envelope contains it.
const MARK: &[u8; 2] = b"!!";
/// Bytes of a stamp, and so the least size of a payload.
pub(super) const STAMP_BYTES: usize = MARK.len() + 16 + 8 + 8;

/// The due time, number and topic of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Nanoseconds on the run's clock.
    pub(super) due: u64,
    /// Counts from 1 in each topic.
    pub(super) number: u32,
    pub(super) topic: u32,
}

impl Stamp {
    /// Writes the stamp over the start of `payload`, which holds at least [`STAMP_BYTES`].
    pub(super) fn write(self, payload: &mut [u8]) {
        payload[..2].copy_from_slice(MARK);
        hex(self.due, &mut payload[2..18]);
        hex(u64::from(self.number), &mut payload[18..26]);
        hex(u64::from(self.topic), &mut payload[26..34]);
    }

    /// The first stamp in `frame` and its end. `hint` is the stamp's position in the connection's last frame: usually
    /// right, because an envelope changes its length only when a number in it grows.
    pub(super) fn find(frame: &[u8], hint: &mut u16) -> Option<(Self, usize)> {
        let mut at = usize::from(*hint);
        if frame.get(at..at + MARK.len()) != Some(MARK) {
            at = frame.windows(MARK.len()).position(|window| window == MARK)?;
            *hint = u16::try_from(at).unwrap_or(0);
        }
        let end = at + STAMP_BYTES;
        Self::read(frame.get(at..end)?).map(|stamp| (stamp, end))
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let due = number(&bytes[2..18])?;
        let (number, topic) = (number(&bytes[18..26])?, number(&bytes[26..34])?);
        Some(Self { due, number: u32::try_from(number).ok()?, topic: u32::try_from(topic).ok()? })
    }
}

fn hex(mut value: u64, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 0xF) as usize];
        value >>= 4;
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    for digit in digits {
        let bits = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(bits);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { due: 0x1234_5678_9abc, number: 77, topic: 3 };

    #[test]
    fn a_stamp_is_found_in_any_envelope_wherever_the_hint_points() {
        let mut payload = vec![b'x'; 40];
        STAMP.write(&mut payload);
        for head in ["", r#"{"payload":""#, "a longer envelope "] {
            let frame = [head.as_bytes(), &payload, b"\"}"].concat();
            for mut hint in [0, 3, head.len() as u16, u16::MAX] {
                assert_eq!(Stamp::find(&frame, &mut hint), Some((STAMP, head.len() + STAMP_BYTES)));
                assert_eq!(usize::from(hint), head.len());
            }
        }
    }

    #[test]
    fn other_text_is_not_read_as_a_stamp() {
        let mut payload = vec![b'x'; 40];
        assert_eq!(Stamp::find(&payload, &mut 0), None);
        STAMP.write(&mut payload);
        assert_eq!(Stamp::find(&payload[..STAMP_BYTES - 1], &mut 0), None);
        payload[5] = b'G';
        assert_eq!(Stamp::find(&payload, &mut 0), None);
    }
}
