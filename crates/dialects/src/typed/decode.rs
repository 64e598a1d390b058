//! Text in: one frame to one command, borrowing from the frame.
//!
//! Every member we know is a slice of the text first and is interpreted after the whole object was found valid, so that a
//! wrong type of one member is an error with a name and never a parse error, and so that a payload stays as it was sent.
//! Unknown members are skipped on topic frames and refused on `auth`; of a member that comes twice the last counts there,
//! and it is refused on `auth`.
//!
//! Longer than most: one function per frame, and the table of members that each may have, are read side by side.

use crate::json::is_deeper_than;
use crate::scan::{MAX_INTERPRETED_DEPTH, MAX_PAYLOAD_DEPTH};
use fanfare_core::model::{
    Command, ErrorCode, FrameType, HistoryCount, Publish, Refusal, Since, SinceEpoch, StartFrom, Subscribe,
    TopicRef, Unsubscribe,
};
use fanfare_json::{Malformed, integer};
use std::borrow::Cow;
use std::convert::Infallible;

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
    let fields = match Fields::read(text) {
        Ok(fields) => fields,
        Err(Malformed) => return Request { id: None, command: Err(not_an_object(text)) },
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
    /// The session whose connection is not sent it.
    pub exclude_session: Option<Cow<'a, str>>,
}

