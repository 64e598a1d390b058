//! Text with placeholders for a topic, a payload and the payload's length, filled without an allocation.

use std::io::Write as _;

#[derive(Debug, Clone, Copy)]
enum Piece {
    Text(&'static str),
    Topic,
    Payload,
    Length,
}

/// The placeholders and their names.
const PLACES: [(&str, Piece); 3] =
    [("<topic>", Piece::Topic), ("<payload>", Piece::Payload), ("<length>", Piece::Length)];

/// A text split at its placeholders.
#[derive(Debug)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    pub(super) fn parse(mut text: &'static str) -> Self {
        let mut pieces = Vec::new();
        let next = |text: &str| {
            PLACES
                .iter()
                .filter_map(|(name, piece)| Some((text.find(name)?, name.len(), piece)))
                .min_by_key(|found| found.0)
        };
        while let Some((at, length, piece)) = next(text) {
            pieces.push(Piece::Text(&text[..at]));
            pieces.push(*piece);
            text = &text[at + length..];
        }
        pieces.push(Piece::Text(text));
        Self(pieces)
    }

    /// Appends the filled text to `out`.
    pub(super) fn fill(&self, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Topic => out.extend_from_slice(topic.as_bytes()),
                Piece::Payload => out.extend_from_slice(payload),
                Piece::Length => {
                    // Writing to a Vec cannot fail.
                    let _ = write!(out, "{}", payload.len());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_and_the_rest_is_unchanged() {
        for (text, filled) in [
            ("PUB <topic> <length>\r\n<payload>\r\n", "PUB a.b 5\r\nhello\r\n"),
            (r#"{"t":"<topic>","p":"<payload>"}"#, r#"{"t":"a.b","p":"hello"}"#),
            ("<other>", "<other>"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            Template::parse(text).fill("a.b", b"hello", &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), filled);
        }
    }
}
