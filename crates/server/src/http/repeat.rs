//! `Idempotency-Key` on creations: a repeat gets the first answer, with another body a conflict (`http-api.md`).
//!
//! Keys are scoped to whoever sends them; anonymous ones to the address. They are kept for a day, at most
//! [`MAX_KEYS`] of them; the oldest go. They end with what they made: a repeat never tells of something that was deleted.

use super::problem::Problem;
use axum::http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use tokio::sync::watch;

const MAX_KEYS: usize = 10_000;
const MAX_KEY_BYTES: usize = 128;
const TTL_MS: u64 = 24 * 3600 * 1000;

/// What was answered to a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
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
    /// Creations that wait, with what tells of their end.
    under_way: HashMap<String, watch::Sender<()>>,
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
        if let Some(answer) = kept.answered(&key, hash, now_ms)? {
            return Ok(answer);
        }
        let answer = create()?;
        kept.keep(key, hash, answer.clone(), now_ms);
        Ok(answer)
    }

    /// The same where `create` waits. A repeat that comes while the first is under way waits for it.
    pub(super) async fn once_awaited(
        &self,
        key: Option<String>,
        body: &str,
        now_ms: u64,
        create: impl Future<Output = Result<Answer, Problem>>,
    ) -> Result<Answer, Problem> {
        let Some(key) = key else { return create.await };
        let hash = self.hasher.hash_one(body);
        loop {
            let mut ended = {
                let mut kept = self.kept.lock();
                if let Some(answer) = kept.answered(&key, hash, now_ms)? {
                    return Ok(answer);
                }
                match kept.under_way.get(&key) {
                    Some(first) => first.subscribe(),
                    None => {
                        kept.under_way.insert(key.clone(), watch::Sender::default());
                        break;
                    }
                }
            };
            // The sender is dropped when the first has ended, in whatever way.
            let _dropped = ended.changed().await;
        }
        let under_way = UnderWay { repeats: self, key };
        let answer = create.await?;
        self.kept.lock().keep(under_way.key.clone(), hash, answer.clone(), now_ms);
        Ok(answer)
    }
}

impl Repeats {
    /// Forgets the keys that made something which is gone now; told by key and answer.
    pub(super) fn forget(&self, gone: impl Fn(&str, &Answer) -> bool) {
        let Kept { first, order, .. } = &mut *self.kept.lock();
        first.retain(|key, (_, answer)| !gone(key, answer));
        order.retain(|(_, key)| first.contains_key(key));
    }
}

/// A creation that is under way; also one whose client goes meanwhile ends.
struct UnderWay<'a> {
    repeats: &'a Repeats,
    key: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.repeats.kept.lock().under_way.remove(&self.key);
    }
}

fn conflict(detail: &'static str) -> Problem {
    Problem::new(StatusCode::CONFLICT, "conflict", detail)
}

impl Kept {
    /// What was answered to this key before.
    fn answered(&mut self, key: &str, hash: u64, now_ms: u64) -> Result<Option<Answer>, Problem> {
        self.sweep(now_ms);
        match self.first.get(key) {
            None => Ok(None),
            Some((of, answer)) if *of == hash => Ok(Some(answer.clone())),
            Some(_) => Err(conflict("this Idempotency-Key was used with another body")),
        }
    }

    fn keep(&mut self, key: String, hash: u64, answer: Answer, now_ms: u64) {
        self.order.push_back((now_ms + TTL_MS, key.clone()));
        self.first.insert(key, (hash, answer));
    }

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
        let created = || Ok(Answer { status: StatusCode::CREATED, body: "1".into() });
        let never = || panic!("created twice");
        let key = || Some("k".to_owned());
        let first = repeats.once(key(), "a", 0, created).unwrap();
        assert_eq!(repeats.once(key(), "a", 5, never).unwrap(), first);
        assert_eq!(repeats.once(key(), "b", 5, never).unwrap_err().status, StatusCode::CONFLICT);
        assert!(repeats.once(key(), "b", TTL_MS, created).is_ok());
        repeats.forget(|_, answer| answer.body == "2");
        assert!(repeats.once(key(), "b", TTL_MS, never).is_ok());
        repeats.forget(|_, answer| answer.body == "1");
        assert!(repeats.once(key(), "c", TTL_MS, created).is_ok(), "the key ended with what it made");
    }

    #[tokio::test]
    async fn a_creation_that_waits_happens_once_too() {
        let repeats = Repeats::default();
        let key = || Some("k".to_owned());
        let created = || async { Ok(Answer { status: StatusCode::CREATED, body: "1".into() }) };
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let first = repeats.once_awaited(key(), "a", 0, async {
            begun.await.unwrap();
            created().await
        });
        let never = async { panic!("created twice") };
        let second = repeats.once_awaited(key(), "a", 0, never);
        let third = repeats.once_awaited(key(), "b", 0, created());
        let go = async { begin.send(()).unwrap() };
        let (first, second, third, ()) = tokio::join!(first, second, third, go);
        let first = first.unwrap();
        assert_eq!(second.unwrap(), first);
        assert_eq!(third.unwrap_err().status, StatusCode::CONFLICT);
        // Who waited for one that went away takes its place.
        let gone = repeats.once_awaited(Some("gone".into()), "a", 0, std::future::pending());
        let next = repeats.once_awaited(Some("gone".into()), "a", 0, created());
        let gone = tokio::time::timeout(std::time::Duration::from_millis(20), gone);
        let (gone, next) = tokio::join!(gone, next);
        assert!(gone.is_err() && next.is_ok());
        let never = async { panic!("created twice") };
        assert_eq!(repeats.once_awaited(key(), "a", 5, never).await.unwrap(), first);
        let refused = async { Err(Problem::invalid("a", "wrong")) };
        assert!(repeats.once_awaited(Some("other".into()), "a", 5, refused).await.is_err());
        assert!(repeats.once_awaited(Some("other".into()), "b", 5, created()).await.is_ok());
    }
}
