//! Reading durable topics back from the store.

use super::registry::Found;
use super::{DurableLogs, arrival, refusal};
use crate::clock::unix_ms;
use fanfare_core::model::{EventMeta, Refusal};
use fanfare_core::ports::{Arrival, Away, READ_BYTES, READ_EVENTS, Read};
use fanfare_core::topics::{History, HistoryEvent, HistoryQuery, MAX_PAGE_BYTES};
use fanfare_store::{LogEntry, LogPage};

impl DurableLogs {
    /// Events that a topic or a subscriber reads back.
    pub(super) async fn read_events(&self, name: &str, read: Read) -> Result<Vec<Arrival>, Away> {
        let Some(found) = self.0.registry.lock().find(name) else { return Err(Away) };
        if found.place.epoch != read.epoch {
            return Ok(Vec::new());
        }
        let after = read.after.max(found.floor());
        let page = self.0.store.read_log(found.place.id, after, READ_EVENTS as u32, READ_BYTES).await;
        let page = page.map_err(|error| {
            tracing::debug!(%error, "the store cannot read a durable topic back");
            Away
        })?;
        let entries = page.map(|page| page.entries).unwrap_or_default().into_iter();
        let shown = |entry: &LogEntry| entry.seq <= read.until && found.keeps(entry);
        Ok(entries.filter(shown).filter_map(|entry| arrival(entry, 0)).collect())
    }

    /// A page of a durable topic's history, as [`fanfare_core::topics::Topics::history`].
    ///
    /// # Errors
    /// `UNAVAILABLE` when the store cannot be read.
    pub(in crate::topics) async fn history(
        &self,
        name: &str,
        query: HistoryQuery,
    ) -> Result<History, Refusal> {
        self.opened(name).await?;
        let Some(found) = self.0.registry.lock().find(name) else { return Err(gone()) };
        let read = self.page(&found, query).await.map_err(|error| refusal(&error))?;
        let Some(LogPage { head, entries }) = read else { return Err(gone()) };
        let (limit, before) = (query.limit, query.before.unwrap_or(u64::MAX));
        let events = entries.into_iter().filter(|entry| entry.seq < before && found.keeps(entry));
        let mut events: Vec<HistoryEvent> = events.filter_map(shown).collect();
        let more = match query.after {
            Some(_) => {
                HistoryEvent::fit_first(&mut events, limit);
                events.last().is_some_and(|last| last.meta.offset < head.head.min(before.saturating_sub(1)))
            }
            None => {
                HistoryEvent::fit_last(&mut events, limit);
                let oldest = head.first.max(found.floor() + 1);
                events.first().is_some_and(|first| first.meta.offset > oldest)
            }
        };
        Ok(History { epoch: head.epoch, offset: head.head, events, more })
    }

    async fn page(
        &self,
        found: &Found,
        query: HistoryQuery,
    ) -> Result<Option<LogPage>, fanfare_store::StoreError> {
        let (id, limit) = (found.place.id, query.limit.min(u32::MAX as usize) as u32);
        match query.after {
            Some(after) => self.0.store.read_log(id, after.max(found.floor()), limit, MAX_PAGE_BYTES).await,
            None => {
                let before = query.before.unwrap_or(u64::MAX);
                self.0.store.read_log_before(id, before, limit, MAX_PAGE_BYTES).await
            }
        }
    }
}

impl Found {
    /// The number of the newest entry beyond the log's size: it may still be stored.
    fn floor(&self) -> u64 {
        match self.place.keep.size {
            0 => 0,
            size => self.head.saturating_sub(size),
        }
    }

    /// Whether an entry is within the log's bounds: it may be past its time and still stored.
    fn keeps(&self, entry: &LogEntry) -> bool {
        let ttl = self.place.keep.ttl_ms;
        entry.seq > self.floor() && (ttl == 0 || entry.at_ms() + ttl > unix_ms())
    }
}

fn shown(entry: LogEntry) -> Option<HistoryEvent> {
    Some(HistoryEvent {
        meta: EventMeta { id: entry.id, offset: entry.seq, at_ms: entry.at_ms() },
        payload: String::from_utf8(entry.payload).ok()?,
        client_id: entry.client_id.unwrap_or_default(),
        user: entry.user,
    })
}

fn gone() -> Refusal {
    Refusal::new(fanfare_core::model::ErrorCode::TopicNotFound, "the topic was deleted meanwhile")
        .field("topic")
}
