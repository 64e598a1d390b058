//! The ids of connections: a serial that starts with the time, and the node (`EventId`).

/// Digits of an id's text.
const ID_DIGITS: usize = 20;
/// Digits of the serial in an id's text (`EventId`).
const SERIAL_DIGITS: usize = 13;

/// The serial in the id of a connection, of this node or another.
pub(crate) fn serial_in(id: &str) -> Option<u64> {
    digits(id).filter(|_| id.len() == ID_DIGITS)?;
    digits(id.get(..SERIAL_DIGITS)?)
}

/// Parses a number in Crockford's base 32, lower case.
fn digits(text: &str) -> Option<u64> {
    let value = |c: u8| b"0123456789abcdefghjkmnpqrstvwxyz".iter().position(|digit| *digit == c);
    text.bytes().try_fold(0_u64, |sum, c| Some(sum << 5 | value(c)? as u64))
}

/// When a connection was opened, in milliseconds since 1970: `Node::next_serial` starts with it.
pub(crate) fn opened_at(serial: u64) -> u64 {
    serial >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_its_serial() {
        let serial = (1_790_000_000_000_u64 << 20) + 77;
        let text = fanfare_core::model::EventId { time: serial, node: 3 }.to_string();
        assert_eq!(digits(&text[..SERIAL_DIGITS]), Some(serial));
        assert_eq!(opened_at(serial), 1_790_000_000_000);
        for invalid in ["", "i", "U", "é"] {
            assert!(invalid.is_empty() || digits(invalid).is_none(), "{invalid}");
        }
    }
}
