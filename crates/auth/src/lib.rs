//! How a caller proves who they are, without HTTP, sockets to clients, or a database.
//!
//! Texts from strangers come in; a name, a verdict or a sealed text goes out. Whoever calls keeps the rows: users,
//! sessions, hashes of refresh tokens and API keys, and what may be used once only (a challenge's nonce, a ticket's id).
//!
//! | Module | Proves |
//! |---|---|
//! | [`username`], [`password`] | a local account by a password |
//! | [`challenge`] | a local account by its identity key |
//! | [`token`], [`refresh`] | a login made here before |
//! | [`ticket`] | that someone who was logged in fetched it for this page |
//! | [`api_key`] | the app's own backend |
//! | [`issuers`] | a user of the app's own login service |
//! | [`backoff`] | nothing: it slows those who guess |
//!
//! What must always hold: time is a parameter (only fetching and hashing take their own), secrets are compared in constant
//! time and have no readable `Debug`, every text from outside has a bound, and one answer stands for everything that could
//! tell a stranger which part was wrong.

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
