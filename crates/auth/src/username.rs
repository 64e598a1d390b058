//! Names of local accounts (`accounts-and-messages.md`: `^[a-z0-9][a-z0-9_.-]{2,31}$` after ASCII lower-casing).
//!
//! Users of an issuer are `name:claim`; a local name has no colon, so the two cannot clash.

/// Minimum and maximum characters.
const LENGTH: std::ops::RangeInclusive<usize> = 3..=32;

/// Names that could be mistaken for a part of the system; `deleted` is the author of messages whose account was
/// deleted.
const RESERVED: [&str; 13] = [
    "admin",
    "administrator",
    "all",
    "anonymous",
    "deleted",
    "everyone",
    "fanfare",
    "me",
    "moderator",
    "root",
    "server",
    "support",
    "system",
];

/// Why a text is not a valid name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The text does not have the required form.
    #[error("3 to 32 of a-z, 0-9, `_`, `.` and `-`, beginning with a letter or digit")]
    Malformed,
    /// The form is valid, but the name is reserved.
    #[error("this name is reserved")]
    Reserved,
}

/// Parses a name and lower-cases it.
///
/// # Errors
/// See [`NameError`].
pub fn parse(text: &str) -> Result<String, NameError> {
    if !LENGTH.contains(&text.len()) {
        return Err(NameError::Malformed);
    }
    let name = text.to_ascii_lowercase();
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-');
    if !name.bytes().all(inner) || matches!(name.as_bytes().first(), Some(b'_' | b'.' | b'-')) {
        return Err(NameError::Malformed);
    }
    if RESERVED.binary_search(&name.as_str()).is_ok() { Err(NameError::Reserved) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use super::{NameError, RESERVED, parse};

    #[test]
    fn names_are_lower_cased() {
        for (text, name) in [("Alice", "alice"), ("a-b", "a-b"), ("0_.", "0_."), ("X2y.Z-_", "x2y.z-_")] {
            assert_eq!(parse(text).as_deref(), Ok(name));
        }
        assert_eq!(parse(&"a".repeat(32)), Ok("a".repeat(32)));
    }

    #[test]
    fn malformed_names_are_rejected() {
        let long = "a".repeat(33);
        for text in [
            "",
            "ab",
            &long,
            "-ab",
            ".ab",
            "_ab",
            "a b",
            "a:b",
            "a/b",
            "a|b",
            "abé",
            "ＡＢＣ",
            "abc\n",
            "\u{130}bc",
            "a\0b",
        ] {
            assert_eq!(parse(text), Err(NameError::Malformed), "{text:?}");
        }
        // The Kelvin sign lower-cases to `k` in Unicode, not in ASCII.
        assert_eq!(parse("\u{212a}elvin"), Err(NameError::Malformed));
    }

    #[test]
    fn reserved_in_any_case() {
        assert!(RESERVED.is_sorted());
        for name in RESERVED.iter().filter(|name| name.len() >= 3) {
            assert_eq!(parse(&name.to_uppercase()), Err(NameError::Reserved));
        }
        assert_eq!(parse("me"), Err(NameError::Malformed));
    }
}
