//! Writing JSON: `serde_json`'s compact writer, which inserts a [`crate::Raw`] unchanged.

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io;

/// Writes bytes unchanged. Only [`crate::Raw`] is serialised as bytes.
struct Splice;

impl Formatter for Splice {
    fn write_byte_array<W: ?Sized + io::Write>(&mut self, writer: &mut W, raw: &[u8]) -> io::Result<()> {
        writer.write_all(raw)
    }
}

/// Appends a value's JSON.
///
/// # Errors
/// The value cannot be written as JSON, or the writer fails.
pub fn to_writer(out: impl io::Write, value: &(impl Serialize + ?Sized)) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(out, Splice))
}

/// A value's JSON as bytes.
///
/// # Errors
/// The value cannot be written as JSON.
pub fn to_vec(value: &(impl Serialize + ?Sized)) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(128);
    to_writer(&mut out, value)?;
    Ok(out)
}

/// A value's JSON as text.
///
/// # Errors
/// The value cannot be written as JSON.
pub fn to_string(value: &(impl Serialize + ?Sized)) -> serde_json::Result<String> {
    let bytes = to_vec(value)?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}
