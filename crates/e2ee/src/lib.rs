//! The encodings, key checks and transcripts that clients and server must agree on byte for byte, so that no client has
//! to trust the server with its keys.
//!
//! Data flows one way: bytes and names come in, [`pae`] makes one unambiguous transcript of them, and a signature, a key
//! id, a log hash or a safety number comes out. Nothing here draws randomness, keeps state or holds a private key, so the
//! server can check what clients promise each other and any client can link it.
//!
//! Invariants: only decoded bytes are compared and signed, never their text; every transcript begins with its own
//! label; an [`IdentityKey`] or [`EncryptionKey`] has passed its checks; every Ed25519 verification is strict. The
//! vectors in `vectors/` pin these bytes for other languages.

pub mod b64;
mod keys;
mod log;
mod pae;
mod safety;

pub use keys::{
    EncryptionKey, IdentityKey, KeyError, KeyKind, key_binding_text, kid, verify, verify_key_binding,
};
pub use log::{NO_PREVIOUS, key_log_hash, key_log_text};
pub use pae::pae;
pub use safety::{DeviceKeys, safety_number};
