//! Text in: one frame to one command, borrowing from the frame.
//!
//! Every member we know is taken as raw JSON first and interpreted after the whole object proved to be valid, so that a
//! wrong type of one member is an error with a name and never a parse error, and so that a payload stays as it was sent.
//! Unknown members are skipped on topic frames and refused on `auth`; of a member that comes twice the last counts there,
//! and it is refused on `auth`.
//!
//! Longer than most: one function per frame, and the table of members that each may have, are read side by side.

use crate::json::is_deeper_than;
use crate::scan::{MAX_INTERPRETED_DEPTH, MAX_PAYLOAD_DEPTH};
use fanfare_core::model::{
    Command, ErrorCode, Publish, Refusal, Since, SinceEpoch, Subscribe, TopicRef, Unsubscribe,
};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Longest string `request_id`, idempotency key and `client_id` in bytes.
const MAX_REQUEST_ID_BYTES: usize = 128;
const MAX_KEY_BYTES: usize = 128;
const MAX_CLIENT_ID_BYTES: usize = 255;

/// A client's `request_id` as the JSON it was sent as: a string or an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId<'a>(pub &'a str);

/// A decoded frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    /// Echoed in the reply.
    pub id: Option<RequestId<'a>>,
    /// What is asked, or why it is no command.
    pub command: Result<Command<'a>, Refusal>,
}

/// Decodes one frame. Never fails: what is wrong is in the request.
pub fn decode(text: &str) -> Request<'_> {
    let fields: Fields<'_> = match serde_json::from_str(text) {
        Ok(fields) => fields,
        Err(_) => return Request { id: None, command: Err(not_an_object(text)) },
    };
    match fields.request_id() {
        Ok(id) => Request { id, command: fields.check_depth().and_then(|()| fields.command()) },
        Err(refusal) => Request { id: None, command: Err(refusal) },
    }
}

/// A publish without a frame around it: the body of `POST /publish`.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishBody<'a> {
    /// The publish.
    pub publish: Publish<'a>,
    /// The session whose connection does not hear it.
    pub exclude_session: Option<Cow<'a, str>>,
}

/// Decodes the members of a `publish` that stand alone; a `type` is not needed.
///
/// # Errors
/// As for the frame.
pub fn decode_publish(text: &str) -> Result<PublishBody<'_>, Refusal> {
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|_| match is_json(text) {
        true => invalid("body", "the body is a JSON object with topic and payload"),
        false => invalid_json(),
    })?;
    let exclude_session = match fields.exclude_session {
        None => None,
        Some(raw) => match string(raw)? {
            Some(code) => Some(code),
            None => return Err(invalid("exclude_session", "exclude_session is a session's code, a string")),
        },
    };
    Ok(PublishBody { publish: fields.publish()?, exclude_session })
}

/// Whether a first frame is JSON-RPC: an object with a `jsonrpc` member, or an array whose first element is one.
pub fn is_jsonrpc(text: &str) -> bool {
    let has_member = |text: &str| serde_json::from_str::<Fields<'_>>(text).is_ok_and(|f| f.jsonrpc);
    let text = text.trim_start_matches([' ', '\t', '\n', '\r']);
    if text.starts_with('[') {
        return serde_json::from_str::<Vec<&RawValue>>(text)
            .is_ok_and(|all| all.first().is_some_and(|v| has_member(v.get())));
    }
    has_member(text)
}

/// Whether a text that is no object is JSON at all.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn not_an_object(text: &str) -> Refusal {
    if is_json(text) {
        return Refusal::new(ErrorCode::InvalidMessageType, "a frame is a JSON object with a type")
            .field("type");
    }
    invalid_json()
}

fn invalid_json() -> Refusal {
    Refusal::new(ErrorCode::InvalidJson, "the frame is no valid JSON text")
}

fn invalid(field: &'static str, why: &'static str) -> Refusal {
    Refusal::new(ErrorCode::InvalidMessage, why).field(field)
}

