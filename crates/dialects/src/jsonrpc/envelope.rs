//! The members of a request object, found in one pass.

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The members JSON-RPC gives a meaning; all others are passed over.
#[derive(Default)]
pub(super) struct Envelope<'a> {
    pub jsonrpc: Option<&'a RawValue>,
    pub method: Option<&'a RawValue>,
    pub params: Option<&'a RawValue>,
    pub id: Option<&'a RawValue>,
    /// One of them is there twice: it cannot be known which is meant.
    pub twice: bool,
}

/// Reads one object; an error is an error of the grammar.
pub(super) fn object(text: &str) -> Result<Envelope<'_>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let envelope = json.deserialize_map(Members)?;
    json.end()?;
    Ok(envelope)
}

/// Reads an array, keeping no more than `limit` of its elements; answers them and how many there are.
pub(super) fn array(text: &str, limit: usize) -> Result<(Vec<&RawValue>, usize), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let elements = json.deserialize_seq(Elements(limit))?;
    json.end()?;
    Ok(elements)
}

struct Members;

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Members {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        let mut found = Envelope::default();
        while let Some(Name(name)) = map.next_key()? {
            let slot = match &*name {
                "jsonrpc" => &mut found.jsonrpc,
                "method" => &mut found.method,
                "params" => &mut found.params,
                "id" => &mut found.id,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            found.twice |= slot.replace(map.next_value()?).is_some();
        }
        Ok(found)
    }
}

struct Elements(usize);

impl<'de> Visitor<'de> for Elements {
    type Value = (Vec<&'de RawValue>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let (mut kept, mut count) = (Vec::new(), 0);
        while kept.len() < self.0
            && let Some(element) = seq.next_element()?
        {
            kept.push(element);
            count += 1;
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((kept, count))
    }
}
