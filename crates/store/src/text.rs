//! Clients' texts in a form that both engines can store: PostgreSQL's texts cannot hold U+0000, which a topic name may
//! contain.

use std::borrow::Cow;

/// Escapes a text: U+0000 becomes U+0001 and `0`; U+0001 is doubled.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', '\u{1}']) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\u{1}', "\u{1}\u{1}").replace('\0', "\u{1}0"))
}

/// Reverses [`escaped`].
pub(crate) fn unescaped(stored: String) -> String {
    if !stored.contains('\u{1}') {
        return stored;
    }
    let (mut text, mut characters) = (String::with_capacity(stored.len()), stored.chars());
    while let Some(c) = characters.next() {
        let c =
            if c == '\u{1}' { characters.next().map_or(c, |c| if c == '0' { '\0' } else { c }) } else { c };
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{escaped, unescaped};

    #[test]
    fn every_text_round_trips() {
        for text in ["", "plain", "\0", "\u{1}", "\u{1}0", "a\0\u{1}\u{1}0b", "\0\0\u{1}"] {
            assert!(!escaped(text).contains('\0'));
            assert_eq!(unescaped(escaped(text).into_owned()), text);
        }
    }
}