/// The members we know, as they were sent.
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a RawValue>,
    request_id: Option<&'a RawValue>,
    topic: Option<&'a RawValue>,
    channel: Option<&'a RawValue>,
    client_id: Option<&'a RawValue>,
    since: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
    exclude_self: Option<&'a RawValue>,
    exclude_session: Option<&'a RawValue>,
    idempotency_key: Option<&'a RawValue>,
    token: Option<&'a RawValue>,
    types: Option<&'a RawValue>,
    filter: Option<&'a RawValue>,
    snapshot: Option<&'a RawValue>,
    command: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    jsonrpc: bool,
    unknown: bool,
    /// A member that is interpreted is an object or an array.
    nested: bool,
    repeated: bool,
}

enum Key {
    Kind,
    RequestId,
    Topic,
    Channel,
    ClientId,
    Since,
    Payload,
    Message,
    ExcludeSelf,
    ExcludeSession,
    Idempotency,
    Token,
    Types,
    Filter,
    Snapshot,
    Command,
    Params,
    JsonRpc,
    Unknown,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a member name")
            }
            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "type" => Key::Kind,
                    "request_id" => Key::RequestId,
                    "topic" => Key::Topic,
                    "channel" => Key::Channel,
                    "client_id" => Key::ClientId,
                    "since" => Key::Since,
                    "payload" => Key::Payload,
                    "message" => Key::Message,
                    "exclude_self" => Key::ExcludeSelf,
                    "exclude_session" => Key::ExcludeSession,
                    "idempotency_key" => Key::Idempotency,
                    "token" => Key::Token,
                    "types" => Key::Types,
                    "filter" => Key::Filter,
                    "snapshot" => Key::Snapshot,
                    "command" => Key::Command,
                    "params" => Key::Params,
                    "jsonrpc" => Key::JsonRpc,
                    _ => Key::Unknown,
                })
            }
        }
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Key>()? {
                    let value: &'de RawValue = map.next_value()?;
                    fields.put(&key, value);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

impl<'a> Fields<'a> {
    fn put(&mut self, key: &Key, value: &'a RawValue) {
        let place = match key {
            Key::Kind => &mut self.kind,
            Key::RequestId => &mut self.request_id,
            Key::Topic => &mut self.topic,
            Key::Channel => &mut self.channel,
            Key::ClientId => &mut self.client_id,
            Key::Since => &mut self.since,
            Key::Payload => &mut self.payload,
            Key::Message => &mut self.message,
            Key::ExcludeSelf => &mut self.exclude_self,
            Key::ExcludeSession => &mut self.exclude_session,
            Key::Idempotency => &mut self.idempotency_key,
            Key::Token => &mut self.token,
            Key::Types => &mut self.types,
            Key::Filter => &mut self.filter,
            Key::Snapshot => &mut self.snapshot,
            Key::Command => &mut self.command,
            Key::Params => &mut self.params,
            Key::JsonRpc => {
                self.jsonrpc = true;
                self.unknown = true;
                return;
            }
            Key::Unknown => {
                self.unknown = true;
                return;
            }
        };
        self.repeated |= place.is_some();
        *place = Some(value);
        let is_opaque = matches!(key, Key::Payload | Key::Message | Key::Params);
        self.nested |= !is_opaque && matches!(value.get().as_bytes()[0], b'{' | b'[');
    }

    /// Refuses members that are interpreted and nest too deep; a payload and the parameters of a command have bounds of
    /// their own.
    fn check_depth(&self) -> Result<(), Refusal> {
        if !self.nested {
            return Ok(());
        }
        let interpreted = [
            (self.topic, "topic"),
            (self.channel, "channel"),
            (self.client_id, "client_id"),
            (self.since, "since"),
            (self.exclude_self, "exclude_self"),
            (self.exclude_session, "exclude_session"),
            (self.idempotency_key, "idempotency_key"),
            (self.token, "token"),
            (self.types, "types"),
            (self.filter, "filter"),
            (self.snapshot, "snapshot"),
            (self.command, "command"),
        ];
        for (raw, name) in interpreted {
            if raw.is_some_and(|raw| is_deeper_than(raw.get(), MAX_INTERPRETED_DEPTH - 1)) {
                let why = "the frame nests deeper than 32 levels";
                return Err(Refusal::new(ErrorCode::InvalidJson, why).field(name));
            }
        }
        Ok(())
    }

    fn request_id(&self) -> Result<Option<RequestId<'a>>, Refusal> {
        let Some(raw) = self.request_id else { return Ok(None) };
        let wrong = || invalid("request_id", "request_id is a string of at most 128 bytes or an integer");
        let text = raw.get();
        let ok = match text.as_bytes()[0] {
            b'"' => string(raw)?.is_some_and(|s| s.len() <= MAX_REQUEST_ID_BYTES),
            b'-' | b'0'..=b'9' => {
                text.len() <= MAX_REQUEST_ID_BYTES && text.bytes().all(|b| b == b'-' || b.is_ascii_digit())
            }
            _ => false,
        };
        if ok { Ok(Some(RequestId(text))) } else { Err(wrong()) }
    }

    fn command(&self) -> Result<Command<'a>, Refusal> {
        let kind = match self.kind {
            Some(raw) => string(raw)?,
            None => None,
        };
        match kind.as_deref() {
            Some("publish") => self.publish().map(Command::Publish),
            Some("ping") => Ok(Command::Ping),
            Some("subscribe") => self.subscribe(),
            Some("unsubscribe") => self.unsubscribe(),
            Some("auth") => self.auth(),
            Some("server") => self.server(),
            _ => Err(Refusal::new(
                ErrorCode::InvalidMessageType,
                "type must be one of subscribe, unsubscribe, publish, ping, auth, server",
            )
            .field("type")),
        }
    }

    fn subscribe(&self) -> Result<Command<'a>, Refusal> {
        if let Some(channel) = self.feed()? {
            let [types, filter, snapshot, since] =
                [self.types, self.filter, self.snapshot, self.since].map(|raw| raw.map(RawValue::get));
            let wish = crate::feed::Wish::parse(types, filter, snapshot, since)?;
            return Ok(Command::SubscribeFeed(Box::new(wish.on(channel)?)));
        }
        let topic = self.topic()?;
        let client_id = self.client_id()?;
        Ok(Command::Subscribe(Subscribe { topic, client_id, since: self.since()?, token: self.token()? }))
    }

    fn unsubscribe(&self) -> Result<Command<'a>, Refusal> {
        if let Some(channel) = self.feed()? {
            return Ok(Command::UnsubscribeFeed { channel });
        }
        Ok(Command::Unsubscribe(Unsubscribe { topic: self.topic()?, client_id: self.client_id()? }))
    }

    fn publish(&self) -> Result<Publish<'a>, Refusal> {
        let topic = self.topic()?;
        let Some(payload) = self.payload.or(self.message) else {
            return Err(invalid("payload", "publish needs a payload, any JSON value"));
        };
        if is_deeper_than(payload.get(), MAX_PAYLOAD_DEPTH) {
            return Err(Refusal::new(ErrorCode::InvalidJson, "the payload nests deeper than 128 levels")
                .field("payload"));
        }
        let exclude_self = match self.exclude_self.map(RawValue::get) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(invalid("exclude_self", "exclude_self is true or false")),
        };
        Ok(Publish {
            topic,
            payload: payload.get(),
            client_id: self.client_id()?,
            idempotency_key: self.idempotency_key()?,
            exclude_self,
            token: self.token()?,
        })
    }

    fn auth(&self) -> Result<Command<'a>, Refusal> {
        if self.repeated {
            let why = "an auth frame has each of its members once";
            return Err(Refusal::new(ErrorCode::InvalidJson, why));
        }
        if self.unknown
            || self.topic.is_some()
            || self.channel.is_some()
            || self.payload.is_some()
            || self.types.is_some()
            || self.filter.is_some()
            || self.snapshot.is_some()
            || self.command.is_some()
            || self.params.is_some()
        {
            return Err(invalid("type", "auth takes type, token and request_id, and nothing else"));
        }
        self.token()?
            .map(|token| Command::Authenticate { token })
            .ok_or_else(|| invalid("token", "auth needs a token, a string"))
    }

    fn server(&self) -> Result<Command<'a>, Refusal> {
        let command = match self.command {
            Some(raw) => string(raw)?,
            None => None,
        };
        let command = command.ok_or_else(|| {
            invalid("command", "a server frame names its command: list_commands lists them")
        })?;
        if let Some(params) = self.params
            && is_deeper_than(params.get(), MAX_INTERPRETED_DEPTH)
        {
            let why = "the parameters nest deeper than 32 levels";
            return Err(Refusal::new(ErrorCode::InvalidJson, why).field("params"));
        }
        Ok(Command::Server { command, params: self.params.map(RawValue::get) })
    }

    fn token(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(raw) = self.token else { return Ok(None) };
        string(raw)?.map(Some).ok_or_else(|| invalid("token", "token is a string"))
    }

    fn topic(&self) -> Result<TopicRef<'a>, Refusal> {
        let name = match self.topic {
            Some(raw) => string(raw)?,
            None => None,
        };
        let Some(name) = name else {
            return Err(
                Refusal::new(ErrorCode::InvalidTopic, "topic must be a non-empty string").field("topic")
            );
        };
        TopicRef::parse(name)
    }

    fn feed(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(raw) = self.channel else { return Ok(None) };
        if self.topic.is_some() {
            return Err(invalid("channel", "send either topic or channel, not both"));
        }
        string(raw)?.map(Some).ok_or_else(|| invalid("channel", "channel is a string"))
    }

    fn client_id(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(raw) = self.client_id else { return Ok(None) };
        match string(raw)? {
            Some(id) if !id.is_empty() && id.len() <= MAX_CLIENT_ID_BYTES => Ok(Some(id)),
            _ => Err(Refusal::new(
                ErrorCode::InvalidClientId,
                "client_id must be a non-empty string of at most 255 bytes",
            )
            .field("client_id")),
        }
    }

    fn idempotency_key(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(raw) = self.idempotency_key else { return Ok(None) };
        match string(raw)? {
            Some(key) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key)),
            _ => {
                Err(invalid("idempotency_key", "idempotency_key is a non-empty string of at most 128 bytes"))
            }
        }
    }

    fn since(&self) -> Result<Option<Since<'a>>, Refusal> {
        let Some(raw) = self.since else { return Ok(None) };
        #[derive(serde::Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            epoch: Cow<'a, str>,
            offset: u64,
        }
        match serde_json::from_str::<Wire<'a>>(raw.get()) {
            Ok(Wire { epoch, offset }) => Ok(Some(Since { epoch: SinceEpoch(epoch), offset })),
            Err(_) => Err(invalid(
                "since",
                "since is {\"epoch\": string, \"offset\": unsigned integer} as an ack gave it",
            )),
        }
    }
}

