//! Typed values from text: `serde_json` reads scalars, the crate's scanner reads arrays and objects.
//!
//! Differences from `serde_json`: a [`Raw`] is a slice of the text; an integer may be written as `5.0` or `1e1`; a
//! struct member that is `null` counts as absent, so that its default applies (`protocol.md` 3). The depth of recursion
//! is that of the type, and 128 for types that nest without bound, as in `serde_json`.

#[cfg(doc)]
use crate::Raw;
use crate::number::integer;
use crate::scan::{Cursor, Malformed, string, value};
use serde::de::value::CowStrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use std::borrow::Cow;
use std::fmt;

/// The type name by which a [`Raw`] requests its slice. It is compared with type names of the program only, never with
/// text.
pub(crate) const RAW: &str = "fanfare_json::Raw";

/// Why a text cannot be read as a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The text is not JSON.
    Malformed,
    /// It is JSON, but not of this type.
    Data(Box<str>),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => Malformed.fmt(f),
            Self::Data(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::Data(why.to_string().into())
    }
}

impl From<Malformed> for Error {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Reads a text as a type; `null` members of structs are absent.
///
/// # Errors
/// The text is not JSON, or not of this type.
pub fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Error> {
    from_str_keeping(text, &|_| false)
}

/// As [`from_str`], but members of the outermost struct for which `keeps_null` returns true are read although they are
/// `null`.
///
/// # Errors
/// As [`from_str`].
pub fn from_str_keeping<'de, T: Deserialize<'de>>(
    text: &'de str,
    keeps_null: &dyn Fn(&str) -> bool,
) -> Result<T, Error> {
    T::deserialize(Text { json: value(text)?, keeps_null })
}

/// A scanned value as a source of typed ones.
#[derive(Clone, Copy)]
struct Text<'de, 'k> {
    json: &'de str,
    keeps_null: &'k dyn Fn(&str) -> bool,
}

impl<'de, 'k> Text<'de, 'k> {
    /// A value inside of this one.
    fn inner(json: &'de str) -> Self {
        Self { json, keeps_null: &|_| false }
    }

    /// Reads it with `serde_json`.
    fn plain<T>(
        self,
        read: impl FnOnce(&mut PlainDeserializer<'de>) -> serde_json::Result<T>,
    ) -> Result<T, Error> {
        read(&mut serde_json::Deserializer::from_str(self.json)).map_err(de::Error::custom)
    }

    fn integer<V: Visitor<'de>>(
        self,
        visitor: V,
        otherwise: impl FnOnce(&mut PlainDeserializer<'de>, V) -> serde_json::Result<V::Value>,
    ) -> Result<V::Value, Error> {
        let Some(number) = integer(self.json) else { return self.plain(|json| otherwise(json, visitor)) };
        if let Ok(number) = u64::try_from(number) {
            visitor.visit_u64(number)
        } else if let Ok(number) = i64::try_from(number) {
            visitor.visit_i64(number)
        } else {
            visitor.visit_i128(number)
        }
    }

    fn members<V: Visitor<'de>>(
        self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let mut cursor = Cursor::new(self.json);
        cursor.expect(b'{')?;
        cursor.white();
        let ended = cursor.take(b'}');
        visitor.visit_map(Members { text: self, cursor, ended, value: None, fields })
    }
}

type PlainDeserializer<'de> = serde_json::Deserializer<serde_json::de::StrRead<'de>>;

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.integer(visitor, |json, visitor| json.$method(visitor))
        })*
    };
}

macro_rules! plain {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.plain(|json| json.$method(visitor))
        })*
    };
}

