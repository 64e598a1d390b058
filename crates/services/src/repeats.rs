//! Idempotency of creation: a repeat gets the first outcome, with other content a conflict (`http-api.md`).
//!
//! Keys are scoped to their sender; those of anonymous clients to the address. They are kept for a day, at most
//! [`MAX_KEYS`] of them; the oldest are removed first. They end with the created object: a repeat never reports
//! something that was deleted.

use fanfare_core::model::{ErrorCode, Refusal};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use tokio::sync::watch;

const MAX_KEYS: usize = 10_000;
const TTL_MS: u64 = 24 * 3600 * 1000;

/// An idempotency key of a creation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatKey {
    /// The key with its scope: two senders never share one.
    pub key: String,
    /// A hash of the content: the same key with other content is a conflict.
    pub content: u64,
}

/// The outcomes of creations by their keys.
#[derive(Debug)]
pub struct Repeats<T> {
    kept: Mutex<Kept<T>>,
}

#[derive(Debug)]
struct Kept<T> {
    first: HashMap<String, (u64, T)>,
    order: VecDeque<(u64, String)>,
    /// Creations in progress, each with a sender that signals its end.
    under_way: HashMap<String, watch::Sender<()>>,
}

impl<T> Default for Repeats<T> {
    fn default() -> Self {
        let (first, order, under_way) = Default::default();
        Self { kept: Mutex::new(Kept { first, order, under_way }) }
    }
}

impl<T: Clone> Repeats<T> {
    /// Runs `create`, which must not block, the first time; returns the first outcome for repeats. Refusals are not
    /// kept, so a corrected request can use its key again.
    ///
    /// # Errors
    /// Any refusal of `create`; `CONFLICT` for a key that was used with other content.
    pub fn once<E: From<Refusal>>(
        &self,
        key: Option<RepeatKey>,
        now_ms: u64,
        create: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(RepeatKey { key, content }) = key else { return create() };
        let mut kept = self.kept.lock();
        if let Some(outcome) = kept.outcome(&key, content, now_ms)? {
            return Ok(outcome);
        }
        let outcome = create()?;
        kept.keep(key, content, outcome.clone(), now_ms);
        Ok(outcome)
    }

    /// The same with an async `create`. A repeat that arrives while the first is in progress waits for it.
    ///
    /// # Errors
    /// As [`Repeats::once`].
    pub async fn once_awaited<E: From<Refusal>>(
        &self,
        key: Option<RepeatKey>,
        now_ms: u64,
        create: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let Some(RepeatKey { key, content }) = key else { return create.await };
        loop {
            let mut ended = {
                let mut kept = self.kept.lock();
                if let Some(outcome) = kept.outcome(&key, content, now_ms)? {
                    return Ok(outcome);
                }
                match kept.under_way.get(&key) {
                    Some(first) => first.subscribe(),
                    None => {
                        kept.under_way.insert(key.clone(), watch::Sender::default());
                        break;
                    }
                }
            };
            // The sender is dropped when the first has ended in any way.
            let _dropped = ended.changed().await;
        }
        let under_way = UnderWay { repeats: self, key };
        let outcome = create.await?;
        self.kept.lock().keep(under_way.key.clone(), content, outcome.clone(), now_ms);
        Ok(outcome)
    }

    /// Drops the keys whose created objects no longer exist.
    pub fn forget(&self, gone: impl Fn(&T) -> bool) {
        let Kept { first, order, .. } = &mut *self.kept.lock();
        first.retain(|_, (_, outcome)| !gone(outcome));
        order.retain(|(_, key)| first.contains_key(key));
    }
}

/// A creation in progress; it also ends when its client disconnects.
struct UnderWay<'a, T> {
    repeats: &'a Repeats<T>,
    key: String,
}

impl<T> Drop for UnderWay<'_, T> {
    fn drop(&mut self) {
        self.repeats.kept.lock().under_way.remove(&self.key);
    }
}

impl<T: Clone> Kept<T> {
    /// The earlier outcome of this key.
    fn outcome(&mut self, key: &str, content: u64, now_ms: u64) -> Result<Option<T>, Refusal> {
        self.sweep(now_ms);
        match self.first.get(key) {
            None => Ok(None),
            Some((of, outcome)) if *of == content => Ok(Some(outcome.clone())),
            Some(_) => {
                Err(Refusal::new(ErrorCode::Conflict, "this Idempotency-Key was used with another body"))
            }
        }
    }

    fn keep(&mut self, key: String, content: u64, outcome: T, now_ms: u64) {
        self.order.push_back((now_ms + TTL_MS, key.clone()));
        self.first.insert(key, (content, outcome));
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

    fn key(content: u64) -> Option<RepeatKey> {
        Some(RepeatKey { key: "k".to_owned(), content })
    }

    fn created_twice() -> Result<&'static str, Refusal> {
        panic!("created twice")
    }

    fn refused<T>(outcome: Result<T, Refusal>) -> ErrorCode {
        outcome.err().unwrap().code
    }

    #[test]
    fn a_repeat_gets_the_same_outcome_and_other_content_conflicts() {
        let repeats = Repeats::default();
        let created = || Ok::<_, Refusal>("1");
        let never = created_twice;
        let first = repeats.once(key(1), 0, created).unwrap();
        assert_eq!(repeats.once(key(1), 5, never).unwrap(), first);
        assert_eq!(refused(repeats.once(key(2), 5, never)), ErrorCode::Conflict);
        assert!(repeats.once(key(2), TTL_MS, created).is_ok());
        repeats.forget(|outcome: &&str| *outcome == "2");
        assert!(repeats.once(key(2), TTL_MS, never).is_ok());
        repeats.forget(|outcome| *outcome == "1");
        assert!(repeats.once(key(3), TTL_MS, created).is_ok(), "the key ended with the created object");
    }

    #[tokio::test]
    async fn a_creation_that_waits_happens_once_too() {
        let repeats = Repeats::default();
        let named = |name: &str, content| Some(RepeatKey { key: name.to_owned(), content });
        let created = || async { Ok::<_, Refusal>("1") };
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let first = repeats.once_awaited(key(1), 0, async {
            begun.await.unwrap();
            created().await
        });
        let never = async { created_twice() };
        let second = repeats.once_awaited(key(1), 0, never);
        let third = repeats.once_awaited(key(2), 0, created());
        let go = async { begin.send(()).unwrap() };
        let (first, second, third, ()) = tokio::join!(first, second, third, go);
        let first = first.unwrap();
        assert_eq!(Ok(first), second);
        assert_eq!(refused(third), ErrorCode::Conflict);
        // One that waited for a dropped creation takes its place.
        let gone = repeats.once_awaited(named("gone", 1), 0, std::future::pending::<Result<&str, Refusal>>());
        let next = repeats.once_awaited(named("gone", 1), 0, created());
        let gone = tokio::time::timeout(std::time::Duration::from_millis(20), gone);
        let (gone, next) = tokio::join!(gone, next);
        assert!(gone.is_err() && next.is_ok());
        let never = async { created_twice() };
        assert_eq!(repeats.once_awaited(key(1), 5, never).await, Ok(first));
        let refused = async { Err(Refusal::new(ErrorCode::InvalidField, "wrong")) };
        assert!(repeats.once_awaited(named("other", 1), 5, refused).await.is_err());
        assert!(repeats.once_awaited(named("other", 2), 5, created()).await.is_ok());
    }
}
