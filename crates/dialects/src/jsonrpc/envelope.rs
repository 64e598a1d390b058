//! The members of a request object, found in one pass.

use fanfare_json::{Malformed, Raw};
use std::convert::Infallible;

/// The members JSON-RPC gives a meaning; all others are passed over.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub jsonrpc: Option<Raw<'a>>,
    pub method: Option<Raw<'a>>,
    pub params: Option<Raw<'a>>,
    pub id: Option<Raw<'a>>,
    /// One of them is there twice: it cannot be known which is meant.
    pub twice: bool,
}

/// Reads one object.
pub(super) fn object(text: &str) -> Result<Envelope<'_>, Malformed> {
    let mut found = Envelope::default();
    let all = fanfare_json::members(text, |name, value| {
        let slot = match &*name {
            "jsonrpc" => &mut found.jsonrpc,
            "method" => &mut found.method,
            "params" => &mut found.params,
            "id" => &mut found.id,
            _ => return Ok::<(), Infallible>(()),
        };
        found.twice |= slot.replace(Raw::scanned(value)).is_some();
        Ok(())
    });
    all.map(|_| found)
}

/// Reads an array, keeping no more than `limit` of its elements; returns them and the number of all.
pub(super) fn array(text: &str, limit: usize) -> Result<(Vec<&str>, usize), Malformed> {
    let (mut kept, mut count) = (Vec::new(), 0);
    let all = fanfare_json::elements(text, |element| {
        if kept.len() < limit {
            kept.push(element);
        }
        count += 1;
        Ok::<(), Infallible>(())
    });
    all.map(|_| (kept, count))
}
