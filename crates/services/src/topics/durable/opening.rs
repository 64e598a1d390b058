//! Logs are opened, given to what waits for them, and dropped.

use super::registry::{Found, Next, Place, Wait, Waiting};
use super::{DurableLogs, now, refusal, unavailable};
use crate::clock::unix_ms;
use fanfare_core::model::Refusal;
use fanfare_core::ports::{AttachTicket, Attached, Away, LogRef};
use fanfare_store::{LogId, Space, StoreError};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Heads of logs that are read at once when the node starts.
const HEADS: u32 = 1000;

impl DurableLogs {
    /// Reads which logs there are. Nothing of one is removed until a topic follows it. Returns their names and heads.
    ///
    /// # Errors
    /// Of the store.
    pub(in crate::topics) async fn load(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.clear_dropped();
        let mut all: Vec<(String, u64)> = Vec::new();
        loop {
            let after = all.last().map(|(name, _)| name.as_str());
            let heads = self.0.store.logs(Space::Topic, after, HEADS).await?;
            if heads.is_empty() {
                return Ok(all);
            }
            let (mut registry, now) = (self.0.registry.lock(), unix_ms());
            for head in heads {
                registry.load(&head, now);
                all.push((head.name, head.head));
            }
        }
    }

    /// Creates the log of a topic that is about to be created, if there is none.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store cannot be reached.
    pub(in crate::topics) async fn create(&self, name: &str) -> Result<(), Refusal> {
        self.opened(name).await.map(drop)
    }

    /// No topic follows the log of this name: it is dropped if it is empty.
    pub(in crate::topics) fn release(&self, name: &str) {
        let next = self.0.registry.lock().left(name);
        self.obey(next);
    }

    /// Drops the log of a topic that is deleted.
    ///
    /// # Errors
    /// Of the store; the log is still there then.
    pub(in crate::topics) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let Ok(place) = self.opened(name).await else {
            return Err(StoreError::Unavailable("the log cannot be opened".to_owned()));
        };
        self.0.store.drop_log(place.id).await?;
        self.0.registry.lock().delete(name);
        self.clear_dropped();
        Ok(())
    }

    /// Waits until the log of this name is there.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store cannot be reached.
    pub(super) async fn opened(&self, name: &str) -> Result<Place, Refusal> {
        let (tell, told) = oneshot::channel();
        self.find_or_wait(name, Waiting::Opened(tell));
        told.await.map_err(|_| unavailable())
    }

    /// Gives what waits to the log, now or when it is open.
    pub(super) fn find_or_wait(&self, name: &str, wait: Waiting) {
        let waited = self.0.registry.lock().find_or_wait(name, wait);
        match waited {
            Wait::Found(found, wait) => self.serve_waiting(&found, wait),
            Wait::Noted(next) => self.obey(next),
            Wait::Full(wait) => {
                self.refuse_waiting(
                    wait,
                    &StoreError::Unavailable("too many events wait for their log".to_owned()),
                );
            }
        }
    }

    fn serve_waiting(&self, found: &Found, wait: Waiting) {
        match wait {
            Waiting::Attach(log, ticket) => self.tell_attached(log, ticket, Ok(found.attached())),
            Waiting::Append(entry, append) => self.append_to(&found.place, entry, append),
            Waiting::Opened(tell) => {
                let _gone = tell.send(found.place.clone());
            }
        }
    }

    /// Reports the place of its log to a topic. From a task of its own: the topic may be locked by the caller.
    fn tell_attached(&self, log: LogRef, ticket: AttachTicket, at: Result<Attached, Away>) {
        let logs = self.clone();
        self.0.runtime.spawn(async move {
            if let Some(topics) = logs.topics() {
                topics.attached(&log, ticket, at, now());
            }
        });
    }

    pub(super) fn obey(&self, next: Next) {
        let logs = self.clone();
        match next {
            Next::Nothing => {}
            Next::Open(name) => drop(self.0.runtime.spawn(async move { logs.open(name).await })),
            Next::Drop(name, id) => {
                drop(self.0.runtime.spawn(async move { logs.drop_empty(name, id).await }))
            }
        }
    }

    async fn open(&self, name: Arc<str>) {
        let opened = self.0.store.open_log(Space::Topic, &name).await;
        let next = match opened {
            Ok((head, _)) => {
                // Under the registry's lock no commit is reported: what waits is served in order before what comes later.
                let mut registry = self.0.registry.lock();
                let (found, next) = registry.opened(&name, &head, unix_ms());
                if let Some((found, waiting)) = found {
                    waiting.into_iter().for_each(|wait| self.serve_waiting(&found, wait));
                }
                next
            }
            Err(error) => {
                tracing::warn!(%error, "the store cannot open the log of a durable topic");
                let waiting = self.0.registry.lock().not_opened(&name);
                waiting.into_iter().for_each(|wait| self.refuse_waiting(wait, &error));
                Next::Nothing
            }
        };
        self.obey(next);
    }

    fn refuse_waiting(&self, wait: Waiting, error: &StoreError) {
        match wait {
            Waiting::Attach(log, ticket) => self.tell_attached(log, ticket, Err(Away)),
            Waiting::Append(_, append) => (append.reply)(Err(refusal(error))),
            Waiting::Opened(_) => {}
        }
    }

    async fn drop_empty(&self, name: Arc<str>, id: LogId) {
        if let Err(error) = self.0.store.drop_log(id).await {
            // It is empty; the next start removes it.
            tracing::warn!(%error, "the store cannot remove the empty log of a durable topic");
        }
        let next = self.0.registry.lock().dropped(&name);
        self.obey(next);
    }
}
