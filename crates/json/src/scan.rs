//! The scanner: checks whether a text is JSON (RFC 8259) and finds where its values begin and end.
//!
//! It does not recurse: open arrays and objects are a stack of bits, so nesting costs one bit a level and deep input
//! cannot overflow the thread's stack. Callers bound the depth of values they interpret. Escapes of half a surrogate
//! pair are accepted in values, because payloads may have them; a member's name must be Unicode.

use std::borrow::Cow;

/// A text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a JSON text")
    }
}

impl std::error::Error for Malformed {}

/// Returns the one value of a text, without the white space around it.
///
/// # Errors
/// The text is not one JSON value.
pub fn value(text: &str) -> Result<&str, Malformed> {
    let mut cursor = Cursor::new(text);
    cursor.white();
    let value = cursor.value()?;
    cursor.end()?;
    Ok(value)
}

/// Passes the name and the text of each member of an object to `each` until that returns an error. `Ok(Err(_))` is that
/// error; the rest of the text is not checked then.
///
/// # Errors
/// The text is not one JSON object, or a name is not Unicode.
pub fn members<'a, E>(
    text: &'a str,
    mut each: impl FnMut(Cow<'a, str>, &'a str) -> Result<(), E>,
) -> Result<Result<(), E>, Malformed> {
    let mut cursor = Cursor::new(text);
    cursor.white();
    cursor.expect(b'{')?;
    cursor.white();
    if !cursor.take(b'}') {
        loop {
            let name = cursor.name()?;
            let value = cursor.value()?;
            if let Err(error) = each(name, value) {
                return Ok(Err(error));
            }
            if !cursor.next_follows(b'}')? {
                break;
            }
        }
    }
    cursor.end()?;
    Ok(Ok(()))
}

/// Passes each element of an array to `each` until that returns an error; otherwise as [`members`].
///
/// # Errors
/// The text is not one JSON array.
pub fn elements<'a, E>(
    text: &'a str,
    mut each: impl FnMut(&'a str) -> Result<(), E>,
) -> Result<Result<(), E>, Malformed> {
    let mut cursor = Cursor::new(text);
    cursor.white();
    cursor.expect(b'[')?;
    cursor.white();
    if !cursor.take(b']') {
        loop {
            if let Err(error) = each(cursor.value()?) {
                return Ok(Err(error));
            }
            if !cursor.next_follows(b']')? {
                break;
            }
        }
    }
    cursor.end()?;
    Ok(Ok(()))
}

/// The characters of a scanned value that is a string; `None` when it is of another type.
///
/// # Errors
/// The string holds half a surrogate pair.
pub fn string(value: &str) -> Result<Option<Cow<'_, str>>, Malformed> {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Ok(None);
    };
    if !inner.as_bytes().contains(&b'\\') {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    serde_json::from_str(value).map(|text: String| Some(Cow::Owned(text))).map_err(|_| Malformed)
}

