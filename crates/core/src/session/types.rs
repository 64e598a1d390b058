//! What goes into and comes out of the session manager.

use super::{Generation, SessionCode};
pub use crate::hub::ConnAddr;

/// What sessions may cost (`session.*` of the configuration). Times are milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionLimits {
    /// How long a session with data or a user lives without a socket: `session.ttl`.
    pub ttl_ms: u64,
    /// How long any other lives without a socket: `session.detached_ttl`.
    pub detached_ttl_ms: u64,
    /// Most sessions at a time: `session.max`.
    pub max: usize,
    /// Bytes of keys and values in one session: `session.max_data_bytes`.
    pub max_data_bytes: usize,
    /// Bytes of the data of all sessions together: `session.data_total_bytes`.
    pub data_total_bytes: usize,
}

/// A new session, or one under a new code.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its name.
    pub code: SessionCode,
    /// To attach with.
    pub generation: Generation,
    /// What resumes it; shown to its client once, stored nowhere.
    pub token: String,
}

/// What a client asks to resume.
#[derive(Clone, Copy, Debug)]
pub struct Resume<'a> {
    /// The code as it was sent.
    pub code: &'a str,
    /// The token as it was sent.
    pub token: &'a str,
    /// The id of the user another credential of the same request proves, if one does: it must not be a different user's
    /// session.
    pub user: Option<&'a str>,
}

/// A resumed session.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// Its name as the server writes it.
    pub code: SessionCode,
    /// To attach with; newer than any before.
    pub generation: Generation,
    /// The next token.
    pub token: String,
    /// The id of the user it belongs to.
    pub user: Option<Box<str>>,
    /// The socket it still has: it is closed with 4409 when the new one attaches.
    pub previous: Option<ConnAddr>,
}

/// A resume was refused. Every reason answers alike (401).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeRefused {
    /// Whether it counts as a guess for the [`super::ResumeGuard`]: not for a token this server sealed for a session that
    /// is gone.
    pub counted: bool,
    /// Whether this server sealed the token. Such a token is never refused unread, however many guesses its address has made.
    pub unsealed: bool,
    /// A token of an older generation ended the session; this was its socket, to be closed with 4401.
    pub revoked: Option<ConnAddr>,
}

/// The outcome of [`super::Sessions::attach`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// The session has this socket now.
    Attached {
        /// Its socket before, to be closed with 4409.
        replaced: Option<ConnAddr>,
    },
    /// A newer resume won while this socket was on its way: close it with 4409.
    Superseded,
    /// The session ended meanwhile: close with 4401.
    Gone,
}

/// Whether a session is there and has a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// There is none of this code.
    Unknown,
    /// It waits for its client.
    Detached,
    /// It has a socket.
    At(ConnAddr),
}

/// The fields of `session.get` besides the data. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The name.
    pub code: SessionCode,
    /// When it was opened.
    pub created_at: u64,
    /// When it was last used.
    pub last_seen: u64,
}
