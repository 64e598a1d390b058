//! Direct messages: entries of their recipient's mailbox, with a row beside each for queries of a message.
//!
//! The mailbox is a log of [`Space::Inbox`], the entry's payload is the envelope. Both are written in one batch, so a
//! message has a row exactly if it has an entry. The id is unique across all mailboxes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::Store;
use crate::error::{Result, StoreError};
use crate::model::{Appended, LogId, Message, NewMessage, Receipt, Space};
use crate::sql::{Bulk, Column, Run, values};

/// Mailboxes whose numbers are cached.
const REMEMBERED: usize = 16_384;

const FIND: Bulk = Bulk {
    one: "SELECT m.id, m.entry, e.time, e.node, e.payload FROM messages m
          LEFT JOIN log_entries e ON e.log = m.log AND e.seq = m.entry WHERE m.id = $1",
    many: "SELECT m.id, m.entry, e.time, e.node, e.payload FROM messages m
           LEFT JOIN log_entries e ON e.log = m.log AND e.seq = m.entry WHERE m.id = ANY($1::text[])",
};
const INSERT: Bulk = Bulk {
    one: "INSERT INTO messages (log, entry, id, from_user, to_user, content, encrypted_key, encryption_nonce, signature,
                                status, timestamp, seq)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    many: "INSERT INTO messages (log, entry, id, from_user, to_user, content, encrypted_key, encryption_nonce, signature,
                                 status, timestamp, seq)
           SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                                $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[])",
};

/// Finds stored messages by the ids of new ones: id, entry, time and node of the entry, envelope.
pub(crate) fn find<'a>(messages: impl Iterator<Item = &'a NewMessage>) -> Run<'a> {
    let ids = messages.map(|message| Some(message.id.as_str())).collect();
    Run { bulk: &FIND, columns: vec![Column::Texts(ids)] }
}

/// Inserts the rows beside new entries: mailbox, number, message.
pub(crate) fn insert<'a>(rows: impl Iterator<Item = (LogId, u64, &'a NewMessage)>) -> Run<'a> {
    let rows: Vec<_> = rows.collect();
    let text = |of: fn(&NewMessage) -> &str| Column::Texts(rows.iter().map(|row| Some(of(row.2))).collect());
    let maybe =
        |of: fn(&NewMessage) -> Option<&str>| Column::Texts(rows.iter().map(|row| of(row.2)).collect());
    let columns = vec![
        Column::Ints(rows.iter().map(|row| Some(row.0.0)).collect()),
        Column::Ints(rows.iter().map(|row| i64::try_from(row.1).ok()).collect()),
        text(|m| &m.id),
        text(|m| &m.from_user),
        text(|m| &m.to_user),
        text(|m| &m.content),
        maybe(|m| m.encrypted_key.as_deref()),
        maybe(|m| m.encryption_nonce.as_deref()),
        maybe(|m| m.signature.as_deref()),
        text(|m| &m.status),
        Column::Ints(rows.iter().map(|row| Some(row.2.timestamp)).collect()),
        Column::Ints(rows.iter().map(|row| row.2.seq).collect()),
    ];
    Run { bulk: &INSERT, columns }
}

/// A cache of the numbers of mailboxes, so that an append need not query them.
#[derive(Default)]
pub(crate) struct Mailboxes {
    known: Mutex<HashMap<String, LogId>>,
}

impl Mailboxes {
    fn get(&self, user: &str) -> Option<LogId> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(user).copied()
    }

    fn put(&self, user: &str, log: LogId) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(user.to_owned(), log);
    }

    fn forget(&self, user: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(user);
    }
}

impl Store {
    /// Appends a direct message to its recipient's mailbox, which is created if it does not exist; returns after the
    /// commit. The same id with the same envelope is the same message.
    ///
    /// # Errors
    /// As [`Self::append`]; `Invalid` when a text holds U+0000.
    pub async fn append_message(&self, m: NewMessage) -> Result<Appended> {
        m.check()?;
        let mut retried = false;
        loop {
            let log = self.mailbox(&m.to_user).await?;
            match self.append_beside(log, m.clone()).await {
                Ok(Receipt { seq, repeated: false, .. }) => return Ok(Appended::New { seq }),
                Ok(Receipt { seq, .. }) => return Ok(Appended::Duplicate { seq }),
                Err(StoreError::Conflict(_)) => return Ok(Appended::IdConflict),
                // The mailbox was dropped after its number was cached.
                Err(StoreError::NoLog) if !retried => self.mailboxes.forget(&m.to_user),
                Err(error) => return Err(error),
            }
            retried = true;
        }
    }

    async fn mailbox(&self, user: &str) -> Result<LogId> {
        if let Some(log) = self.mailboxes.get(user) {
            return Ok(log);
        }
        let (head, _) = self.open_log(Space::Inbox, user).await?;
        self.mailboxes.put(user, head.id);
        Ok(head.id)
    }

    /// The message with this id.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn message(&self, id: &str) -> Result<Option<Message>> {
        let id = id.to_owned();
        self.read(move |sql| {
            let row = sql.one(
                "SELECT m.log, m.entry, m.id, m.from_user, m.to_user, m.content, m.encrypted_key, m.encryption_nonce,
                        m.signature, m.status, m.timestamp, m.seq, e.payload
                 FROM messages m JOIN log_entries e ON e.log = m.log AND e.seq = m.entry WHERE m.id = $1",
                values![&id],
            )?;
            let Some(mut row) = row else { return Ok(None) };
            let envelope = String::from_utf8(row.take_bytes(12)?)
                .map_err(|_| StoreError::unreadable("an envelope is not UTF-8"))?;
            Ok(Some(Message {
                mailbox: LogId(row.int(0)?),
                seq: row.int(1)?.unsigned_abs(),
                message: NewMessage {
                    id: row.text(2)?,
                    from_user: row.text(3)?,
                    to_user: row.text(4)?,
                    content: row.text(5)?,
                    encrypted_key: row.maybe_text(6)?,
                    encryption_nonce: row.maybe_text(7)?,
                    signature: row.maybe_text(8)?,
                    status: row.text(9)?,
                    timestamp: row.int(10)?,
                    seq: row.maybe_int(11)?,
                    envelope,
                },
            }))
        })
        .await
    }

    /// The number of stored direct messages.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn count_messages(&self) -> Result<u64> {
        self.read(|sql| {
            let row = sql.one("SELECT COUNT(*) FROM messages", &[])?;
            row.map_or(Ok(0), |row| Ok(row.int(0)?.unsigned_abs()))
        })
        .await
    }
}