/// A raw JSON value as a string: `None` when it is of another type.
///
/// # Errors
/// `INVALID_JSON` for a string that holds a lone surrogate.
fn string(raw: &RawValue) -> Result<Option<Cow<'_, str>>, Refusal> {
    let text = raw.get();
    let Some(inner) = text.strip_prefix('"') else { return Ok(None) };
    if !inner.contains('\\') {
        return Ok(Some(Cow::Borrowed(&inner[..inner.len() - 1])));
    }
    serde_json::from_str::<String>(text).map(|s| Some(Cow::Owned(s))).map_err(|_| invalid_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> (ErrorCode, Option<&'static str>) {
        let refusal = decode(text).command.unwrap_err();
        (refusal.code, refusal.field)
    }

    #[test]
    fn a_publish_borrows_its_payload_as_sent() {
        let text = r#"{"type":"publish","topic":"a\u0062","payload": { "x" :  1.0 } ,"request_id":"r","exclude_self":true}"#;
        let request = decode(text);
        assert_eq!(request.id, Some(RequestId("\"r\"")));
        let Ok(Command::Publish(p)) = request.command else { panic!("{request:?}") };
        assert_eq!((p.topic.as_str(), p.payload, p.exclude_self), ("ab", r#"{ "x" :  1.0 }"#, true));
    }

    #[test]
    fn payload_wins_over_message_and_the_last_of_two_counts() {
        let Ok(Command::Publish(p)) =
            decode(r#"{"type":"publish","topic":"a","topic":"b","payload":1,"message":2}"#).command
        else {
            panic!()
        };
        assert_eq!((p.topic.as_str(), p.payload), ("b", "1"));
    }

    #[test]
    fn what_is_wrong_has_a_code_and_a_field() {
        use ErrorCode::*;
        let nested = format!("{}{}", "[".repeat(40), "]".repeat(40));
        let deep = |member: &str| format!(r#"{{"type":"subscribe","topic":"a","{member}":{nested}}}"#);
        for (text, want) in [
            ("", (InvalidJson, None)),
            ("{", (InvalidJson, None)),
            (r#"{"type":"ping"} x"#, (InvalidJson, None)),
            (r#"{"type":"ping","s":"	"}"#, (InvalidJson, None)),
            ("[]", (InvalidMessageType, Some("type"))),
            ("1", (InvalidMessageType, Some("type"))),
            ("2e400000", (InvalidMessageType, Some("type"))),
            ("{}", (InvalidMessageType, Some("type"))),
            (r#"{"type":5}"#, (InvalidMessageType, Some("type"))),
            (r#"{"type":"ping","request_id":1.5}"#, (InvalidMessage, Some("request_id"))),
            (r#"{"type":"subscribe"}"#, (InvalidTopic, Some("topic"))),
            (r#"{"type":"subscribe","topic":"a","channel":"b"}"#, (InvalidMessage, Some("channel"))),
            (r#"{"type":"subscribe","topic":"\udc00"}"#, (InvalidJson, None)),
            (r#"{"type":"subscribe","topic":"a","client_id":""}"#, (InvalidClientId, Some("client_id"))),
            (r#"{"type":"subscribe","topic":"a","since":{"epoch":"e"}}"#, (InvalidMessage, Some("since"))),
            (
                r#"{"type":"subscribe","topic":"a","since":{"epoch":"e","offset":-1}}"#,
                (InvalidMessage, Some("since")),
            ),
            (r#"{"type":"publish","topic":"a"}"#, (InvalidMessage, Some("payload"))),
            (
                r#"{"type":"publish","topic":"a","payload":1,"exclude_self":"yes"}"#,
                (InvalidMessage, Some("exclude_self")),
            ),
            (
                r#"{"type":"publish","topic":"a","payload":1,"idempotency_key":""}"#,
                (InvalidMessage, Some("idempotency_key")),
            ),
            (r#"{"type":"auth","token":"x","admin":true}"#, (InvalidMessage, Some("type"))),
            (&deep("since"), (InvalidJson, Some("since"))),
            (&deep("token"), (InvalidJson, Some("token"))),
            (r#"{"type":"auth","token":"x","token":"y"}"#, (InvalidJson, None)),
            (r#"{"type":"auth"}"#, (InvalidMessage, Some("token"))),
        ] {
            assert_eq!(code(text), want, "{text}");
        }
    }

    #[test]
    fn a_publish_body_that_is_no_object_or_no_json_is_told_apart() {
        assert_eq!(decode_publish("[").unwrap_err().code, ErrorCode::InvalidJson);
        assert_eq!(decode_publish("[]").unwrap_err().code, ErrorCode::InvalidMessage);
    }

    #[test]
    fn deep_payloads_pass_to_128_levels() {
        let frame = |n: usize| {
            format!(r#"{{"type":"publish","topic":"a","payload":{}{}}}"#, "[".repeat(n), "]".repeat(n))
        };
        assert!(decode(&frame(128)).command.is_ok());
        assert_eq!(code(&frame(129)), (ErrorCode::InvalidJson, Some("payload")));
    }

    #[test]
    fn jsonrpc_is_told_by_its_member() {
        for (text, want) in [
            (r#"{"jsonrpc":"2.0"}"#, true),
            (r#" [{"jsonrpc":"1.0"},1]"#, true),
            (r#"{"type":"ping"}"#, false),
            (r#"[1,{"jsonrpc":"2.0"}]"#, false),
            ("[]", false),
            ("{", false),
            ("\u{a0}[{\"jsonrpc\":\"2.0\"}]", false),
        ] {
            assert_eq!(is_jsonrpc(text), want, "{text}");
        }
    }
}
