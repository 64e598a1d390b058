//! Direct messages.

use super::LogId;
use crate::error::{Result, StoreError};

/// A direct message; all texts as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// UUIDv7 made by the sender.
    pub id: String,
    /// Username.
    pub from_user: String,
    /// Username.
    pub to_user: String,
    /// Ciphertext.
    pub content: String,
    /// Of the content's key.
    pub encrypted_key: Option<String>,
    /// Of the content.
    pub encryption_nonce: Option<String>,
    /// The sender's.
    pub signature: Option<String>,
    /// `sent`, `delivered`, `read`.
    pub status: String,
    /// Milliseconds since 1970.
    pub timestamp: i64,
    /// The sender's own number.
    pub seq: Option<i64>,
    /// The whole envelope: decides whether the same id means the same message.
    pub envelope: String,
}

impl NewMessage {
    /// Refuses what a text of PostgreSQL cannot hold, before it is in a batch with others.
    pub(crate) fn check(&self) -> Result<()> {
        let optional = [&self.encrypted_key, &self.encryption_nonce, &self.signature].into_iter().flatten();
        let texts = [&self.id, &self.from_user, &self.to_user, &self.content, &self.status, &self.envelope];
        let bad = texts.into_iter().chain(optional).any(|text| text.contains('\0'));
        if bad { Err(StoreError::Invalid("a text holds U+0000")) } else { Ok(()) }
    }

    /// What it weighs in a batch, bytes.
    pub(crate) fn weight(&self) -> usize {
        128 + self.id.len() + self.content.len() + self.envelope.len()
    }
}

/// A kept direct message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The recipient's mailbox.
    pub mailbox: LogId,
    /// Number of its entry in the mailbox.
    pub seq: u64,
    /// What was appended.
    pub message: NewMessage,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is kept.
    New {
        /// Number of its entry in the recipient's mailbox.
        seq: u64,
    },
    /// The same message was kept before.
    Duplicate {
        /// Number of its entry in the recipient's mailbox.
        seq: u64,
    },
    /// Another message has this id.
    IdConflict,
}
