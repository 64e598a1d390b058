//! Authentication of callers, without HTTP, client sockets, or a database.
//!
//! Untrusted texts come in; a name, a result or a sealed text goes out. The caller keeps the rows: users, logins,
//! hashes of refresh tokens and API keys, and single-use values (a challenge's nonce, a ticket's id).
//!
//! | Module | Proves |
//! |---|---|
//! | [`username`], [`password`] | a local account by a password |
//! | [`challenge`] | a local account by its identity key |
//! | [`token`], [`refresh`] | a login made here before |
//! | [`ticket`] | that a logged-in user fetched it for this page |
//! | [`api_key`] | the app's own backend |
//! | [`issuers`] | a user of the app's own login service |
//! | [`backoff`] | nothing: it slows down guessing |
//!
//! Invariants: time is a parameter (only fetching and hashing measure their own), secrets are compared in constant time
//! and have no readable `Debug`, every text from outside has a bound, and one error stands for all cases that would
//! reveal to an attacker which part was wrong.

pub mod api_key;
pub mod backoff;
pub mod challenge;
pub mod issuers;
mod jws;
pub mod password;
pub mod refresh;
mod secret;
pub mod ticket;
pub mod token;
pub mod username;

pub use secret::NoRandom;
