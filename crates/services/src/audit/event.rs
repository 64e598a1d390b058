//! Audit events, and the escaping of outside text before it becomes part of a row.

use fanfare_core::model::Origin;
use fanfare_core::model::{Caller, Principal};
use fanfare_core::time::rfc3339_ms;
use fanfare_store::AuditRow;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Maximum characters kept of a user agent, an origin, a reason or a text in `detail`.
const MAX_CHARS: usize = 256;
/// Maximum values kept of an array in `detail`.
const MAX_ITEMS: usize = 64;
/// Maximum levels kept of `detail`.
const MAX_DEPTH: usize = 4;

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was tried and failed.
    Failure,
    /// It was refused because a right is missing.
    Denied,
}

impl Outcome {
    /// The value in the row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Denied => "denied",
        }
    }
}

/// The severity of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Needs no attention.
    Info,
    /// Needs attention if there are many.
    Warning,
    /// Needs attention at once.
    Alert,
}

impl Severity {
    /// The value in the row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Alert => "alert",
        }
    }
}

/// An audit event. Names follow OWASP's logging vocabulary; `docs/audit.md` lists them.
#[derive(Clone, Debug)]
pub struct AuditEvent {
    event: &'static str,
    outcome: Outcome,
    severity: Severity,
    user_id: Option<String>,
    session: Option<String>,
    ip: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    origin: Option<String>,
    reason: Option<String>,
    detail: Map<String, Value>,
}

impl AuditEvent {
    /// Creates an event of this name; a success is `info`, anything else a `warning` unless set by
    /// [`AuditEvent::severity`].
    pub fn new(event: &'static str, outcome: Outcome) -> Self {
        let severity = if outcome == Outcome::Success { Severity::Info } else { Severity::Warning };
        Self {
            event,
            outcome,
            severity,
            user_id: None,
            session: None,
            ip: None,
            user_agent: None,
            request_id: None,
            origin: None,
            reason: None,
            detail: Map::new(),
        }
    }

    /// A user's server command: its name and outcome, never its parameters. Commands of anonymous callers are not
    /// recorded, because they could fill the log.
    pub fn server_command(command: &str, succeeded: bool, user: &Principal) -> Self {
        let outcome = if succeeded { Outcome::Success } else { Outcome::Failure };
        let event = Self::new("server_command", outcome).detail("command", command);
        event.user(&user.user_id).session(&user.session_id)
    }

    /// Sets the id of the user concerned.
    #[must_use]
    pub fn user(mut self, id: &str) -> Self {
        self.user_id = Some(clean(id));
        self
    }

    /// Sets the session or login. Only the first 8 bytes of its SHA-256 are kept: the log must not be a list of
    /// sessions.
    #[must_use]
    pub fn session(mut self, id: &str) -> Self {
        self.session = Some(hex(&Sha256::digest(id.as_bytes())[..8]));
        self
    }

    /// Sets the client's address.
    #[must_use]
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip.to_string());
        self
    }

    /// Sets the client's `User-Agent`.
    #[must_use]
    pub fn agent(mut self, agent: &str) -> Self {
        self.user_agent = Some(clean(agent));
        self
    }

    /// Sets the request's `X-Request-Id`.
    #[must_use]
    pub fn request(mut self, id: &str) -> Self {
        self.request_id = Some(clean(id));
        self
    }

    /// Sets the page's origin.
    #[must_use]
    pub fn origin(mut self, origin: &str) -> Self {
        self.origin = Some(clean(origin));
        self
    }

    /// Sets the client of a request: its address, agent, request id and page.
    #[must_use]
    pub fn by(self, client: &Origin) -> Self {
        let mut event = self.ip(client.ip);
        if let Some(id) = &client.request_id {
            event = event.request(id);
        }
        if let Some(agent) = &client.user_agent {
            event = event.agent(agent);
        }
        match &client.page {
            Some(page) => event.origin(page),
            None => event,
        }
    }

    /// Sets the caller.
    #[must_use]
    pub fn caller(self, caller: &Caller) -> Self {
        match caller {
            Caller::Anonymous => self,
            Caller::User(user) => self.user(&user.user_id).session(&user.session_id),
            Caller::Server(key) => self.detail("api_key", key.name.as_ref()),
        }
    }

    /// Sets the reason: a code, not a sentence.
    #[must_use]
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(clean(reason));
        self
    }

    /// Sets the severity.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Adds a fact. Never a token, a password, a body or a query string.
    #[must_use]
    pub fn detail(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), clean_value(value.into(), MAX_DEPTH));
        self
    }

    /// The event with its time.
    pub(super) fn stamp(self, at_ms: u64) -> Stamped {
        Stamped { event: self, at_ms }
    }
}

