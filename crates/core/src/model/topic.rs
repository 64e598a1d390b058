//! Names, ids and positions of topics and events.

use super::{ErrorCode, Refusal};
use std::borrow::Cow;

/// Longest topic name in bytes (`protocol.md` 3.2).
pub const MAX_TOPIC_BYTES: usize = 255;

/// A topic name that was checked: non-empty, at most [`MAX_TOPIC_BYTES`], case-sensitive, otherwise free.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicRef<'a>(Cow<'a, str>);

impl<'a> TopicRef<'a> {
    /// Checks a name.
    ///
    /// # Errors
    /// `INVALID_TOPIC` when it is empty or too long.
    pub fn parse(name: impl Into<Cow<'a, str>>) -> Result<Self, Refusal> {
        let name = name.into();
        if name.is_empty() {
            return Err(Refusal::new(ErrorCode::InvalidTopic, "topic must not be empty").field("topic"));
        }
        if name.len() > MAX_TOPIC_BYTES {
            return Err(
                Refusal::new(ErrorCode::InvalidTopic, "topic must be at most 255 bytes").field("topic")
            );
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, taken out.
    pub fn into_inner(self) -> Cow<'a, str> {
        self.0
    }
}

/// A topic's life: offsets are comparable within one epoch only. Sixteen lower-case hexadecimal digits on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The epoch of a client's `since`, as text: an epoch this server never gave out is simply another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinceEpoch<'a>(pub Cow<'a, str>);

impl SinceEpoch<'_> {
    /// Whether it names this epoch.
    pub fn is(&self, epoch: Epoch) -> bool {
        self.0.len() == 16 && u64::from_str_radix(&self.0, 16) == Ok(epoch.0) && !self.0.starts_with('+')
    }
}

/// An event's id: unique across nodes, and its text sorts by time (`protocol.md` 6).
///
/// `time` is the node's hybrid clock: milliseconds since 1970 in the upper 44 bits, a counter in the lower 20, strictly
/// rising on one node. `node` is a random number that each node draws at start-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// Hybrid clock.
    pub time: u64,
    /// The node's random number; 35 bits are shown.
    pub node: u64,
}

/// Digits of Crockford's base 32 in lower case: they sort as their values do.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl EventId {
    /// Length of the text form in bytes.
    pub const TEXT_BYTES: usize = 20;

    /// The text: 13 digits of time, then 7 of the node.
    pub fn text(self) -> [u8; Self::TEXT_BYTES] {
        let mut out = [0; Self::TEXT_BYTES];
        for (i, slot) in out.iter_mut().enumerate() {
            let value = if i < 13 { self.time >> (60 - 5 * i) } else { self.node >> (30 - 5 * (i - 13)) };
            *slot = DIGITS[(value & 31) as usize];
        }
        out
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text().iter().try_for_each(|b| write!(f, "{}", *b as char))
    }
}

/// What an event is given when it enters its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMeta {
    /// Its id.
    pub id: EventId,
    /// Its offset: one above the event before.
    pub offset: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: u64,
}

/// An event as an encoder sees it.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    /// The topic.
    pub topic: &'a str,
    /// Id, offset, time.
    pub meta: EventMeta,
    /// The payload's JSON exactly as it was published.
    pub payload: &'a str,
    /// The publisher's `client_id`.
    pub client_id: &'a str,
    /// The username of a publisher who was logged in.
    pub user: Option<&'a str>,
}

/// What is sent to the subscribers of a topic: the same for each of them, and encoded once for each variant.
#[derive(Clone, Copy, Debug)]
pub enum Delivery<'a> {
    /// An event of a topic.
    Event(EventView<'a>),
    /// An object whose members are the same in every dialect.
    Body(Body<'a>),
    /// Bytes that are sent as they are, as a binary message.
    Bytes(&'a [u8]),
    /// Events were lost here.
    PositionLost(PositionLost<'a>),
}

/// A topic lost events and continues at another position.
#[derive(Clone, Copy, Debug)]
pub struct PositionLost<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The epoch from now on.
    pub epoch: Epoch,
    /// The offset before the next event.
    pub offset: u64,
    /// When, in milliseconds since 1970 UTC.
    pub at_ms: u64,
}

/// A delivery whose JSON was written when it entered.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// What it is about; the first part of the notification's method in JSON-RPC (`feed`).
    pub family: &'static str,
    /// The other part of the method (`event`).
    pub kind: &'static str,
    /// The members of the object, `type` first, without the braces.
    pub members: &'a str,
}

impl<'a> Body<'a> {
    /// A feed's record.
    pub const fn feed(members: &'a str) -> Self {
        Self { family: "feed", kind: "event", members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_text_sorts_as_its_time() {
        let ids: Vec<String> = [0, 1, 31, 32, 1 << 20, (1 << 20) + 5, u64::MAX]
            .map(|time| EventId { time, node: 7 }.to_string())
            .into();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|t| t.len() == EventId::TEXT_BYTES));
    }

    #[test]
    fn names_are_bounded_in_bytes() {
        assert!(TopicRef::parse("é".repeat(127)).is_ok());
        assert!(TopicRef::parse("é".repeat(128)).is_err());
        assert!(TopicRef::parse("").is_err());
    }

    #[test]
    fn an_epoch_is_only_its_own_text() {
        let epoch = Epoch(0xabc);
        assert!(SinceEpoch("0000000000000abc".into()).is(epoch));
        for other in ["abc", "+000000000000abc", "0000000000000abd", ""] {
            assert!(!SinceEpoch(other.into()).is(epoch), "{other}");
        }
    }
}
