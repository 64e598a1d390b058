//! One JSON value as its text, for values that are passed on byte for byte.

use crate::de::RAW;
use crate::scan::{Malformed, value};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// A borrowed JSON value: valid, without white space around it.
///
/// Fields of this type are read by [`crate::from_str`] and written by [`crate::to_writer`] only: another format fails to read
/// them, and writes an array of bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

/// An owned [`Raw`].
#[derive(Clone, PartialEq, Eq)]
pub struct RawBuf(Box<str>);

impl<'a> Raw<'a> {
    /// The value `null`.
    pub const NULL: Raw<'static> = Raw("null");

    /// Checks a text and removes the white space around it.
    ///
    /// # Errors
    /// The text is not one JSON value.
    pub fn new(text: &'a str) -> Result<Self, Malformed> {
        value(text).map(Self)
    }

    /// Wraps a value that the scanner returned; it is not checked again.
    pub const fn scanned(value: &'a str) -> Self {
        Self(value)
    }

    /// The value's text.
    pub const fn get(self) -> &'a str {
        self.0
    }

    /// An owned copy.
    pub fn to_buf(self) -> RawBuf {
        RawBuf(self.0.into())
    }
}

impl RawBuf {
    /// Checks a text; it is kept without the white space around it.
    ///
    /// # Errors
    /// The text is not one JSON value.
    pub fn new(text: impl Into<String>) -> Result<Self, Malformed> {
        let text = text.into();
        let trimmed = value(&text)?;
        Ok(if trimmed.len() == text.len() { Self(text.into()) } else { Self(trimmed.into()) })
    }

    /// The value's text.
    pub fn get(&self) -> &str {
        &self.0
    }

    /// Borrows it.
    pub fn as_raw(&self) -> Raw<'_> {
        Raw(&self.0)
    }
}

impl Default for RawBuf {
    /// The value `null`.
    fn default() -> Self {
        Raw::NULL.to_buf()
    }
}

impl fmt::Debug for Raw<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for RawBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0.as_bytes())
    }
}

impl Serialize for RawBuf {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.as_raw().serialize(to)
    }
}

/// Takes the slice that [`crate::from_str`] gives for a newtype of the name [`RAW`]; other formats never do.
struct Slice;

impl<'de> Visitor<'de> for Slice {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value, read by fanfare-json")
    }

    fn visit_borrowed_bytes<E>(self, scanned: &'de [u8]) -> Result<Raw<'de>, E>
    where
        E: serde::de::Error,
    {
        // The bytes are a slice of a text at a value's bounds.
        std::str::from_utf8(scanned).map(Raw::scanned).map_err(E::custom)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_newtype_struct(RAW, Slice)
    }
}

impl<'de> Deserialize<'de> for RawBuf {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Raw::deserialize(from).map(Raw::to_buf)
    }
}

/// Any JSON.
#[cfg(feature = "schemars")]
mod schema {
    use super::{Raw, RawBuf};
    use schemars::{JsonSchema, Schema, SchemaGenerator};
    use std::borrow::Cow;

    impl JsonSchema for Raw<'_> {
        fn schema_name() -> Cow<'static, str> {
            "AnyValue".into()
        }

        fn inline_schema() -> bool {
            true
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            true.into()
        }
    }

    impl JsonSchema for RawBuf {
        fn schema_name() -> Cow<'static, str> {
            Raw::schema_name()
        }

        fn inline_schema() -> bool {
            true
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            Raw::json_schema(generator)
        }
    }
}
