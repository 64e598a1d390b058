//! Where events enter their topics.

use super::TopicTable;
use super::durable::PublishedTo;
use crate::clock::unix_ms;
use fanfare_core::model::{Publish, Refusal, Requester};
use fanfare_core::topics::{NotPublished, Published, Publishing};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Where an event enters its topic: on a shard in its turn, or from outside at once.
pub trait Entry {
    /// Publishes.
    ///
    /// # Errors
    /// As [`fanfare_core::topics::Topics::publish`].
    fn enter(
        &mut self,
        publish: &Publish<'_>,
        client_id: &str,
        by: Requester<'_>,
    ) -> Result<Published, NotPublished>;

    /// What takes the outcome of an event that the store orders.
    fn later(&mut self, topic: &Arc<str>) -> PublishedTo;
}

/// The entry from outside a shard.
pub(super) struct AtOnce<'a> {
    table: &'a dyn TopicTable,
    /// Gets an outcome that comes later.
    pub(super) outcome: Option<oneshot::Receiver<Result<Published, Refusal>>>,
}

impl<'a> AtOnce<'a> {
    pub(super) fn new(table: &'a dyn TopicTable) -> Self {
        Self { table, outcome: None }
    }
}

impl Entry for AtOnce<'_> {
    fn later(&mut self, _topic: &Arc<str>) -> PublishedTo {
        let (tell, told) = oneshot::channel();
        self.outcome = Some(told);
        Box::new(|published| drop(tell.send(published)))
    }

    fn enter(
        &mut self,
        publish: &Publish<'_>,
        client_id: &str,
        by: Requester<'_>,
    ) -> Result<Published, NotPublished> {
        self.table.publish(&Publishing {
            topic: publish.topic.as_str(),
            payload: publish.payload,
            client_id,
            idempotency_key: publish.idempotency_key.as_deref(),
            publisher: by,
            exclude: None,
            shard: None,
            now_ms: unix_ms(),
            at: Instant::now(),
        })
    }
}
