//! Fanfare's client side: an SDK for the typed dialect (protocol.md 1-3, 5, 6) and the commands built on it.
//!
//! [`Client::connect`] opens a session and returns a cheap handle for requests and a [`Notices`] stream for unsolicited
//! frames. One task per session (`driver`) owns the socket: requests reach it through a bounded queue, replies are
//! matched by request id, events leave through a bounded queue. A reader that falls behind stops the reads from the
//! socket, so backpressure reaches the server instead of memory.
//!
//! A lost connection is replaced with exponential backoff and full jitter. The session is resumed and every
//! subscription restored from the position last seen, so that a subscriber misses nothing that the server's history
//! still holds, and is notified ([`Notice::Resubscribed`]) when messages are missing. Close codes that forbid a retry
//! end the client.
//!
//! ```no_run
//! use fanfare_client::{Client, Error, Notice, Options, StartFrom};
//!
//! # async fn example() -> Result<(), Error> {
//! let (client, mut notices) = Client::connect("ws://localhost:8080/ws", Options::default()).await?;
//! client.subscribe("news", StartFrom::Last(20)).await?;
//! while let Some(notice) = notices.recv().await {
//!     if let Notice::Event(event) = notice {
//!         assert_eq!(event.topic, "news");
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod backoff;
#[cfg(feature = "cli")]
mod bench;
mod client;
mod close;
mod driver;
mod error;
mod options;
mod proof;
mod socket;
mod subscriptions;
mod target;
mod transport;
mod trust;
mod wire;

#[cfg(feature = "cli")]
pub mod commands;

pub use client::{Client, Notice, Notices};
pub use close::{CloseReason, Retry};
pub use error::{Error, ServerError};
pub use options::{Options, PublishOptions, StartFrom};
pub use proof::ProofOnly;
pub use trust::{InvalidPin, Pin, Trust};
pub use wire::{Event, Info, Limits, Position, Published, ServerIdentity, Subscribed, User, Welcome};