/// An event with its time.
#[derive(Clone, Debug)]
pub(super) struct Stamped {
    event: AuditEvent,
    at_ms: u64,
}

impl Stamped {
    /// The row of this event at a position in a chain; its hash is still to be set.
    pub(super) fn row(&self, node: &str, seq: i64) -> AuditRow {
        let e = &self.event;
        AuditRow {
            node: node.to_owned(),
            seq,
            ts: rfc3339_ms(self.at_ms),
            event: e.event.to_owned(),
            outcome: e.outcome.as_str().to_owned(),
            severity: e.severity.as_str().to_owned(),
            user_id: e.user_id.clone(),
            session: e.session.clone(),
            ip: e.ip.clone(),
            user_agent: e.user_agent.clone(),
            request_id: e.request_id.clone(),
            origin: e.origin.clone(),
            reason: e.reason.clone(),
            detail: Value::Object(e.detail.clone()).to_string(),
            hash: [0; 32],
        }
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Text that cannot end a line, colour a terminal or change the writing direction; cut at [`MAX_CHARS`].
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_CHARS));
    for (at, c) in text.chars().enumerate() {
        if at == MAX_CHARS {
            out.push('…');
            break;
        }
        if is_harmful(c) {
            out.push_str(&format!("\\u{{{:x}}}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// C0, C1, DEL; line and paragraph separators; everything that sets a direction; the byte order mark.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn clean_value(value: Value, depth: usize) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text)),
        Value::Array(_) | Value::Object(_) if depth == 0 => Value::String("…".into()),
        Value::Array(items) => {
            Value::Array(items.into_iter().take(MAX_ITEMS).map(|v| clean_value(v, depth - 1)).collect())
        }
        Value::Object(map) => {
            let entry = |(key, value): (String, Value)| (clean(&key), clean_value(value, depth - 1));
            Value::Object(map.into_iter().take(MAX_ITEMS).map(entry).collect())
        }
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn details_nest_to_their_own_depth_and_no_deeper() {
        let nest = |n: usize| (0..n).fold(json!(1), |inner, _| json!([inner]));
        let kept = |n: usize| clean_value(nest(n), MAX_DEPTH).to_string();
        assert_eq!(kept(MAX_DEPTH), format!("{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)));
        for deeper in [MAX_DEPTH + 1, 120] {
            assert_eq!(kept(deeper), format!("{}\"…\"{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)));
        }
    }

    #[test]
    fn characters_that_forge_a_line_or_change_its_direction_are_escaped() {
        let hostile = "a\r\n2026 admin_action\u{1b}[31m\u{9b}\u{202e}\u{2066}\u{2028}\u{feff}z";
        let event = AuditEvent::new("x", Outcome::Denied)
            .agent(hostile)
            .reason(hostile)
            .detail("deep", json!({ hostile: [hostile, { "k": hostile }] }));
        let row = event.stamp(0).row("n", 1);
        for text in [row.user_agent.unwrap(), row.reason.unwrap(), row.detail] {
            assert!(!text.chars().any(is_harmful), "{text:?}");
            assert!(text.contains("u{202e}") && text.contains("u{d}"), "{text}");
        }
        assert_eq!(row.ts, "1970-01-01T00:00:00.000Z");
        assert_eq!(row.severity, "warning");
    }

    #[test]
    fn texts_are_cut_and_a_session_is_only_its_hash() {
        let row = AuditEvent::new("x", Outcome::Success)
            .agent(&"ü".repeat(5000))
            .session("secret-session")
            .detail("list", vec![1; 1000])
            .detail("deep", json!([[[[[[["x"]]]]]]]))
            .stamp(1)
            .row("n", 1);
        assert_eq!(row.user_agent.unwrap().chars().count(), MAX_CHARS + 1);
        let session = row.session.unwrap();
        assert_eq!((session.len(), session.contains("secret")), (16, false));
        let detail: Value = serde_json::from_str(&row.detail).unwrap();
        assert_eq!(detail["list"].as_array().unwrap().len(), MAX_ITEMS);
        assert!(!row.detail.contains('x'), "{}", row.detail);
        assert_eq!(row.severity, "info");
    }
}
