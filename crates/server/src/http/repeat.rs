//! `Idempotency-Key` on creations: a repeat gets the first answer, with another body a conflict (`http-api.md`).
//!
//! Keys are scoped to whoever sends them; anonymous ones to the address. They are kept for a day, at most
//! [`MAX_KEYS`] of them; the oldest go. They end with what they made: a repeat never tells of something that was deleted.

use super::problem::Problem;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

const MAX_KEYS: usize = 10_000;
const MAX_KEY_BYTES: usize = 128;
const TTL_MS: u64 = 24 * 3600 * 1000;

/// What was answered to a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
    /// What was made: when it is deleted, the keys that made it are forgotten.
    pub(super) made: String,
}

#[derive(Debug, Default)]
pub(crate) struct Repeats {
    hasher: std::hash::RandomState,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    first: HashMap<String, (u64, Answer)>,
    order: VecDeque<(u64, String)>,
}

/// The request's `Idempotency-Key`, if it has one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key)),
        _ => Err(Problem::invalid("Idempotency-Key", "Idempotency-Key is 1 to 128 visible ASCII characters")),
    }
}

impl Repeats {
    /// Answers a creation: the first time by `create`, which must not wait; then by what was answered. Refusals are not
    /// kept, so a corrected request can use its key again.
    pub(super) fn once(
        &self,
        key: Option<String>,
        body: &str,
        now_ms: u64,
        create: impl FnOnce() -> Result<Answer, Problem>,
    ) -> Result<Answer, Problem> {
        let Some(key) = key else { return create() };
        let hash = self.hasher.hash_one(body);
        let mut kept = self.kept.lock();
        kept.sweep(now_ms);
        if let Some((of, answer)) = kept.first.get(&key) {
            return match *of == hash {
                true => Ok(answer.clone()),
                false => {
                    let detail = "this Idempotency-Key was used with another body";
                    Err(Problem::new(StatusCode::CONFLICT, "conflict", detail))
                }
            };
        }
        let answer = create()?;
        kept.order.push_back((now_ms + TTL_MS, key.clone()));
        kept.first.insert(key, (hash, answer.clone()));
        Ok(answer)
    }
}

impl Repeats {
    /// Forgets the keys that made something which is gone now.
    pub(super) fn forget(&self, made: &str) {
        let Kept { first, order } = &mut *self.kept.lock();
        first.retain(|_, (_, answer)| answer.made != made);
        order.retain(|(_, key)| first.contains_key(key));
    }
}

impl Kept {
    fn sweep(&mut self, now_ms: u64) {
        while self.order.len() >= MAX_KEYS || self.order.front().is_some_and(|(ends, _)| *ends <= now_ms) {
            let Some((_, key)) = self.order.pop_front() else { return };
            self.first.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_answered_alike_and_another_body_conflicts() {
        let repeats = Repeats::default();
        let created = || Ok(Answer { status: StatusCode::CREATED, body: "1".into(), made: "topic 1".into() });
        let never = || panic!("created twice");
        let key = || Some("k".to_owned());
        let first = repeats.once(key(), "a", 0, created).unwrap();
        assert_eq!(repeats.once(key(), "a", 5, never).unwrap(), first);
        assert_eq!(repeats.once(key(), "b", 5, never).unwrap_err().status, StatusCode::CONFLICT);
        assert!(repeats.once(key(), "b", TTL_MS, created).is_ok());
        repeats.forget("topic 2");
        assert!(repeats.once(key(), "b", TTL_MS, never).is_ok());
        repeats.forget("topic 1");
        assert!(repeats.once(key(), "c", TTL_MS, created).is_ok(), "the key ended with what it made");
    }
}
