//! Parsing of an untrusted compact JWS (RFC 7515); nothing in it is verified yet.
//!
//! Stricter than the standard where leniency has been used in attacks (RFC 8725): one spelling of base64url, no
//! repeated members, no header that contains or points to a key, no `crit`, and a bound on the total length.

use fanfare_e2ee::b64;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Longest token that is parsed, in bytes.
pub(crate) const MAX_TOKEN: usize = 8 * 1024;
/// Latest time a token may name: the end of the year 9999 in seconds. Beyond it, sums with milliseconds could overflow.
pub(crate) const MAX_TIME: u64 = 253_402_300_799;
/// Seconds by which another machine's clock may be ahead of ours.
pub(crate) const LEEWAY_S: u64 = 5;

/// Headers that contain a key, say where to get one, or change what the signature covers.
const REFUSED: [&str; 8] = ["b64", "crit", "enc", "jku", "jwk", "x5c", "x5u", "zip"];

/// The parts of a token.
pub(crate) struct Jws<'a> {
    /// The text that the signature covers.
    pub signed: &'a str,
    /// Base64url text of the signature.
    pub signature: &'a str,
    header: &'a str,
    payload: &'a str,
}

impl<'a> Jws<'a> {
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let url_safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let whole =
            [header, payload, signature].iter().all(|part| !part.is_empty() && part.bytes().all(url_safe));
        whole.then_some(Self { signed, signature, header, payload })
    }

    /// The header's members; `None` when there is any of [`REFUSED`].
    pub(crate) fn header(&self) -> Option<Map<String, Value>> {
        let header = object(self.header)?;
        (!REFUSED.iter().any(|name| header.contains_key(*name))).then_some(header)
    }

    pub(crate) fn claims(&self) -> Option<Map<String, Value>> {
        object(self.payload)
    }

    pub(crate) fn signature_bytes(&self) -> Option<Vec<u8>> {
        b64::decode(self.signature).ok()
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = b64::decode(part).ok()?;
    serde_json::from_slice::<Object>(&bytes).ok().map(|object| object.0)
}

/// An object without repeated members: which of two `exp` counts must not depend on the parser.
struct Object(Map<String, Value>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a repeated member"));
                    }
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Reads a time in seconds (a NumericDate, RFC 7519 section 2; a fraction is cut off). Negative times and those beyond
/// [`MAX_TIME`] are rejected.
pub(crate) fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, ()> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let fraction = |at: &f64| (0.0..=MAX_TIME as f64).contains(at);
    let at = value.as_u64().or_else(|| value.as_f64().filter(fraction).map(|at| at as u64));
    at.filter(|at| *at <= MAX_TIME).map(Some).ok_or(())
}

/// A member that is a string.
pub(crate) fn text<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    members.get(name)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::{Jws, MAX_TIME, MAX_TOKEN, time};
    use fanfare_e2ee::b64;

    fn token(header: &str, claims: &str) -> String {
        format!("{}.{}.AAAA", b64::encode(header.as_bytes()), b64::encode(claims.as_bytes()))
    }

    #[test]
    fn only_three_parts_of_base64url() {
        let valid = token("{}", "{}");
        assert!(Jws::parse(&valid).is_some());
        for bent in [
            "", ".", "..", "...", "a.b", "a.b.", ".b.c", "a..c", "a.b.c.d", "a.b.c.", "a.b.c\n", " a.b.c",
            "a+.b.c", "a/.b.c", "a=.b.c", "é.b.c",
        ] {
            assert!(Jws::parse(bent).is_none(), "{bent:?}");
        }
        let at_bound = format!("{}.{}.A", "a".repeat(10), "b".repeat(MAX_TOKEN - 13));
        assert!(Jws::parse(&at_bound).is_some());
        assert!(Jws::parse(&format!("{at_bound}A")).is_none());
    }

    #[test]
    fn headers_that_bring_keys_and_repeated_members_are_refused() {
        let header = |text: &str| Jws::parse(&token(text, "{}")).unwrap().header();
        assert!(header(r#"{"alg":"none","x5t":"a"}"#).is_some());
        for name in super::REFUSED {
            assert!(header(&format!(r#"{{"alg":"EdDSA","{name}":null}}"#)).is_none(), "{name}");
        }
        for text in
            [r#"{"a":1,"a":1}"#, "[]", "null", "1", " ", "{", r#"{"a":1}x"#, r#"{"a\u0000":1,"a\u0000":2}"#]
        {
            assert!(header(text).is_none(), "{text}");
        }
    }

    /// Issue 10, entry 1: no member name has a special meaning, and depth is bounded.
    #[test]
    fn claims_have_no_magic_names_and_a_bound_of_depth() {
        let claims = |text: &str| Jws::parse(&token("{}", text)).unwrap().claims();
        let magic = "$serde_json::private::RawValue";
        let read = claims(&format!(r#"{{"sub":{{"{magic}":"\"ann\""}}}}"#)).unwrap();
        assert_eq!((super::text(&read, "sub"), read["sub"][magic].as_str()), (None, Some("\"ann\"")));
        let read = claims(&format!(r#"{{"{magic}":"{{\"sub\":\"ann\"}}"}}"#)).unwrap();
        assert!(!read.contains_key("sub"));
        let deep = |n: usize| format!(r#"{{"x":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(
            claims(&deep(100)).is_some() && claims(&deep(129)).is_none() && claims(&deep(2900)).is_none()
        );
    }

    #[test]
    fn times_are_seconds_of_four_digit_years() {
        let read = |text: &str| {
            time(&Jws::parse(&token("{}", &format!(r#"{{"t":{text}}}"#))).unwrap().claims().unwrap(), "t")
        };
        assert_eq!(read("0"), Ok(Some(0)));
        assert_eq!(read(&MAX_TIME.to_string()), Ok(Some(MAX_TIME)));
        for (text, at) in [("1.5", 1), ("1e3", 1000), ("1.0", 1), ("0.9", 0)] {
            assert_eq!(read(text), Ok(Some(at)), "{text}");
        }
        for text in
            ["-1", "-0.5", "253402300800", "18446744073709551616", "1e300", "\"1\"", "null", "true", "[1]"]
        {
            assert_eq!(read(text), Err(()), "{text}");
        }
    }
}