/// Decodes the members of a `publish` that stand alone; a `type` is not needed.
///
/// # Errors
/// As for the frame.
pub fn decode_publish(text: &str) -> Result<PublishBody<'_>, Refusal> {
    let fields = Fields::read(text).map_err(|_| match is_json(text) {
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
    let has_member = |text: &str| Fields::read(text).is_ok_and(|f| f.jsonrpc);
    let text = text.trim_start_matches([' ', '\t', '\n', '\r']);
    if !text.starts_with('[') {
        return has_member(text);
    }
    let mut first = None;
    let all = fanfare_json::elements(text, |element| {
        first = first.or(Some(element));
        Ok::<(), Infallible>(())
    });
    all.is_ok() && first.is_some_and(has_member)
}

/// Whether a text that is no object is JSON at all.
fn is_json(text: &str) -> bool {
    fanfare_json::value(text).is_ok()
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

/// The members we know, as they were sent; one that is `null` is absent, but for payloads (`protocol.md` 3).
#[derive(Default)]
struct Fields<'a> {
    kind: Option<&'a str>,
    request_id: Option<&'a str>,
    token: Option<&'a str>,
    topic: Option<&'a str>,
    channel: Option<&'a str>,
    client_id: Option<&'a str>,
    since: Option<&'a str>,
    history: Option<&'a str>,
    payload: Option<&'a str>,
    message: Option<&'a str>,
    exclude_self: Option<&'a str>,
    exclude_session: Option<&'a str>,
    idempotency_key: Option<&'a str>,
    types: Option<&'a str>,
    filter: Option<&'a str>,
    snapshot: Option<&'a str>,
    command: Option<&'a str>,
    params: Option<&'a str>,
    jsonrpc: bool,
    /// There is a member that an `auth` frame does not have.
    foreign: bool,
    /// A member that is interpreted is an object or an array.
    nested: bool,
    /// A bit for each member that was there, for `repeated`.
    seen: u32,
    repeated: bool,
}

/// What the decoder does with the value of a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// Interprets it.
    Interpreted,
    /// Passes it on with a bound of its own: the parameters of a command.
    Deferred,
    /// Passes it on as it is, `null` too.
    Opaque,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        let all = fanfare_json::members(text, |name, value| {
            fields.put(&name, value);
            Ok::<(), Infallible>(())
        });
        all.map(|_| fields)
    }

    #[inline]
    fn put(&mut self, name: &str, value: &'a str) {
        use Use::{Deferred, Interpreted, Opaque};
        let (bit, place, used) = match name {
            "type" => (0, &mut self.kind, Interpreted),
            "request_id" => (1, &mut self.request_id, Interpreted),
            "token" => (2, &mut self.token, Interpreted),
            "topic" => (3, &mut self.topic, Interpreted),
            "channel" => (4, &mut self.channel, Interpreted),
            "client_id" => (5, &mut self.client_id, Interpreted),
            "since" => (6, &mut self.since, Interpreted),
            "payload" => (7, &mut self.payload, Opaque),
            "message" => (8, &mut self.message, Opaque),
            "exclude_self" => (9, &mut self.exclude_self, Interpreted),
            "exclude_session" => (10, &mut self.exclude_session, Interpreted),
            "idempotency_key" => (11, &mut self.idempotency_key, Interpreted),
            "types" => (12, &mut self.types, Interpreted),
            "filter" => (13, &mut self.filter, Interpreted),
            "snapshot" => (14, &mut self.snapshot, Interpreted),
            "command" => (15, &mut self.command, Interpreted),
            "params" => (16, &mut self.params, Deferred),
            "history" => (17, &mut self.history, Interpreted),
            other => {
                self.jsonrpc |= other == "jsonrpc";
                self.foreign = true;
                return;
            }
        };
        *place = (used == Opaque || value != "null").then_some(value);
        self.foreign |= bit > 2;
        self.repeated |= self.seen & 1 << bit != 0;
        self.seen |= 1 << bit;
        self.nested |= used == Interpreted && value.starts_with(['{', '[']);
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
            (self.history, "history"),
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
            if raw.is_some_and(|raw| is_deeper_than(raw, MAX_INTERPRETED_DEPTH - 1)) {
                let why = "the frame nests deeper than 32 levels";
                return Err(Refusal::new(ErrorCode::InvalidJson, why).field(name));
            }
        }
        Ok(())
    }

    fn request_id(&self) -> Result<Option<RequestId<'a>>, Refusal> {
        let Some(raw) = self.request_id else { return Ok(None) };
        let wrong = || invalid("request_id", "request_id is a string of at most 128 bytes or an integer");
        let is_integer = || raw.bytes().all(|b| b == b'-' || b.is_ascii_digit()) || integer(raw).is_some();
        let ok = match raw.as_bytes()[0] {
            b'"' => string(raw)?.is_some_and(|s| s.len() <= MAX_REQUEST_ID_BYTES),
            b'-' | b'0'..=b'9' => raw.len() <= MAX_REQUEST_ID_BYTES && is_integer(),
            _ => false,
        };
        if ok { Ok(Some(RequestId(raw))) } else { Err(wrong()) }
    }

    fn command(&self) -> Result<Command<'a>, Refusal> {
        let kind = match self.kind {
            Some(raw) => string(raw)?,
            None => None,
        };
        match kind.as_deref().and_then(FrameType::parse) {
            Some(FrameType::Publish) => self.publish().map(Command::Publish),
            Some(FrameType::Ping) => Ok(Command::Ping),
            Some(FrameType::Subscribe) => self.subscribe(),
            Some(FrameType::Unsubscribe) => self.unsubscribe(),
            Some(FrameType::Auth) => self.auth(),
            Some(FrameType::Server) => self.server(),
            _ => Err(Refusal::new(
                ErrorCode::InvalidMessageType,
                "type must be one of subscribe, unsubscribe, publish, ping, auth, server",
            )
            .field("type")),
        }
    }

    fn subscribe(&self) -> Result<Command<'a>, Refusal> {
        if let Some(channel) = self.feed()? {
            let wish = crate::feed::Wish::parse(self.types, self.filter, self.snapshot, self.since)?;
            return Ok(Command::SubscribeFeed(Box::new(wish.on(channel)?)));
        }
        let topic = self.topic()?;
        let client_id = self.client_id()?;
        let start = StartFrom::new(self.since()?, self.history()?);
        Ok(Command::Subscribe(Subscribe { topic, client_id, start, token: self.token()? }))
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
        if is_deeper_than(payload, MAX_PAYLOAD_DEPTH) {
            return Err(Refusal::new(ErrorCode::InvalidJson, "the payload nests deeper than 128 levels")
                .field("payload"));
        }
        let exclude_self = match self.exclude_self {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(invalid("exclude_self", "exclude_self is true or false")),
        };
        Ok(Publish {
            topic,
            payload,
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
        if self.foreign {
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
            && is_deeper_than(params, MAX_INTERPRETED_DEPTH)
        {
            let why = "the parameters nest deeper than 32 levels";
            return Err(Refusal::new(ErrorCode::InvalidJson, why).field("params"));
        }
        Ok(Command::Server { command, params: self.params })
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

    fn history(&self) -> Result<Option<HistoryCount>, Refusal> {
        let Some(raw) = self.history else { return Ok(None) };
        let count = integer(raw).and_then(|count| u64::try_from(count).ok()).and_then(HistoryCount::new);
        count.map(Some).ok_or_else(|| invalid("history", "history is an integer from 1 to 100"))
    }

    fn since(&self) -> Result<Option<Since<'a>>, Refusal> {
        let Some(raw) = self.since else { return Ok(None) };
        #[derive(serde::Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            epoch: Cow<'a, str>,
            offset: u64,
        }
        match fanfare_json::from_str::<Wire<'a>>(raw) {
            Ok(Wire { epoch, offset }) => Ok(Some(Since { epoch: SinceEpoch(epoch), offset })),
            Err(_) => Err(invalid(
                "since",
                "since is {\"epoch\": string, \"offset\": unsigned integer} as an ack gave it",
            )),
        }
    }
}

