//! Dialects: pure decoding and encoding of the languages clients speak.
//!
//! A dialect turns a text to a [`fanfare_core::model::Command`] and replies, events and infos to texts. It knows no socket,
//! no frame and no hub; everything it appends goes to a buffer of the caller. The encoding of an event is the same for all
//! subscribers, so that it is made once.

pub mod feed;
mod info;
pub mod json;
pub mod jsonrpc;
pub mod scan;
pub mod typed;
mod welcome;

use fanfare_core::model::{Body, EventView, Refusal};
use fanfare_core::ports::Info;
pub use welcome::{Welcome, WelcomeLimits, WelcomeServer};

/// What the server says unasked, in one language. Each call appends one message's text.
pub trait Dialect: Send + Sync + 'static {
    /// An event of a topic.
    fn event(&self, event: &EventView<'_>, out: &mut Vec<u8>);
    /// An object whose members are written already; those of a feed's record by [`feed::write_body`].
    fn body(&self, body: &Body<'_>, out: &mut Vec<u8>);
    /// An info.
    fn info(&self, info: &Info<'_>, now_ms: u64, out: &mut Vec<u8>);
    /// An error that answers no command.
    fn error(&self, refusal: &Refusal, now_ms: u64, out: &mut Vec<u8>);
    /// What the app's backend sends to one session or to all; `payload` is JSON.
    fn session_message(&self, payload: &str, now_ms: u64, out: &mut Vec<u8>);
    /// The first message of a connection.
    fn welcome(&self, welcome: &Welcome<'_>, now_ms: u64, out: &mut Vec<u8>);
}
