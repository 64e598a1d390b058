//! JSON text as it was sent: slices of it, and typed values read from it ([ADR
//! 0019](../../../docs/adr/0019-raw-json-without-raw-value.md)).
//!
//! ```text
//! text ── scan ── slices of members and elements ── Raw (passed on byte for byte)
//!                                                └─ de  (typed values: integers however written, null for absent)
//! values with Raw in them ── ser ── text
//! ```
//!
//! `serde_json` is used without its feature `raw_value`: with it, an object whose only member has a magic name is
//! parsed again as text wherever a `serde_json::Value` is read, without a depth limit. Invariants: the scanner does not
//! recurse, and no member name has a special meaning.

mod de;
mod number;
mod raw;
mod scan;
mod ser;

pub use de::{Error, from_str, from_str_keeping};
pub use number::integer;
pub use raw::{Raw, RawBuf};
pub use scan::{Malformed, elements, members, string, value};
pub use ser::{to_string, to_vec, to_writer};
