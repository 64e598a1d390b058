//! Every error code Fanfare can answer with, in one table.
//!
//! A code has one meaning on every surface: the typed dialect sends its name, HTTP sends the name in
//! lower_snake_case with a status, JSON-RPC sends a number with the name in `data.code`. The table below is the
//! only place that knows the three together; `docs/errors.md` is checked against it by a test.
//!
//! Source: `protocol.md` 3.2 and 4, `http-api.md`, seed 004 section 6.

use std::borrow::Cow;

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $status:literal, $rpc:literal, $remedy:literal;)*) => {
        /// A documented error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode {
            $($(#[doc = $doc])* $variant,)*
        }

        impl ErrorCode {
            /// All codes in the order of the table.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The name on the wire, `UPPER_SNAKE_CASE`.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// The HTTP status a REST answer with this code has.
            pub const fn http_status(self) -> u16 {
                match self { $(ErrorCode::$variant => $status,)* }
            }

            /// The JSON-RPC error number (-32000…-32099 for server codes).
            pub const fn rpc_number(self) -> i32 {
                match self { $(ErrorCode::$variant => $rpc,)* }
            }

            /// What the caller can do about it, one sentence.
            pub const fn remedy(self) -> &'static str {
                match self { $(ErrorCode::$variant => $remedy,)* }
            }
        }
    };
}

error_codes! {
    /// The frame or body is no JSON, is not UTF-8, nests too deep or holds a lone surrogate.
    InvalidJson = "INVALID_JSON", 400, -32700, "Send one well-formed JSON value in a text frame.";
    /// The frame's `type` is missing, not a string or not known.
    InvalidMessageType = "INVALID_MESSAGE_TYPE", 400, -32031, "Use a `type` that the protocol page lists.";
    /// A field of the frame is missing or has the wrong shape; `field` names it.
    InvalidMessage = "INVALID_MESSAGE", 400, -32001, "Correct the field that `field` names.";
    /// The topic is missing, empty, longer than 255 bytes or not a string.
    InvalidTopic = "INVALID_TOPIC", 400, -32002, "Send a non-empty topic name of at most 255 bytes.";
    /// The client id is empty or not a string, or is missing where it is mandatory.
    InvalidClientId = "INVALID_CLIENT_ID", 400, -32003, "Send a non-empty `client_id` string or leave it out.";
    /// A field of a request breaks a documented rule; `field` names it.
    InvalidField = "INVALID_FIELD", 400, -32004, "Correct the field that `field` names.";
    /// The topic has no subscribers and was not created explicitly.
    TopicNotFound = "TOPIC_NOT_FOUND", 404, -32010, "Subscribe to the topic or create it with POST /topics first.";
    /// The feed or chat channel does not exist.
    ChannelNotFound = "CHANNEL_NOT_FOUND", 404, -32011, "Check the channel's name.";
    /// The server command is not registered.
    UnknownCommand = "UNKNOWN_COMMAND", 404, -32012, "Ask `list_commands` for the commands there are.";
    /// What was asked for does not exist, or is hidden from the caller.
    NotFound = "NOT_FOUND", 404, -32013, "Check the name or id.";
    /// A message, frame or body is over the size limit.
    MessageTooLarge = "MESSAGE_TOO_LARGE", 413, -32020, "Keep below `limits.max_message_bytes`.";
    /// More than a bucket allows; the frame was not processed.
    RateLimited = "RATE_LIMITED", 429, -32021, "Wait `retry_after_ms` and send it again.";
    /// A count limit is reached; nothing was changed.
    LimitExceeded = "LIMIT_EXCEEDED", 429, -32022, "Give something back first, or raise the limit that the message names.";
    /// The reader did not keep up and its queue overflowed; the connection closes with 1013.
    SlowConsumer = "SLOW_CONSUMER", 503, -32023, "Reconnect later, subscribe with `since` and read faster.";
    /// No or a bad credential where one is needed.
    Unauthorized = "UNAUTHORIZED", 401, -32030, "Log in or send a valid credential.";
    /// A name, password, challenge or signature is wrong; all answer alike.
    InvalidCredentials = "INVALID_CREDENTIALS", 401, -32033, "Check the name and the password or key, and log in again.";
    /// The caller is known but may not do this.
    Forbidden = "FORBIDDEN", 403, -32000, "Ask for the right, or use another name.";
    /// A subscription token does not open this topic.
    InvalidToken = "INVALID_TOKEN", 403, -32032, "Fetch a new token for this topic and user.";
    /// A key is no key, or one that proves nothing: not canonical, of small order, or both keys alike.
    WeakKey = "WEAK_KEY", 400, -32034, "Generate a new key pair with a well-kept library.";
    /// A signature is not that of the key it must be of.
    BadSignature = "BAD_SIGNATURE", 400, -32035, "Sign the text that the documentation gives, byte for byte.";
    /// A plain connection was used where TLS is asked for.
    HttpsRequired = "HTTPS_REQUIRED", 403, -32036, "Use the https:// address.";
    /// What was sent contradicts what is there.
    Conflict = "CONFLICT", 409, -32040, "Read the present state and send again.";
    /// A component the command needs is down; nothing was changed.
    Unavailable = "UNAVAILABLE", 503, -32050, "Try again later.";
    /// The feature needs a store or broker that several nodes share.
    NeedsSharedStore = "NEEDS_SHARED_STORE", 503, -32051, "Configure the shared engine that the message names.";
    /// The server is shutting down; nothing was changed.
    ServerShutdown = "SERVER_SHUTDOWN", 503, -32052, "Reconnect; another node or the next start answers.";
    /// A fault of the server; the log has the details under the correlation id.
    Internal = "INTERNAL", 500, -32603, "Report it with the correlation id.";
}

/// A command that was refused: nothing was changed.
///
/// `message` is public text: it names what was wrong and what to do and holds no internal detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The documented code.
    pub code: ErrorCode,
    /// One public sentence.
    pub message: Cow<'static, str>,
    /// The field of the frame, body or parameters at fault, if one is.
    pub field: Option<&'static str>,
    /// Milliseconds until a retry can succeed, for rate limits.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal with a code and a public sentence.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), field: None, retry_after_ms: None }
    }

    /// The same, naming the field at fault.
    #[must_use]
    pub fn field(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    /// The same, with the wait until a retry can succeed.
    #[must_use]
    pub fn retry_after(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::ErrorCode;
    use std::collections::HashSet;

    #[test]
    fn names_and_numbers_are_unique() {
        let names: HashSet<_> = ErrorCode::ALL.iter().map(|c| c.name()).collect();
        let numbers: HashSet<_> = ErrorCode::ALL.iter().map(|c| c.rpc_number()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        assert_eq!(numbers.len(), ErrorCode::ALL.len());
    }

    #[test]
    fn server_codes_stay_in_their_range() {
        for code in ErrorCode::ALL {
            let n = code.rpc_number();
            assert!((-32099..=-32000).contains(&n) || n == -32700 || n == -32603, "{} has {n}", code.name());
        }
    }
}
