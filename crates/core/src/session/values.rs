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
    ///
    /// Where the data of all sessions would be more than `session.data_total_bytes`, that of others goes first
    /// ([`Sessions::free_data`]).
    pub fn set(&self, code: SessionCode, key: &str, raw_json: &str, now: u64) -> Result<usize, Refusal> {
        loop {
            let (full, for_user) = match self.try_set(code, key, raw_json, now)? {
                Ok(bytes) => return Ok(bytes),
                Err(full) => full,
            };
            let Full::Total(more) = full else { return Err(self.full(full)) };
            if !self.free_data(more, for_user) {
                return Err(self.full(full));
            }
        }
    }

    /// The same without making room: what is full, and whether the session has a user.
    fn try_set(
        &self,
        code: SessionCode,
        key: &str,
        raw_json: &str,
        now: u64,
    ) -> Result<Result<usize, (Full, bool)>, Refusal> {
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
            let (mut fresh, owned) = (None, session.user.is_some());
            let new = || Box::new(Data::new(self.totals.clone(), owned));
            let data = session.data.as_mut().unwrap_or_else(|| fresh.insert(new()));
            if let Err(full) =
                data.set(key, raw_json, self.limits.max_data_bytes, self.limits.data_total_bytes)
            {
                return Ok(Err((full, owned)));
            }
            let bytes = data.bytes();
            if fresh.is_some() {
                session.data = fresh;
            }
            bytes
        };
        shard.used(code, now);
        Ok(Ok(bytes))
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
            Full::Total(_) => {
                "the sessions together hold as much data as `session.data_total_bytes` allows".to_owned()
            }
        };
        Refusal::new(ErrorCode::LimitExceeded, message)
    }
}
