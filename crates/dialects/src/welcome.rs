//! The welcome's fields (`protocol.md` 3.1), the same in every dialect.

use crate::json::{write_str, write_u64};
use fanfare_core::time::write_rfc3339_ms;

/// The greeting of a new connection.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The session's human-friendly code.
    pub session_code: &'a str,
    /// The secret to resume with; good once.
    pub resume_token: &'a str,
    /// The connection's own id.
    pub client_id: &'a str,
    /// Id and name of the user who is logged in.
    pub user: Option<(&'a str, &'a str)>,
    /// The session was there before.
    pub resumed: bool,
    /// Milliseconds between the server's pings.
    pub heartbeat_ms: u64,
    /// Limits in force.
    pub limits: WelcomeLimits,
    /// Who answers.
    pub server: WelcomeServer<'a>,
}

/// Limits a client should know.
#[derive(Clone, Copy, Debug)]
pub struct WelcomeLimits {
    /// Bytes of a message at most.
    pub max_message_bytes: u64,
    /// Messages that wait for a slow reader at most.
    pub queue_messages: u64,
}

/// The server's identity.
#[derive(Clone, Copy, Debug)]
pub struct WelcomeServer<'a> {
    /// Version of the product.
    pub version: &'a str,
    /// The public origin's host name.
    pub id: &'a str,
}

impl Welcome<'_> {
    /// Appends the members, without the braces around them.
    pub(crate) fn write_members(&self, now_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"session_code\":");
        write_str(out, self.session_code);
        out.extend_from_slice(b",\"resume_token\":");
        write_str(out, self.resume_token);
        out.extend_from_slice(b",\"client_id\":");
        write_str(out, self.client_id);
        out.extend_from_slice(b",\"user\":");
        write_user(self.user, out);
        if self.resumed {
            out.extend_from_slice(b",\"resumed\":true");
        }
        out.extend_from_slice(b",\"heartbeat_ms\":");
        write_u64(out, self.heartbeat_ms);
        out.extend_from_slice(b",\"limits\":{\"max_message_bytes\":");
        write_u64(out, self.limits.max_message_bytes);
        out.extend_from_slice(b",\"queue_messages\":");
        write_u64(out, self.limits.queue_messages);
        out.extend_from_slice(b"},\"server\":{\"name\":\"fanfare\",\"version\":");
        write_str(out, self.server.version);
        out.extend_from_slice(b",\"id\":");
        write_str(out, self.server.id);
        out.extend_from_slice(b"},\"timestamp\":\"");
        write_rfc3339_ms(out, now_ms);
        out.push(b'"');
    }
}

fn write_user(user: Option<(&str, &str)>, out: &mut Vec<u8>) {
    let Some((id, name)) = user else {
        out.extend_from_slice(b"null");
        return;
    };
    out.extend_from_slice(b"{\"id\":");
    write_str(out, id);
    out.extend_from_slice(b",\"username\":");
    write_str(out, name);
    out.push(b'}');
}
