//! `session.welcome`: what a client is told when it connects (`protocol.md` 3.1).

use super::encode::{integer, notification, string, timestamp};

/// The fields of 3.1.
#[derive(Clone, Copy, Debug)]
pub struct Welcome<'a> {
    /// The session's code.
    pub session_code: &'a str,
    /// What resumes it.
    pub resume_token: &'a str,
    /// The connection's id.
    pub client_id: &'a str,
    /// Who is logged in.
    pub user: Option<WelcomeUser<'a>>,
    /// The session was there before; left out when false.
    pub resumed: bool,
    /// Milliseconds between the server's pings.
    pub heartbeat_ms: u64,
    /// Limits in force.
    pub limits: WelcomeLimits,
    /// Who answers.
    pub server: WelcomeServer<'a>,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// A user as clients see it.
#[derive(Clone, Copy, Debug)]
pub struct WelcomeUser<'a> {
    /// The id.
    pub id: &'a str,
    /// The name.
    pub username: &'a str,
}

/// Limits a client should know.
#[derive(Clone, Copy, Debug)]
pub struct WelcomeLimits {
    /// Longest message in bytes.
    pub max_message_bytes: u64,
    /// Messages the connection's queue holds.
    pub queue_messages: u64,
}

/// The server's name.
#[derive(Clone, Copy, Debug)]
pub struct WelcomeServer<'a> {
    /// The product.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// The public origin's host name.
    pub id: &'a str,
}

/// The notification.
pub fn welcome(out: &mut Vec<u8>, welcome: &Welcome<'_>) {
    notification(out, "session.welcome", |out| {
        out.push(b'{');
        write_welcome_members(out, welcome);
        out.push(b'}');
    });
}

/// The members without braces, so that another dialect can put its own before them.
pub fn write_welcome_members(out: &mut Vec<u8>, welcome: &Welcome<'_>) {
    member(out, r#""session_code":"#, welcome.session_code);
    member(out, r#","resume_token":"#, welcome.resume_token);
    member(out, r#","client_id":"#, welcome.client_id);
    match welcome.user {
        None => out.extend_from_slice(br#","user":null"#),
        Some(user) => {
            member(out, r#","user":{"id":"#, user.id);
            member(out, r#","username":"#, user.username);
            out.push(b'}');
        }
    }
    if welcome.resumed {
        out.extend_from_slice(br#","resumed":true"#);
    }
    out.extend_from_slice(br#","heartbeat_ms":"#);
    integer(out, welcome.heartbeat_ms);
    out.extend_from_slice(br#","limits":{"max_message_bytes":"#);
    integer(out, welcome.limits.max_message_bytes);
    out.extend_from_slice(br#","queue_messages":"#);
    integer(out, welcome.limits.queue_messages);
    member(out, r#"},"server":{"name":"#, welcome.server.name);
    member(out, r#","version":"#, welcome.server.version);
    member(out, r#","id":"#, welcome.server.id);
    out.push(b'}');
    timestamp(out, welcome.at_ms);
}

fn member(out: &mut Vec<u8>, lead: &str, value: &str) {
    out.extend_from_slice(lead.as_bytes());
    string(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELCOME: Welcome<'_> = Welcome {
        session_code: "happy-panda-42",
        resume_token: "tok",
        client_id: "c1",
        user: None,
        resumed: false,
        heartbeat_ms: 54_000,
        limits: WelcomeLimits { max_message_bytes: 65_536, queue_messages: 256 },
        server: WelcomeServer { name: "fanfare", version: "0.1.0", id: "localhost" },
        at_ms: 0,
    };

    #[test]
    fn it_has_the_fields_of_3_1() {
        let mut out = vec![];
        welcome(&mut out, &WELCOME);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"jsonrpc":"2.0","method":"session.welcome","params":{"session_code":"happy-panda-42","resume_token":"tok","client_id":"c1","user":null,"heartbeat_ms":54000,"limits":{"max_message_bytes":65536,"queue_messages":256},"server":{"name":"fanfare","version":"0.1.0","id":"localhost"},"timestamp":"1970-01-01T00:00:00.000Z"}}"#
        );
    }

    #[test]
    fn it_tells_who_and_that_it_was_resumed() {
        let mut out = vec![];
        let user = Some(WelcomeUser { id: "7", username: "ann" });
        welcome(&mut out, &Welcome { user, resumed: true, ..WELCOME });
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains(r#""user":{"id":"7","username":"ann"},"resumed":true,"heartbeat_ms""#),
            "{text}"
        );
    }
}
