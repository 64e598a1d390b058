//! Public keys of devices and the log of their changes. A key and its entry in the log are written together or not at all.

use crate::Store;
use crate::error::{Result, StoreError};
use crate::logins::{end_of_user, holds};
use crate::model::{DeviceKeys, KeyLogEntry, KeysPut, Proven};
use crate::sql::{Sql, values};

/// Changes of keys that a user may make within [`WINDOW_MS`] (`accounts-and-messages.md` "Keys"). The first key does
/// not count.
const MAX_CHANGES: u32 = 10;
/// An hour.
const WINDOW_MS: i64 = 3_600_000;

/// When a user may change keys again; `None` if at once.
fn again_at(sql: &mut dyn Sql, user_id: &str, now: i64) -> Result<Option<i64>> {
    let row = sql.one(
        "SELECT COUNT(*), MIN(at) FROM (
           SELECT at FROM key_log WHERE user_id = $1 AND n > 1 AND at > $2 ORDER BY n DESC LIMIT $3) AS recent",
        values![user_id, now.saturating_sub(WINDOW_MS), MAX_CHANGES],
    )?;
    let Some(row) = row else { return Ok(None) };
    if row.int(0)? < MAX_CHANGES.into() {
        return Ok(None);
    }
    Ok(row.maybe_int(1)?.map(|oldest| oldest.saturating_add(WINDOW_MS)))
}

/// Adds keys and their log entry to the unit. The log is dense: an entry that is not the next is a conflict.
pub(crate) fn put(sql: &mut dyn Sql, user_id: &str, keys: &DeviceKeys, entry: &KeyLogEntry) -> Result<()> {
    let taken = sql.one(
        "SELECT 1 FROM user_keys WHERE (ik = $1 OR ek = $2) AND NOT (user_id = $3 AND device_id = $4)",
        values![&keys.ik, &keys.ek, user_id, &keys.device_id],
    )?;
    if taken.is_some() {
        return Err(StoreError::Conflict("public_key"));
    }
    let logged = sql.execute(
        "INSERT INTO key_log (user_id, n, action, device_id, ik, ek, binding, prev_hash, rotation, at)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
         WHERE (SELECT COALESCE(MAX(n), 0) FROM key_log WHERE user_id = $1) + 1 = $2",
        values![
            user_id,
            entry.n,
            &entry.action,
            &entry.device_id,
            &entry.ik,
            &entry.ek,
            &entry.binding,
            &entry.prev_hash,
            &entry.rotation,
            entry.at,
        ],
    )?;
    if logged != 1 {
        return Err(StoreError::Conflict("n"));
    }
    sql.execute(
        "INSERT INTO user_keys (user_id, device_id, ik, ek, key_binding, created_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (user_id, device_id) DO UPDATE SET
           ik = excluded.ik, ek = excluded.ek, key_binding = excluded.key_binding, created_at = excluded.created_at",
        values![user_id, &keys.device_id, &keys.ik, &keys.ek, &keys.key_binding, keys.created_at],
    )?;
    Ok(())
}

impl Store {
    /// Keys of a user's devices, by device.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn device_keys(&self, user_id: &str) -> Result<Vec<DeviceKeys>> {
        let user_id = user_id.to_owned();
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT device_id, ik, ek, key_binding, created_at FROM user_keys WHERE user_id = $1
                 ORDER BY device_id",
                values![&user_id],
            )?;
            rows.iter()
                .map(|row| {
                    Ok(DeviceKeys {
                        device_id: row.text(0)?,
                        ik: row.bytes(1)?,
                        ek: row.bytes(2)?,
                        key_binding: row.maybe_bytes(3)?,
                        created_at: row.int(4)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// The newest entries of a user's key log below the entry `before`, in ascending order of `n`; at most `limit`.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn key_log(&self, user_id: &str, before: Option<i64>, limit: u32) -> Result<Vec<KeyLogEntry>> {
        let (user_id, before) = (user_id.to_owned(), before.unwrap_or(i64::MAX));
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT n, action, device_id, ik, ek, binding, prev_hash, rotation, at FROM key_log
                 WHERE user_id = $1 AND n < $2 ORDER BY n DESC LIMIT $3",
                values![&user_id, before, limit],
            )?;
            rows.iter()
                .rev()
                .map(|row| {
                    Ok(KeyLogEntry {
                        n: row.int(0)?,
                        action: row.text(1)?,
                        device_id: row.text(2)?,
                        ik: row.bytes(3)?,
                        ek: row.bytes(4)?,
                        binding: row.maybe_bytes(5)?,
                        prev_hash: row.bytes(6)?,
                        rotation: row.maybe_bytes(7)?,
                        at: row.int(8)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Adds or replaces a device's keys, with the next entry of the user's log. `replaces`: the identity key changes,
    /// which ends all logins of the user except the one of `proven`.
    ///
    /// # Errors
    /// `Conflict("n")` when the entry is not the next one, `Conflict("public_key")` when a key belongs to another device.
    pub async fn put_keys(
        &self,
        user_id: &str,
        proven: Proven,
        keys: DeviceKeys,
        entry: KeyLogEntry,
        replaces: bool,
    ) -> Result<KeysPut> {
        let user_id = user_id.to_owned();
        self.write(move |sql| {
            if !holds(sql, &user_id, &proven)? {
                return Ok(KeysPut::Unproven);
            }
            if let Some(again_at) = again_at(sql, &user_id, entry.at)? {
                return Ok(KeysPut::TooOften { again_at });
            }
            put(sql, &user_id, &keys, &entry)?;
            if !replaces {
                return Ok(KeysPut::Done(Vec::new()));
            }
            let kept = proven.session_id.as_deref();
            end_of_user(sql, &user_id, kept, "key_replaced", entry.at).map(KeysPut::Done)
        })
        .await
    }
}
