//! Applies to open connections the changes made elsewhere, by a command beside this server or on another node: ended
//! logins, roles and locks of users.
//!
//! Changes by this process take effect at once ([`SessionService::end_logins`], [`SessionService::user_changed`]); here
//! the store is queried twice a second for the rest.

use super::Identity;
use crate::clock::unix_ms;
use crate::sessions::SessionService;
use fanfare_store::{ChangedUser, Store};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Interval between two queries of the store.
const EVERY: Duration = Duration::from_millis(500);
/// How far back each query goes: clocks of nodes differ, and a commit can become visible late.
const OVERLAP_MS: i64 = 10_000;
/// How often the last use of logins is written, in queries.
const WRITE_SEEN: u64 = 20;

/// Runs until the task is dropped.
pub async fn watch(store: Store, identity: Arc<Identity>, sessions: Arc<SessionService>) {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: HashMap<String, i64> = HashMap::new();
    let mut changed: HashMap<String, ChangedUser> = HashMap::new();
    let mut since = unix_ms() as i64;
    for look in 0_u64.. {
        every.tick().await;
        let now = unix_ms() as i64;
        // An unresponsive store is reported by its own health; the next query goes back to where this one began.
        let found =
            (store.ended_since(since - OVERLAP_MS).await, store.changed_users(since - OVERLAP_MS).await);
        if let (Ok(ended), Ok(users)) = found {
            let fresh: Vec<_> =
                ended.into_iter().filter(|e| known.insert(e.id.clone(), e.ended_at).is_none()).collect();
            sessions.end_logins(&fresh);
            for user in users {
                if changed.insert(user.id.clone(), user.clone()).is_none_or(|before| before != user) {
                    sessions.user_changed(user);
                }
            }
            known.retain(|_, at| *at >= now - 3 * OVERLAP_MS);
            changed.retain(|_, user| user.changed_at >= now - 3 * OVERLAP_MS);
            since = now;
        }
        if look % WRITE_SEEN == WRITE_SEEN - 1 {
            identity.write_seen().await;
        }
    }
}