/// A position in a text.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    pub(crate) fn white(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over a byte if it is the next one.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
    }

    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        self.white();
        if self.at == self.text.len() { Ok(()) } else { Err(Malformed) }
    }

    /// After a value: steps over a comma, or over the closing bracket; returns whether another value follows.
    #[inline]
    pub(crate) fn next_follows(&mut self, close: u8) -> Result<bool, Malformed> {
        self.white();
        if self.take(b',') {
            self.white();
            return Ok(true);
        }
        self.expect(close).map(|()| false)
    }

    /// Reads a member's name, its colon and the white space after it.
    pub(crate) fn name(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let from = self.at;
        self.expect(b'"')?;
        let escaped = self.string()?;
        let quoted = &self.text[from..self.at];
        self.colon()?;
        if escaped {
            return serde_json::from_str(quoted).map(Cow::Owned).map_err(|_| Malformed);
        }
        Ok(Cow::Borrowed(&quoted[1..quoted.len() - 1]))
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Malformed> {
        self.white();
        self.expect(b':')?;
        self.white();
        Ok(())
    }

    /// Reads the value that begins here, as it was sent.
    pub(crate) fn value(&mut self) -> Result<&'a str, Malformed> {
        let from = self.at;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string()?;
            }
            Some(b'{' | b'[') => self.nested()?,
            _ => self.scalar()?,
        }
        Ok(&self.text[from..self.at])
    }

    /// Steps over an array or an object and its contents.
    fn nested(&mut self) -> Result<(), Malformed> {
        let mut open = Open::default();
        loop {
            match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    self.white();
                    if !self.take(b'}') {
                        open.push(true);
                        self.skip_name()?;
                        continue;
                    }
                }
                Some(b'[') => {
                    self.at += 1;
                    self.white();
                    if !self.take(b']') {
                        open.push(false);
                        continue;
                    }
                }
                Some(b'"') => {
                    self.at += 1;
                    self.string()?;
                }
                _ => self.scalar()?,
            }
            // A value has ended: close the containers that end with it, or step to the next value.
            loop {
                let Some(is_object) = open.top() else { return Ok(()) };
                if self.next_follows(if is_object { b'}' } else { b']' })? {
                    if is_object {
                        self.skip_name()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }

    /// Steps over a name without decoding it.
    #[inline]
    fn skip_name(&mut self) -> Result<(), Malformed> {
        self.expect(b'"')?;
        self.string()?;
        self.colon()
    }

    fn scalar(&mut self) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(Malformed),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        let found = self.text.as_bytes()[self.at..].starts_with(word);
        self.at += word.len();
        if found { Ok(()) } else { Err(Malformed) }
    }

    fn number(&mut self) -> Result<(), Malformed> {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'-') {
                self.take(b'+');
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Steps over one digit or more.
    fn digits(&mut self) -> Result<(), Malformed> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(Malformed) }
    }

    /// Steps over the rest of a string after its first quote; returns whether it has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, Malformed> {
        let bytes = self.text.as_bytes();
        let mut escaped = false;
        loop {
            self.at = plain(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.at += escape(&bytes[self.at..])?;
                }
                _ => return Err(Malformed),
            }
        }
    }
}

/// The length of an escape.
fn escape(from: &[u8]) -> Result<usize, Malformed> {
    match from.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') if from.get(2..6).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) => Ok(6),
        _ => Err(Malformed),
    }
}

/// Returns the first position from `at` on of a quote, a backslash or a control character; scans eight bytes at a time.
#[inline]
fn plain(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(eight);
        // Each mask sets the top bit of the bytes it searches for; bits above the lowest one may be wrong, the lowest
        // is right.
        let quote = word ^ (ONES * u64::from(b'"'));
        let slash = word ^ (ONES * u64::from(b'\\'));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marks = (quote.wrapping_sub(ONES) & !quote | slash.wrapping_sub(ONES) & !slash | control) & TOPS;
        if marks != 0 {
            return at + marks.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|b| *b >= 0x20 && *b != b'"' && *b != b'\\') {
        at += 1;
    }
    at
}

/// The open arrays and objects, one bit each; beyond 64 of them the older ones are on the heap.
#[derive(Default)]
struct Open {
    depth: usize,
    newest: u64,
    older: Vec<u64>,
}