impl<'de> Deserializer<'de> for Text<'de, '_> {
    type Error = Error;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    plain! {
        deserialize_any deserialize_bool deserialize_f32 deserialize_f64 deserialize_char deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_ignored_any
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match string(self.json) {
            Ok(Some(Cow::Borrowed(text))) => visitor.visit_borrowed_str(text),
            Ok(Some(Cow::Owned(text))) => visitor.visit_string(text),
            Ok(None) | Err(Malformed) => self.plain(|json| json.deserialize_str(visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // Where a struct keeps a null, the null is a value and not an absent member.
        if self.json == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == RAW {
            return visitor.visit_borrowed_bytes(self.json.as_bytes());
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if !self.json.starts_with('[') {
            return self.plain(|json| json.deserialize_seq(visitor));
        }
        let mut cursor = Cursor::new(self.json);
        cursor.expect(b'[')?;
        cursor.white();
        let ended = cursor.take(b']');
        let mut elements = Elements { cursor, ended };
        let read = visitor.visit_seq(&mut elements)?;
        if elements.ended {
            Ok(read)
        } else {
            Err(de::Error::custom("the array has more elements than expected"))
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if !self.json.starts_with('{') {
            return self.plain(|json| json.deserialize_map(visitor));
        }
        self.members(None, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // serde's derived visitor would read an array by position; in JSON a struct is an object.
        if !self.json.starts_with('{') {
            return Err(de::Error::custom(format_args!("{name} is an object")));
        }
        self.members(Some(fields), visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.plain(|json| json.deserialize_unit_struct(name, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.plain(|json| json.deserialize_enum(name, variants, visitor))
    }
}

struct Elements<'de> {
    cursor: Cursor<'de>,
    ended: bool,
}

impl<'de> SeqAccess<'de> for &mut Elements<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.ended {
            return Ok(None);
        }
        let json = self.cursor.value()?;
        self.ended = !self.cursor.next_follows(b']')?;
        seed.deserialize(Text::inner(json)).map(Some)
    }
}

struct Members<'de, 'k> {
    text: Text<'de, 'k>,
    cursor: Cursor<'de>,
    ended: bool,
    value: Option<&'de str>,
    /// The member names of a struct; of these, members that are null are skipped.
    fields: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Members<'de, '_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while !self.ended {
            let name = self.cursor.name()?;
            let json = self.cursor.value()?;
            self.ended = !self.cursor.next_follows(b'}')?;
            let is_absent = json == "null"
                && self.fields.is_some_and(|fields| fields.contains(&&*name))
                && !(self.text.keeps_null)(&name);
            if !is_absent {
                self.value = Some(json);
                return seed.deserialize(Name(name)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let json = self.value.take().ok_or_else(|| Error::Data("a value without its name".into()))?;
        seed.deserialize(Text::inner(json))
    }
}

/// A member's name, borrowed where it has no escapes.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Cow::Borrowed(name) => visitor.visit_borrowed_str(name),
            Cow::Owned(name) => visitor.visit_string(name),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let source: CowStrDeserializer<'de, Error> = self.0.into_deserializer();
        source.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Raw, RawBuf, to_string};
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    #[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Sample<'a> {
        #[serde(borrow)]
        name: Cow<'a, str>,
        #[serde(default)]
        count: u8,
        #[serde(default)]
        on: bool,
        #[serde(borrow, default)]
        raw: Option<Raw<'a>>,
        #[serde(default)]
        inner: Option<Inner>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
    struct Inner {
        #[serde(default)]
        sizes: Vec<i64>,
        #[serde(default)]
        map: BTreeMap<String, i32>,
        #[serde(default)]
        any: serde_json::Value,
    }

    #[test]
    fn a_raw_value_goes_in_and_out_byte_for_byte() {
        let text =
            r#"{"name":"a\u0062","count":5.0,"on":true,"raw": { "x" : [1e400, "\ud800"] } ,"inner":null}"#;
        let read: Sample<'_> = from_str(text).unwrap();
        assert_eq!(
            (&*read.name, read.count, read.raw.unwrap().get()),
            ("ab", 5, r#"{ "x" : [1e400, "\ud800"] }"#)
        );
        assert_eq!(
            to_string(&read).unwrap(),
            r#"{"name":"ab","count":5,"on":true,"raw":{ "x" : [1e400, "\ud800"] },"inner":null}"#
        );
        let all: Vec<RawBuf> = from_str(r#" [1.50, null,"x"] "#).unwrap();
        assert_eq!(to_string(&all).unwrap(), r#"[1.50,null,"x"]"#);
        assert!(
            serde_json::from_str::<RawBuf>("1").is_err() && serde_json::from_str::<RawBuf>("\"1\"").is_err()
        );
    }

    #[test]
    fn integers_are_read_however_written_and_nulls_are_absent() {
        let read: Sample<'_> = from_str(
            r#"{"name":"n","count":null,"on":null,"raw":null,"inner":{"sizes":[1e1,-2.0],"map":{"a":3.0},"any":null}}"#,
        )
        .unwrap();
        assert_eq!((read.count, read.on, read.raw), (0, false, None));
        assert_eq!(
            read.inner.unwrap(),
            Inner { sizes: vec![10, -2], map: [("a".into(), 3)].into(), any: ().into() }
        );
        for invalid in [
            r#"{"name":"n","count":5.5}"#,
            r#"{"name":"n","count":256}"#,
            r#"{"name":null}"#,
            r#"{"nam":null}"#,
            r#"{"name":"n","x":null}"#,
            "[]",
            r#"["n"]"#,
            r#"{"name":"\ud800"}"#,
            r#"{"name":"n","on":1}"#,
        ] {
            assert!(matches!(from_str::<Sample<'_>>(invalid), Err(Error::Data(_))), "{invalid}");
        }
        assert_eq!(from_str::<Sample<'_>>(r#"{"name":"n",}"#), Err(Error::Malformed));
        assert_eq!(from_str::<Inner>("{} x").unwrap_err(), Error::Malformed);
    }

    #[test]
    fn a_null_that_is_kept_is_a_value() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Message {
            payload: RawBuf,
        }
        let text = r#"{"payload":null}"#;
        assert!(from_str::<Message>(text).is_err());
        assert_eq!(
            from_str_keeping::<Message>(text, &|name| name == "payload").unwrap().payload.get(),
            "null"
        );
    }

    /// Issue 10, entry 1: the name that `serde_json` gives its raw values has no special meaning here. This test fails
    /// when anything in the build enables `raw_value` (or `arbitrary_precision`).
    #[test]
    fn no_member_has_a_magic_name() {
        for name in ["$serde_json::private::RawValue", "$serde_json::private::Number", RAW] {
            let text = format!(r#"{{"{name}":"[1]"}}"#);
            let value: serde_json::Value = from_str(&text).unwrap();
            assert_eq!(value[name], "[1]", "{text}");
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(value[name], "[1]", "{text}");
            assert_eq!(from_str::<RawBuf>(&text).unwrap().get(), text);
            assert!(from_str::<String>(&text).is_err());
        }
    }

    /// Types without a depth bound of their own stop at the 128 levels of `serde_json`; raw values have no depth bound.
    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(from_str::<serde_json::Value>(&deep(127)).is_ok());
        assert!(from_str::<serde_json::Value>(&deep(129)).is_err());
        assert!(from_str::<serde_json::Value>(&deep(1_000_000)).is_err());
        assert!(from_str::<RawBuf>(&deep(1_000_000)).is_ok());
        assert!(from_str::<de::IgnoredAny>(&deep(1_000_000)).is_ok());
    }
}
