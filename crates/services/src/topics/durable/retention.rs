//! What leaves the logs of durable topics: entries beyond the bounds, and logs of deleted topics. Also finds commits whose reports
//! were lost.

use super::{DurableLogs, now};
use crate::clock::unix_ms;
use fanfare_core::ports::Arrivals;
use fanfare_store::LogId;
use std::time::Duration;

/// How often logs are looked at.
const EVERY: Duration = Duration::from_millis(500);

impl DurableLogs {
    /// Trims logs for as long as it is polled.
    pub async fn run_retention(self) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            ticks.tick().await;
            let trimmed = self.trim_due().await;
            self.ask_heads().await;
            if trimmed.is_err() && !failed {
                tracing::warn!("the store cannot trim the logs of durable topics; it is tried again");
            }
            failed = trimmed.is_err();
        }
    }

    async fn trim_due(&self) -> Result<(), ()> {
        let due = self.0.registry.lock().take_due(unix_ms());
        let mut all = Ok(());
        for (id, keep) in due {
            let trimmed = self.0.store.trim_log(id, keep, unix_ms()).await;
            if trimmed.is_err() {
                all = Err(());
            }
            self.0.registry.lock().trimmed(id, trimmed.as_ref().ok(), unix_ms());
        }
        all
    }

    /// Asks for the heads of logs with appends of unknown outcome: an entry that was committed arrives by that.
    async fn ask_heads(&self) {
        let unsure: Vec<LogId> = self.0.unsure.lock().iter().copied().collect();
        if unsure.is_empty() {
            return;
        }
        let Ok(heads) = self.0.store.log_heads(unsure.clone()).await else { return };
        self.0.unsure.lock().retain(|id| !unsure.contains(id));
        for head in heads {
            let reached = self.0.registry.lock().reached(&head);
            if let (Some((name, epoch)), Some(topics)) = (reached, self.topics()) {
                topics.arrive(Arrivals {
                    name: &name,
                    epoch,
                    events: Vec::new(),
                    head: head.head,
                    now: now(),
                });
            }
        }
    }

    /// Removes the entries of dropped logs, in the background.
    pub(super) fn clear_dropped(&self) {
        let store = self.0.store.clone();
        self.0.runtime.spawn(async move {
            if let Err(error) = store.clear_dropped_logs().await {
                tracing::warn!(%error, "the store cannot remove deleted logs; the next start does");
            }
        });
    }
}
