//! Checking JSON, its depth, and the value at a pointer, without building a tree, since the text itself is passed on.

use fanfare_core::feeds::is_pointer;
use std::borrow::Cow;
use std::convert::Infallible;

/// Deepest nesting that is accepted (`protocol.md` 6): the depth that common parsers accept by default.
pub(crate) const MAX_DEPTH: usize = 128;

/// Why a value is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotJson {
    /// Not a JSON text (RFC 8259), or not UTF-8.
    Malformed,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

/// Checks a value: one JSON text without trailing data, within the depth. Duplicate keys and lone surrogate escapes are
/// accepted.
pub(crate) fn check(value: &[u8]) -> Result<&str, NotJson> {
    let text = std::str::from_utf8(value).map_err(|_| NotJson::Malformed)?;
    fanfare_json::value(text).map_err(|_| NotJson::Malformed)?;
    if too_deep(value) { Err(NotJson::TooDeep) } else { Ok(text) }
}

/// Whether well-formed JSON is nested too deep. In the common case there are few opening brackets in all, and they are
/// counted without looking at strings.
fn too_deep(json: &[u8]) -> bool {
    let opening = |byte: &&u8| matches!(**byte, b'[' | b'{');
    if json.iter().filter(opening).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// A parsed JSON pointer (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<String>);

impl Pointer {
    /// Parses `/a/b~1c`; `None` when it does not begin with a slash or has a stray `~`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tokens = text.strip_prefix('/').filter(|_| is_pointer(text))?.split('/');
        // In this order, as the RFC requires: `~01` is `~1`.
        Some(Self(tokens.map(|token| token.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// The text of the string, number or boolean it points to in a checked value; `None` for anything else.
    pub(crate) fn scalar<'a>(&self, json: &'a str) -> Option<Cow<'a, str>> {
        let mut at = fanfare_json::value(json).ok()?;
        for token in &self.0 {
            at = step(at, token)?;
        }
        match at.as_bytes().first()? {
            b'"' => fanfare_json::string(at).ok().flatten(),
            b'{' | b'[' | b'n' => None,
            _ => Some(Cow::Borrowed(at)),
        }
    }
}

/// One level down; of duplicate keys the last counts, as in JavaScript.
fn step<'a>(json: &'a str, token: &str) -> Option<&'a str> {
    let mut found = None;
    if json.starts_with('{') {
        let all = fanfare_json::members(json, |name, value| {
            if *name == *token {
                found = Some(value);
            }
            Ok::<(), Infallible>(())
        });
        all.ok().and(found)
    } else {
        let index = token.parse::<usize>().ok().filter(|index| index.to_string() == token)?;
        let mut n = 0;
        let all = fanfare_json::elements(json, |value| {
            if n == index {
                found = Some(value);
            }
            n += 1;
            Ok::<(), Infallible>(())
        });
        all.ok().and(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_passes_as_it_is_and_nothing_else_does() {
        let deep = |n| "[".repeat(n) + &"]".repeat(n);
        for valid in ["null", " 5 ", "\"x\"", "{\"a\":1,\"a\":2}", "[1e999]", "\"\\ud800\"", &deep(128)] {
            assert_eq!(check(valid.as_bytes()), Ok(valid));
        }
        for invalid in ["", " ", "{", "{\"a\":NaN}", "{} {}", "not", "\"\u{1}\"", "[1,]", "01"] {
            assert_eq!(check(invalid.as_bytes()), Err(NotJson::Malformed), "{invalid}");
        }
        assert_eq!(check(b"{\"a\":\"\xc3\"}"), Err(NotJson::Malformed));
        for n in [129, 100_000] {
            assert_eq!(check(deep(n).as_bytes()), Err(NotJson::TooDeep));
        }
        let flat = format!("[{}0]", "[],".repeat(500));
        assert!(check(flat.as_bytes()).is_ok(), "many brackets are not depth");
        let quoted = format!("{:?}", "[\"\\".repeat(500));
        assert!(check(quoted.as_bytes()).is_ok(), "brackets in a string are not depth");
    }

    /// Issue 10, entry 1: no member name has a special meaning to a parser.
    #[test]
    fn no_member_has_a_magic_name() {
        let record = r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#;
        assert_eq!(check(record.as_bytes()), Ok(record));
        assert_eq!(Pointer::parse("/a").unwrap().scalar(record), None);
        let inside = Pointer::parse("/$serde_json::private::RawValue").unwrap().scalar(record);
        assert_eq!(inside.as_deref(), Some(r#"{"a":1}"#));
    }

    /// A pointer of many steps into a record of many levels: neither recurses.
    #[test]
    fn a_pointer_goes_as_deep_as_a_record_may() {
        let record = format!("{}7{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert_eq!(Pointer::parse(&"/0".repeat(MAX_DEPTH)).unwrap().scalar(&record).as_deref(), Some("7"));
        assert_eq!(Pointer::parse(&"/0".repeat(100_000)).unwrap().scalar(&record), None);
    }

    #[test]
    fn pointers_reach_scalars() {
        let json = r#"{"a":{"b":[10,"x\u00e9",true,null,{}]},"s/l":{"t~":1.50},"a2":1,"a2":2,"":7,"t~1":8}"#;
        let at = |pointer: &str| Pointer::parse(pointer).unwrap().scalar(json).map(Cow::into_owned);
        for (pointer, want) in [
            ("/a/b/0", Some("10")),
            ("/a/b/1", Some("xé")),
            ("/a/b/2", Some("true")),
            ("/a/b/3", None),
            ("/a/b/4", None),
            ("/a/b/5", None),
            ("/a/b/00", None),
            ("/a", None),
            ("/s~1l/t~0", Some("1.50")),
            ("/t~01", Some("8")),
            ("/a2", Some("2")),
            ("/", Some("7")),
            ("/none/x", None),
        ] {
            assert_eq!(at(pointer).as_deref(), want, "{pointer}");
        }
        assert!(
            Pointer::parse("a").is_none()
                && Pointer::parse("/~2").is_none()
                && Pointer::parse("/~").is_none()
        );
    }
}