/// A value as a string: `None` when it is of another type.
///
/// # Errors
/// `INVALID_JSON` for a string that holds a lone surrogate.
fn string(value: &str) -> Result<Option<Cow<'_, str>>, Refusal> {
    fanfare_json::string(value).map_err(|_| invalid_json())
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

    /// Every frame with every member that is optional in it.
    const FRAMES: [(&str, &[&str]); 7] = [
        (r#""type":"ping""#, &["request_id", "topic", "x"]),
        (r#""type":"subscribe","topic":"a""#, &["request_id", "client_id", "since", "token", "channel"]),
        (r#""type":"unsubscribe","topic":"a""#, &["request_id", "client_id", "channel"]),
        (
            r#""type":"publish","topic":"a","payload":null"#,
            &["request_id", "client_id", "idempotency_key", "exclude_self", "token", "channel"],
        ),
        (
            r#""type":"subscribe","channel":"c""#,
            &["request_id", "types", "filter", "snapshot", "since", "topic"],
        ),
        (r#""type":"unsubscribe","channel":"c""#, &["request_id", "topic"]),
        (r#""type":"server","command":"ping""#, &["request_id", "params"]),
    ];

    #[test]
    fn null_for_an_optional_member_is_absent_in_every_frame() {
        for (frame, optional) in FRAMES {
            let (plain, body) = (format!("{{{frame}}}"), format!("{{{frame},"));
            assert!(decode(&plain).command.is_ok(), "{plain}");
            for name in optional {
                let text = format!(r#"{body}"{name}":null}}"#);
                assert_eq!(decode(&text), decode(&plain), "{text}");
            }
            let all: Vec<String> = optional.iter().map(|name| format!(r#""{name}":null"#)).collect();
            let text = format!("{body}{}}}", all.join(","));
            assert_eq!(decode(&text), decode(&plain), "{text}");
        }
        let filter = |filter: &str| {
            let text = format!(r#"{{"type":"subscribe","channel":"c","filter":{filter}}}"#);
            format!("{:?}", decode(&text).command)
        };
        assert_eq!(filter(r#"{"key":null,"json":null}"#), filter("{}"));
        let text = |extra: &str| format!(r#"{{"topic":"a","payload":1{extra}}}"#);
        assert_eq!(
            decode_publish(&text(r#","client_id":null,"exclude_session":null,"token":null"#)),
            decode_publish(&text(""))
        );
        // Required members, payloads, and what an auth frame does not have.
        let (null_payload, message) =
            (r#"{"type":"publish","topic":"a","payload":null,"message":1}"#, "null");
        let Ok(Command::Publish(publish)) = decode(null_payload).command else { panic!("a payload") };
        assert_eq!(publish.payload, message);
        assert_eq!(code(r#"{"type":"subscribe","topic":null}"#), (ErrorCode::InvalidTopic, Some("topic")));
        assert_eq!(code(r#"{"type":"auth","token":null}"#), (ErrorCode::InvalidMessage, Some("token")));
        assert!(decode(r#"{"type":"auth","token":"x","request_id":null}"#).command.is_ok());
        for foreign in ["topic", "admin", "client_id", "payload"] {
            let text = format!(r#"{{"type":"auth","token":"x","{foreign}":null}}"#);
            assert_eq!(code(&text), (ErrorCode::InvalidMessage, Some("type")), "{text}");
        }
        assert_eq!(code(r#"{"type":"auth","token":null,"token":"y"}"#), (ErrorCode::InvalidJson, None));
    }

    #[test]
    fn integers_are_taken_however_written_in_every_frame() {
        for written in ["5.0", "1e1", "50e-1", "-0"] {
            let text = format!(r#"{{"type":"ping","request_id":{written}}}"#);
            assert_eq!(decode(&text).id, Some(RequestId(written)), "{text}");
        }
        for fraction in ["5.5", "1e-1", "1e400"] {
            let text = format!(r#"{{"type":"ping","request_id":{fraction}}}"#);
            assert_eq!(code(&text), (ErrorCode::InvalidMessage, Some("request_id")), "{text}");
        }
        let since = |offset: &str| {
            format!(r#"{{"type":"subscribe","topic":"a","since":{{"epoch":"e","offset":{offset}}}}}"#)
        };
        let feed =
            |offset: &str| format!(r#"{{"type":"subscribe","channel":"c","since":{{"t/0":{offset}}}}}"#);
        for written in ["10.0", "1e1", "100e-1"] {
            assert_eq!(decode(&since(written)), decode(&since("10")), "{written}");
            assert_eq!(decode(&feed(written)), decode(&feed("10")), "{written}");
        }
        for fraction in ["10.5", "1e-1", "1e400", "\"10\""] {
            assert_eq!(code(&since(fraction)), (ErrorCode::InvalidMessage, Some("since")), "{fraction}");
            assert_eq!(code(&feed(fraction)), (ErrorCode::InvalidMessage, Some("since")), "{fraction}");
        }
    }

    #[test]
    fn the_newest_events_are_asked_for_by_their_number() {
        let start = |members: &str| match decode(&format!(r#"{{"type":"subscribe","topic":"a"{members}}}"#))
            .command
        {
            Ok(Command::Subscribe(subscribe)) => Ok(subscribe.start.to_static()),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err((refusal.code, refusal.field)),
        };
        let last = |count| Ok(StartFrom::Last(HistoryCount::new(count).unwrap()));
        for (written, count) in [("1", 1), ("100", 100), ("5.0", 5), ("1e1", 10)] {
            assert_eq!(start(&format!(r#","history":{written}"#)), last(count), "{written}");
        }
        assert_eq!(start(r#","history":null"#), Ok(StartFrom::Live));
        let nested = "[".repeat(40) + &"]".repeat(40);
        assert_eq!(start(&format!(r#","history":{nested}"#)), Err((ErrorCode::InvalidJson, Some("history"))));
        let since = r#","since":{"epoch":"e","offset":3}"#;
        let both = start(&format!(r#"{since},"history":5"#));
        assert_eq!(both, start(since), "with since it is ignored");
        for bad in ["0", "101", "-1", "1.5", "\"3\"", "true", "[]", "{}", "1180591620717411303424", "1e400"] {
            for also in ["", since] {
                let got = start(&format!(r#","history":{bad}{also}"#));
                assert_eq!(got, Err((ErrorCode::InvalidMessage, Some("history"))), "{bad}{also}");
            }
        }
    }

    /// Issue 10, entry 1: a member whose name a parser could give a meaning is like any other.
    #[test]
    fn no_member_has_a_magic_name() {
        let magic = r#"{"$serde_json::private::RawValue":"\"inj\""}"#;
        for (name, code_of_it) in [
            ("topic", (ErrorCode::InvalidTopic, Some("topic"))),
            ("client_id", (ErrorCode::InvalidClientId, Some("client_id"))),
            ("token", (ErrorCode::InvalidMessage, Some("token"))),
            ("since", (ErrorCode::InvalidMessage, Some("since"))),
            ("history", (ErrorCode::InvalidMessage, Some("history"))),
        ] {
            let text = format!(r#"{{"type":"subscribe","topic":"a","{name}":{magic}}}"#);
            assert_eq!(code(&text), code_of_it, "{text}");
        }
        let text = format!(r#"{{"type":"subscribe","channel":"c","filter":{{"json":{{"/a":{magic}}}}}}}"#);
        assert_eq!(code(&text), (ErrorCode::InvalidMessage, Some("filter")));
        let text = format!(r#"{{"type":"publish","topic":"a","payload":{magic}}}"#);
        let Ok(Command::Publish(publish)) = decode(&text).command else { panic!("a payload") };
        assert_eq!(publish.payload, magic);
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
