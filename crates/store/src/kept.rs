//! Small things the server keeps: settings fixed once, origins it served under, one-time keys, API keys, topics made by
//! hand, and the housekeeping over all tables.

use crate::Store;
use crate::error::{Result, StoreError};
use crate::model::{ApiKeyRow, KeptTopic};
use crate::sql::{Row, Sql, values};
use crate::text::{escaped, unescaped};

/// How long an ended login is remembered, milliseconds (30 days).
const ENDED_KEPT: i64 = 30 * 24 * 3_600_000;

fn setting(sql: &mut dyn Sql, name: &str) -> Result<Option<String>> {
    let row = sql.one("SELECT value FROM settings WHERE name = $1", values![name])?;
    row.map(|row| row.text(0)).transpose()
}

fn read_api_key(row: &Row) -> Result<ApiKeyRow> {
    Ok(ApiKeyRow { name: row.text(0)?, hash: row.bytes(1)?, scopes: row.text(2)?, created_at: row.int(3)? })
}

impl Store {
    /// A setting's text.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        let name = name.to_owned();
        self.read(move |sql| setting(sql, &name)).await
    }

    /// Sets what has not been set; answers what is kept, the first value whoever set it.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn set_setting_once(&self, name: &str, value: &str) -> Result<String> {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.write(move |sql| {
            sql.execute(
                "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                values![&name, &value],
            )?;
            setting(sql, &name)?
                .ok_or_else(|| StoreError::unreadable(&format!("setting {name} is gone after it was set")))
        })
        .await
    }

    /// Remembers an origin this store served under.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn add_origin(&self, origin: &str, now: i64) -> Result<()> {
        let origin = origin.to_owned();
        self.write(move |sql| {
            sql.execute(
                "INSERT INTO origins (origin, first_seen) VALUES ($1, $2) ON CONFLICT (origin) DO NOTHING",
                values![&origin, now],
            )?;
            Ok(())
        })
        .await
    }

    /// Origins this store served under, oldest first.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn origins(&self) -> Result<Vec<String>> {
        self.read(|sql| {
            let rows = sql.query("SELECT origin FROM origins ORDER BY first_seen, origin", &[])?;
            rows.iter().map(|row| row.text(0)).collect()
        })
        .await
    }

    /// Uses a one-time key up. False: it was used before, here or before a restart. It is remembered until
    /// `expires_at`, when whatever it protects must have ended by itself.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn use_once(&self, kind: &'static str, key: &[u8], now: i64, expires_at: i64) -> Result<bool> {
        if expires_at <= now {
            return Ok(false);
        }
        let key = key.to_vec();
        self.write(move |sql| {
            let used = sql.execute(
                "INSERT INTO used_once (kind, key, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                values![kind, key.as_slice(), expires_at],
            )?;
            Ok(used == 1)
        })
        .await
    }

    /// Whether a one-time key was used up and is still remembered.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn is_used(&self, kind: &'static str, key: &[u8], now: i64) -> Result<bool> {
        let key = key.to_vec();
        self.read(move |sql| {
            let asked = "SELECT 1 FROM used_once WHERE kind = $1 AND key = $2 AND expires_at > $3";
            Ok(sql.one(asked, values![kind, key.as_slice(), now])?.is_some())
        })
        .await
    }

    /// Keeps an API key's hash.
    ///
    /// # Errors
    /// `Conflict("name")` when the name is taken.
    pub async fn create_api_key(&self, k: ApiKeyRow) -> Result<()> {
        self.write(move |sql| {
            let made = sql.execute(
                "INSERT INTO api_keys (name, hash, scopes, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO NOTHING",
                values![&k.name, &k.hash, &k.scopes, k.created_at],
            )?;
            if made == 1 { Ok(()) } else { Err(StoreError::Conflict("name")) }
        })
        .await
    }

    /// The API key with this hash.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn api_key(&self, hash: [u8; 32]) -> Result<Option<ApiKeyRow>> {
        self.read(move |sql| {
            let row = sql
                .one("SELECT name, hash, scopes, created_at FROM api_keys WHERE hash = $1", values![&hash])?;
            row.as_ref().map(read_api_key).transpose()
        })
        .await
    }

    /// All API keys, by name.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn api_keys(&self) -> Result<Vec<ApiKeyRow>> {
        self.read(|sql| {
            let rows = sql.query("SELECT name, hash, scopes, created_at FROM api_keys ORDER BY name", &[])?;
            rows.iter().map(read_api_key).collect()
        })
        .await
    }

    /// Deletes an API key; false when there is none.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn delete_api_key(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.write(move |sql| Ok(sql.execute("DELETE FROM api_keys WHERE name = $1", values![&name])? == 1))
            .await
    }

    /// Keeps a topic, or changes what is kept of it.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn keep_topic(&self, t: KeptTopic) -> Result<()> {
        self.write(move |sql| {
            sql.execute(
                "INSERT INTO topics (name, backpressure, durable, history_size, history_ttl_ms, history_topic_bytes,
                   created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (name) DO UPDATE SET backpressure = excluded.backpressure, durable = excluded.durable,
                   history_size = excluded.history_size, history_ttl_ms = excluded.history_ttl_ms,
                   history_topic_bytes = excluded.history_topic_bytes",
                values![
                    &*escaped(&t.name),
                    &t.backpressure,
                    &t.durable.map(i64::from),
                    &t.history_size.map(u64::cast_signed),
                    &t.history_ttl_ms.map(u64::cast_signed),
                    &t.history_topic_bytes.map(u64::cast_signed),
                    t.created_at
                ],
            )?;
            Ok(())
        })
        .await
    }

    /// Forgets a kept topic.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn forget_topic(&self, name: &str) -> Result<()> {
        let name = escaped(name).into_owned();
        self.write(move |sql| {
            sql.execute("DELETE FROM topics WHERE name = $1", values![&name])?;
            Ok(())
        })
        .await
    }

    /// All kept topics, by name.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn kept_topics(&self) -> Result<Vec<KeptTopic>> {
        self.read(|sql| {
            let rows = sql.query(
                "SELECT name, backpressure, durable, history_size, history_ttl_ms, history_topic_bytes, created_at
                 FROM topics ORDER BY name",
                &[],
            )?;
            rows.iter()
                .map(|row| {
                    Ok(KeptTopic {
                        name: unescaped(row.text(0)?),
                        backpressure: row.maybe_text(1)?,
                        durable: row.maybe_int(2)?.map(|durable| durable != 0),
                        history_size: row.maybe_int(3)?.map(i64::cast_unsigned),
                        history_ttl_ms: row.maybe_int(4)?.map(i64::cast_unsigned),
                        history_topic_bytes: row.maybe_int(5)?.map(i64::cast_unsigned),
                        created_at: row.int(6)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Removes what nobody asks for any more: expired one-time keys and refresh tokens, logins that ended or expired
    /// more than 30 days ago.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn sweep(&self, now: i64) -> Result<()> {
        self.write(move |sql| {
            sql.execute("DELETE FROM used_once WHERE expires_at <= $1", values![now])?;
            sql.execute("DELETE FROM refresh_tokens WHERE expires_at <= $1", values![now])?;
            sql.execute(
                "DELETE FROM auth_sessions WHERE ended_at < $1 OR expires_at < $1",
                values![now.saturating_sub(ENDED_KEPT)],
            )?;
            Ok(())
        })
        .await
    }
}
