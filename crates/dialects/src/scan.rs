//! What must be known of a JSON text beyond its grammar: how deep it nests and whether its strings are Unicode.
//!
//! The parser checks the grammar and lets any depth and any `\u` escape pass, because topic payloads may have them
//! (`protocol.md` 6). What Fanfare interprets may not. The functions here take text that is known to be valid JSON.

/// Levels a request may nest, itself the first, topic payloads not counted (`protocol.md` 6).
pub const MAX_INTERPRETED_DEPTH: usize = 32;
/// Levels a topic payload may nest.
pub const MAX_PAYLOAD_DEPTH: usize = 128;

/// What a JSON text is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Levels of arrays and objects; 0 for a scalar.
    pub depth: usize,
    /// Whether a string has an escape of half a surrogate pair, which stands for no character.
    pub lone_surrogate: bool,
}

/// A quick look that is enough for nearly all texts: no escape in it, and no more brackets than [`MAX_INTERPRETED_DEPTH`]
/// less `outer` levels allow even if all were nested.
pub fn is_flat_and_plain(json: &str, outer: usize) -> bool {
    brackets(json) + outer <= MAX_INTERPRETED_DEPTH && !json.as_bytes().contains(&b'\\')
}

/// The number of opening brackets, in strings too: a bound of the depth. In parts that a byte can count, so that it is vectorised.
pub(crate) fn brackets(json: &str) -> usize {
    let count =
        |part: &[u8]| part.iter().fold(0u8, |n, b| n.wrapping_add(u8::from(matches!(b, b'[' | b'{'))));
    json.as_bytes().chunks(255).map(|part| usize::from(count(part))).sum()
}

/// Measures a valid JSON text.
pub fn facts(json: &str) -> Facts {
    let bytes = json.as_bytes();
    let (mut depth, mut deepest, mut lone_surrogate, mut i) = (0usize, 0, false, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
                i += 1;
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                i += 1;
            }
            b'"' => i = string(bytes, i + 1, &mut lone_surrogate),
            _ => i += 1,
        }
    }
    Facts { depth: deepest, lone_surrogate }
}

/// Runs over a string from behind its first quote; answers where it ends.
fn string(bytes: &[u8], mut i: usize, lone: &mut bool) -> usize {
    while i < bytes.len() && bytes[i] != b'"' {
        if bytes[i] != b'\\' {
            i += 1;
            continue;
        }
        match unit(bytes, i) {
            None => i += 2,
            Some(0xd800..=0xdbff) if matches!(unit(bytes, i + 6), Some(0xdc00..=0xdfff)) => i += 12,
            Some(unit) => {
                *lone |= matches!(unit, 0xd800..=0xdfff);
                i += 6;
            }
        }
    }
    i + 1
}

/// The UTF-16 unit of a `\uXXXX` at this place.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let hex = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn brackets_are_counted_beyond_what_a_byte_holds() {
        assert_eq!(brackets(&"[{x".repeat(1000)), 2000);
        assert_eq!((brackets(""), brackets(&"[".repeat(255)), brackets(&"[".repeat(256))), (0, 255, 256));
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        for (json, depth) in
            [("1", 0), ("[]", 1), (r#"{"a":[{}]}"#, 3), (r#"["[[[[", "\"[[", [1]]"#, 2), ("[[],[[]],[]]", 3)]
        {
            assert_eq!(facts(json).depth, depth, "{json}");
        }
    }

    #[test]
    fn halves_of_pairs_are_found() {
        for (json, lone) in [
            (r#""\ud83d\ude00""#, false),
            (r#""\uD83D\uDE00x""#, false),
            (r#""\\ud83d""#, false),
            (r#""A\n\"""#, false),
            (r#""\ud83d""#, true),
            (r#""\ude00""#, true),
            (r#""\ud83dx\ude00""#, true),
            (r#""\ud83d\ud83d\ude00""#, true),
            (r#""\ud83d\n""#, true),
            (r#"{"\udfff":1}"#, true),
        ] {
            assert_eq!(facts(json).lone_surrogate, lone, "{json}");
        }
    }

    #[test]
    fn the_quick_look_counts_what_stands_around() {
        assert!(is_flat_and_plain(&"[".repeat(31), 1));
        assert!(!is_flat_and_plain(&"[".repeat(32), 1));
        assert!(!is_flat_and_plain(r#"["\n"]"#, 1));
    }

    proptest! {
        /// Strings with any escapes: a lone half is found exactly when serde_json cannot decode the string.
        #[test]
        fn agrees_with_a_decoder(units in proptest::collection::vec(prop_oneof![0xd800u16..0xe000, 0u16..0x80], 0..12)) {
            let json = format!("[\"{}\"]", units.iter().map(|u| format!("\\u{u:04x}")).collect::<String>());
            prop_assert_eq!(facts(&json).lone_surrogate, serde_json::from_str::<Vec<String>>(&json).is_err());
        }

        #[test]
        fn never_fails_on_any_text(text in ".{0,60}") {
            facts(&text);
        }
    }
}
