//! The data of a session: `session.set` and `session.get`.

use super::data::{Data, Full, MAX_KEYS};
use super::sessions::ended;
use super::{SessionCode, Sessions};
use crate::model::{ErrorCode, Refusal};

impl Sessions {
    /// Keeps a JSON value as it was sent; `null` takes the key away. Answers the bytes now kept.
    ///
    /// # Errors
    /// `LIMIT_EXCEEDED` over `session.max_data_bytes` or 1024 keys, `NOT_FOUND` when the session has ended. Nothing
    /// changes.
    pub fn set(&self, code: SessionCode, key: &str, raw_json: &str, now: u64) -> Result<usize, Refusal> {
        let mut shard = self.shard(code);
        let session = shard.get(code, &self.limits, now).ok_or_else(ended)?;
        let bytes = if raw_json == "null" {
            if let Some(data) = &mut session.data {
                data.remove(key);
            }
            if session.data.as_ref().is_some_and(|d| d.is_empty()) {
                session.data = None;
            }
            session.data.as_ref().map_or(0, |d| d.bytes())
        } else {
            let mut fresh = None;
            let data = session.data.as_mut().unwrap_or_else(|| fresh.insert(Box::<Data>::default()));
            data.set(key, raw_json, self.limits.max_data_bytes).map_err(|full| self.full(full))?;
            let bytes = data.bytes();
            if fresh.is_some() {
                session.data = fresh;
            }
            bytes
        };
        shard.used(code, now);
        Ok(bytes)
    }

    /// A value's JSON as it was sent; nothing when there is none or the session has ended.
    pub fn get(&self, code: SessionCode, key: &str, now: u64) -> Option<Box<str>> {
        let mut shard = self.shard(code);
        shard.get(code, &self.limits, now)?.data.as_ref()?.get(key).map(Into::into)
    }

    /// All keys and values in order of the keys.
    pub fn all(&self, code: SessionCode, now: u64) -> Vec<(Box<str>, Box<str>)> {
        let mut shard = self.shard(code);
        let data = shard.get(code, &self.limits, now).and_then(|s| s.data.as_ref());
        data.map(|d| d.iter().map(|(k, v)| (k.into(), v.into())).collect()).unwrap_or_default()
    }

    fn full(&self, full: Full) -> Refusal {
        let message = match full {
            Full::Bytes => {
                format!(
                    "session data may have {} bytes in all (`session.max_data_bytes`)",
                    self.limits.max_data_bytes
                )
            }
            Full::Keys => format!("a session may have {MAX_KEYS} keys"),
        };
        Refusal::new(ErrorCode::LimitExceeded, message)
    }
}
