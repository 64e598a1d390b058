//! The normal form of a password: the mappings of the OpaqueString profile (RFC 8265 4.2.2), so that a password typed on
//! another system is the same password.
//!
//! Spaces outside ASCII become U+0020, then the text is put into NFC. Case, width and everything else stay. Unlike the
//! profile, nothing is rejected: a password may hold any character (NIST SP 800-63B 3.1.1.2), and so may passwords set
//! before normalisation existed.

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// Returns the normal form of a password.
pub(super) fn normal(password: &str) -> Zeroizing<String> {
    // ASCII is its own normal form.
    if password.is_ascii() {
        return Zeroizing::new(password.to_owned());
    }
    // NFC can be longer than the text; growing the buffer on the way would leave a copy of the password in memory.
    let mut text = Zeroizing::new(String::with_capacity(MOST_GROWTH * password.len()));
    text.extend(password.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc());
    text
}

/// How many times longer in UTF-8 a text can become by NFC (Unicode Standard Annex 15, 14.1).
const MOST_GROWTH: usize = 3;

/// The general category Zs but for U+0020; no character has joined it since Unicode 6.3.
fn is_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::normal;

    /// RFC 8265 4.3, table 4, and the characters that each rule leaves unchanged.
    #[test]
    fn the_examples_of_rfc_8265() {
        for (typed, wanted) in [
            ("correct horse battery staple", "correct horse battery staple"),
            ("Correct Horse Battery Staple", "Correct Horse Battery Staple"),
            ("\u{3c0}\u{df}\u{e5}", "\u{3c0}\u{df}\u{e5}"),
            ("Jack of \u{2666}s", "Jack of \u{2666}s"),
            ("foo\u{1680}bar", "foo bar"),
            ("my cat is a \tby", "my cat is a \tby"),
            ("\u{ff21}\u{fb01}", "\u{ff21}\u{fb01}"),
            ("e\u{301}", "\u{e9}"),
            ("\u{212b}", "\u{c5}"),
            (" \u{2002}\n", "  \n"),
            ("", ""),
        ] {
            assert_eq!(*normal(typed), wanted, "{typed:?}");
            assert_eq!(*normal(wanted), wanted, "a normal form is its own");
        }
    }

    #[test]
    fn the_text_does_not_outgrow_its_room() {
        // U+1D160 becomes three characters of four bytes, U+0390 decomposes and is put together again.
        for c in ['\u{1d160}', '\u{390}', '\u{fb2c}', '\u{958}', '\u{1f82}'] {
            let typed = c.to_string().repeat(100);
            assert!(normal(&typed).len() <= 3 * typed.len(), "{c:?}");
        }
    }
}
