//! A JWK set that is fetched on demand, cached, and refreshed while it is in use.
//!
//! Four durations, all of the monotonic clock:
//! - a set is trusted for [`CONFIRMED`]; after that a token waits for the next fetch, so that a withdrawn key stops
//!   working within 20 s ([`CONFIRMED`] and the fetch's own limit); from [`CONFIRM`] on the fetch starts in advance,
//!   and no caller waits;
//! - no fetch starts within [`PAUSE`] of the previous one, whatever tokens arrive; an unknown `kid` requests one;
//! - while fetches fail, known keys stay valid for [`KEEP`], and tokens with unknown keys cannot be checked.
//!
//! One fetch runs at a time, in a task of its own: all callers wait for the same one, and a caller that is dropped does
//! not stop it.

use super::IssuerError;
use super::fetch::{Fetched, Fetcher, TIME_LIMIT};
use super::key::{Key, Kind};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const CONFIRM: Duration = Duration::from_secs(10);
const CONFIRMED: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_secs(5);
const KEEP: Duration = Duration::from_secs(60 * 60);
/// Maximum keys of a set that are read; the rest is ignored.
const MAX_KEYS: usize = 64;

type KeySet = Arc<[(Option<String>, Key)]>;

/// The source of an issuer's keys.
pub(super) struct Source(Arc<Shared>);

struct Shared {
    fetch: Fetcher,
    state: Mutex<State>,
    /// The number of finished fetches.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// The last valid set, and when its fetch started.
    set: Option<(KeySet, Instant)>,
    /// When the last fetch started.
    begun: Option<Instant>,
    running: bool,
    /// Whether the last finished fetch returned no set.
    failed: bool,
}

/// The result of a lookup at this moment.
enum Verdict {
    Keys(Vec<Key>),
    Down,
    /// Wait until a fetch has finished.
    Wait,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(fetch: Fetcher) -> Self {
        Self(Arc::new(Shared { fetch, state: Mutex::default(), ended: watch::Sender::new(0) }))
    }

    /// Returns the keys that may have signed a token with this `kid`; none when it is unknown.
    ///
    /// # Errors
    /// [`IssuerError::Unavailable`].
    pub(super) async fn find(&self, kid: Option<&str>, kind: Kind) -> Result<Vec<Key>, IssuerError> {
        let mut ended = self.0.ended.subscribe();
        let verdict = match self.judge(kid, kind, false) {
            Verdict::Wait => {
                // The time limit is the fetch's own; the margin covers a task that was lost with its runtime.
                let _late = tokio::time::timeout(TIME_LIMIT + Duration::from_secs(1), ended.changed()).await;
                self.judge(kid, kind, true)
            }
            verdict => verdict,
        };
        match verdict {
            Verdict::Keys(keys) => Ok(keys),
            Verdict::Down | Verdict::Wait => Err(IssuerError::Unavailable),
        }
    }

    fn judge(&self, kid: Option<&str>, kind: Kind, waited: bool) -> Verdict {
        let now = Instant::now();
        let mut state = self.0.state.lock();
        state.set = state.set.take().filter(|(_, at)| now.duration_since(*at) < KEEP);
        let age = state.set.as_ref().map(|(_, at)| now.duration_since(*at));
        let keys = state.set.as_ref().map_or_else(Vec::new, |(set, _)| candidates(set, kid, kind));
        if age.is_some_and(|age| age < CONFIRMED) && !keys.is_empty() {
            if age.is_some_and(|age| age >= CONFIRM) {
                self.begin(&mut state, now);
            }
            return Verdict::Keys(keys);
        }
        if !waited && (state.running || self.begin(&mut state, now)) {
            return Verdict::Wait;
        }
        // Known keys stay valid during an outage; a key is reported unknown only if the last fetch succeeded.
        if age.is_none() || (keys.is_empty() && state.failed) { Verdict::Down } else { Verdict::Keys(keys) }
    }

    /// Starts a fetch unless one runs or started within [`PAUSE`].
    fn begin(&self, state: &mut State, now: Instant) -> bool {
        if state.running || state.begun.is_some_and(|at| now.duration_since(at) < PAUSE) {
            return false;
        }
        (state.begun, state.running) = (Some(now), true);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            let fetched = (shared.fetch)().await;
            shared.end(now, fetched);
        });
        true
    }
}

impl Shared {
    fn end(&self, begun: Instant, fetched: Fetched) {
        let set = fetched.and_then(|body| parse(&body).ok_or_else(|| "not a JWK set".into()));
        let mut state = self.state.lock();
        state.running = false;
        state.failed = set.is_err();
        match set {
            Ok(set) => state.set = Some((set, begun)),
            Err(why) => tracing::warn!(why, "an issuer's keys could not be fetched"),
        }
        drop(state);
        self.ended.send_modify(|n| *n += 1);
    }
}

/// Parses a set (RFC 7517 section 5): unsupported members are skipped, as the RFC requires.
fn parse(body: &[u8]) -> Option<KeySet> {
    let set: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let members = set.get("keys")?.as_array()?;
    Some(members.iter().take(MAX_KEYS).enumerate().filter_map(|(at, member)| key(at, member)).collect())
}

fn key(at: usize, member: &Value) -> Option<(Option<String>, Key)> {
    let read = member.as_object().ok_or("form").and_then(Key::jwk);
    read.map_err(|check| tracing::debug!(at, check, "a key of an issuer's set is skipped")).ok()
}

/// A key without a `kid` matches any token; a token without a `kid` is accepted only if exactly one key matches.
fn candidates(set: &KeySet, kid: Option<&str>, kind: Kind) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for (name, key) in set.iter().filter(|(_, key)| key.kind() == kind) {
        if kid.is_none() || name.is_none() || name.as_deref() == kid {
            keys.push(key.clone());
        }
    }
    if kid.is_none() && keys.len() > 1 { Vec::new() } else { keys }
}

#[cfg(test)]
mod tests;