impl Open {
    #[inline]
    fn push(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.older.push(self.newest);
        }
        self.newest = self.newest << 1 | u64::from(is_object);
        self.depth += 1;
    }

    #[inline]
    fn pop(&mut self) {
        self.newest >>= 1;
        self.depth -= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.newest = self.older.pop().unwrap_or_default();
        }
    }

    /// Whether the innermost is an object.
    #[inline]
    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.newest & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    fn is_json(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    #[test]
    fn json_is_accepted_and_other_text_rejected() {
        for valid in [
            "0",
            "-0",
            "1.5e+10",
            "1E-2",
            "1e400",
            "true",
            "false",
            "null",
            r#""""#,
            r#""\ud800""#,
            "[]",
            "{}",
            r#" { "a" : [ 1 , { } , [ ] ] , "b" : "\"\\\/\b\f\n\r\t\u00e9" } "#,
            "[[],[[]],{\"a\":{}}]",
            "\"é漢😀 and more than eight bytes\"",
        ] {
            assert_eq!(value(valid), Ok(valid.trim()), "{valid}");
            assert!(is_json(valid), "{valid}");
        }
        for invalid in [
            "",
            " ",
            "01",
            "-",
            "1.",
            "1e",
            ".5",
            "+1",
            "tru",
            "nulll",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\t\"",
            "\"12345678\u{1}\"",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "\u{a0}1",
            "[1]]",
            "NaN",
        ] {
            assert_eq!(value(invalid), Err(Malformed), "{invalid}");
            assert!(!is_json(invalid), "{invalid}");
        }
    }

    #[test]
    fn members_and_elements_are_slices() {
        let mut seen = vec![];
        let read = members(r#" {"a": [1, 2] , "\u0062":"x","":null} "#, |name, value| {
            seen.push((name.into_owned(), value));
            Ok::<(), ()>(())
        });
        assert_eq!(read, Ok(Ok(())));
        assert_eq!(seen, [("a".into(), "[1, 2]"), ("b".into(), "\"x\""), (String::new(), "null")]);
        assert_eq!(members("{\"a\":1,\"b\":}", |_, v| if v == "1" { Err(7) } else { Ok(()) }), Ok(Err(7)));
        for invalid in ["[]", "1", "{} {}", r#"{"\ud800":1}"#, "{\"a\":1"] {
            assert_eq!(members(invalid, |_, _| Ok::<(), ()>(())), Err(Malformed), "{invalid}");
        }
        let mut seen = vec![];
        let read = elements("[1, [2] ,{}]", |value| {
            seen.push(value);
            Ok::<(), ()>(())
        });
        assert_eq!((read, &*seen), (Ok(Ok(())), &["1", "[2]", "{}"][..]));
    }

    /// A million levels on a thread with 64 KiB of stack: the scanner must not recurse.
    #[test]
    fn no_depth_overflows_the_stack() {
        let scan = || {
            let deep =
                |open: &str, close: &str| format!("{}1{}", open.repeat(1_000_000), close.repeat(1_000_000));
            for text in [deep("[", "]"), deep("{\"a\":", "}"), deep("[{\"a\":", "}]")] {
                assert_eq!(value(&text), Ok(text.as_str()));
                assert_eq!(value(&text[..text.len() - 1]), Err(Malformed));
                assert!(elements(&format!("[{text}]"), |_| Ok::<(), ()>(())).is_ok());
            }
        };
        std::thread::Builder::new().stack_size(64 * 1024).spawn(scan).unwrap().join().unwrap();
    }

    #[test]
    fn strings_are_unescaped() {
        assert_eq!(string("\"plain\""), Ok(Some("plain".into())));
        assert_eq!(string(r#""a\u0062\n""#), Ok(Some("ab\n".into())));
        assert_eq!(string("5"), Ok(None));
        assert_eq!(string(r#""\ud800""#), Err(Malformed));
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = proptest::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"",
            "\"a\"",
            "\\",
            "\\u12",
            "1",
            "-",
            "0",
            ".5",
            "e9",
            "true",
            "null",
            " ",
            "\n",
            "é",
            "\u{1}",
            "\"twelve bytes\"",
            "{\"a\":1}",
            "[1,2]",
        ]);
        proptest::collection::vec(piece, 0..14).prop_map(|all| all.concat())
    }

    proptest! {
        /// serde_json, which has its own scanner, is the reference.
        #[test]
        fn agrees_with_another_parser(text in pieces()) {
            prop_assert_eq!(value(&text).is_ok(), is_json(&text), "{}", text);
        }

        #[test]
        fn strings_agree_with_another_parser(text in ".{0,40}", tail in ".{0,9}") {
            let text = format!("\"{text}\"{tail}");
            prop_assert_eq!(value(&text).is_ok(), is_json(&text), "{}", text);
        }
    }
}
