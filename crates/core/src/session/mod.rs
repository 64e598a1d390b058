//! Sessions: a name for a client that outlives its connections (seed 000, `protocol.md` 3.1 and 6).
//!
//! ```text
//! handshake ── open ──────────────┐                      ┌── detach ── (ttl) ── sweep
//!          └── resume(code,token) ┴─ generation ─ attach ┴── renew (login: a new code) / end
//! ```
//!
//! [`Sessions`] holds them in memory, in shards of a lock each; nothing here waits, and no lock is held while another is
//! taken. What must always hold: a client never chooses a code; what is stored per token is its generation alone; of two
//! sockets of one session the one with the newer generation stays; a session costs less than 300 bytes when nobody uses it.

mod code;
mod data;
mod draw;
mod guard;
mod kept;
mod port;
mod sessions;
mod shard;
mod token;
mod types;
mod values;

#[cfg(test)]
mod tests;

pub use code::SessionCode;
pub use draw::NoRandomness;
pub use guard::{MAX_FAILURES, ResumeGuard, WINDOW_MS};
pub use kept::{KeptSession, read_text, write_text};
pub use port::SessionPort;
pub use sessions::Sessions;
pub use token::Generation;
pub use types::{
    Attach, ConnAddr, Opened, Resume, ResumeRefused, Resumed, SessionInfo, SessionLimits, SessionState,
};
