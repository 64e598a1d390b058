//! The writer, one per process: takes events in batches, appends them to the chain, publishes its head and prunes it.
//!
//! Events that must not be lost come first; bounded ones wait for them. Another process (a command) may append to the
//! same chain: see [`super::chain`].

use super::bounds::Why;
use super::chain::Chain;
use super::event::Stamped;
use super::mark::Head;
use super::pruning::{self, PRUNED};
use super::verify::{Against, Broken, Walk};
use super::{AuditEvent, AuditOptions, Order, Outcome, Severity, Shared, event::hex};
use crate::clock::unix_ms;
use fanfare_core::time::rfc3339_ms;
use fanfare_e2ee::b64;
use fanfare_store::{AuditFilter, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Rows of one transaction.
const BATCH: usize = 512;
/// Rows read at a time.
const PAGE: u32 = 1000;
/// Maximum rows examined in one pass when old ones are pruned.
const PRUNE_AT_MOST: usize = 20_000;
/// Pause after a failed append, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long the store is waited for when the process is ending.
const LAST_WAIT: Duration = Duration::from_secs(3);
/// How long rows are kept (the research page, section 6). `verify` trusts no statement that pruned earlier.
pub(super) const RETENTION: Duration = Duration::from_secs(90 * 24 * 3600);

/// How often the head is published and old rows are pruned.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    /// Interval between two published heads when there are new rows.
    pub checkpoint_every: Duration,
    /// Number of new rows after which a head is published at once.
    pub checkpoint_rows: i64,
    /// How long rows are kept.
    pub retention: Duration,
    /// Interval between two searches for expired rows.
    pub prune_every: Duration,
    /// Interval between two rows that count the bounded events left out.
    pub gap_every: Duration,
}

/// The values of the research page, section 6.
impl Default for Cadence {
    fn default() -> Self {
        Self {
            checkpoint_every: Duration::from_secs(60),
            checkpoint_rows: 1000,
            retention: RETENTION,
            prune_every: Duration::from_secs(3600),
            gap_every: Duration::from_secs(10),
        }
    }
}

pub(super) struct Writer {
    chain: Chain,
    cadence: Cadence,
    inbox: mpsc::Receiver<Order>,
    bounded: mpsc::Receiver<Box<Stamped>>,
    shared: Arc<Shared>,
    /// The last head that was published.
    published: i64,
}

/// The writer's next action.
enum Next {
    Orders(usize),
    Bounded,
    Gap,
    Publish,
    Prune,
}

impl Writer {
    pub(super) fn new(
        store: fanfare_store::Store,
        options: AuditOptions,
        (inbox, bounded): (mpsc::Receiver<Order>, mpsc::Receiver<Box<Stamped>>),
        shared: Arc<Shared>,
    ) -> Self {
        let AuditOptions { node, sealer, mark, cadence } = options;
        let chain = Chain::new(store, node, sealer, mark);
        Self { chain, cadence, inbox, bounded, shared, published: 0 }
    }

    pub(super) async fn run(mut self) {
        let mut publish = every(self.cadence.checkpoint_every, self.cadence.checkpoint_every);
        let mut prune = every(Duration::ZERO, self.cadence.prune_every);
        let mut gap = every(self.cadence.gap_every, self.cadence.gap_every);
        let (mut orders, mut bounded) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        loop {
            let next = tokio::select! {
                biased;
                _ = publish.tick() => Next::Publish,
                _ = prune.tick() => Next::Prune,
                _ = gap.tick() => Next::Gap,
                taken = self.inbox.recv_many(&mut orders, BATCH) => Next::Orders(taken),
                _ = self.bounded.recv_many(&mut bounded, BATCH) => Next::Bounded,
            };
            match next {
                Next::Orders(taken) => {
                    let closed = self.obey(orders.drain(..)).await;
                    if closed.is_some() || taken == 0 {
                        self.publish().await;
                        let _gone = closed.map(|done| done.send(()));
                        return;
                    }
                }
                Next::Bounded => {
                    let events: Vec<_> = bounded.drain(..).map(|event| *event).collect();
                    self.append(&events).await;
                }
                Next::Gap => {
                    let gaps = self.gaps();
                    self.append(&gaps).await;
                }
                Next::Publish => self.publish().await,
                Next::Prune => self.prune().await,
            }
        }
    }

    /// Appends the recorded events and completes flushes. Returns the sender to notify when the writer is to end.
    async fn obey(&mut self, orders: impl Iterator<Item = Order>) -> Option<oneshot::Sender<()>> {
        let (mut events, mut waiting, mut closed) = (Vec::new(), Vec::new(), None);
        for order in orders {
            match order {
                Order::Record(event) => events.push(*event),
                Order::Flush(done) => waiting.push(done),
                Order::Close(done) => closed = Some(done),
            }
        }
        if closed.is_some() || !waiting.is_empty() {
            // The events recorded before the flush: no more than the queue holds.
            events.extend(
                std::iter::from_fn(|| self.bounded.try_recv().ok()).take(super::BOUNDED_QUEUE).map(|e| *e),
            );
        }
        if closed.is_some() {
            events.extend(self.gaps());
        }
        self.append(&events).await;
        waiting.into_iter().for_each(|done| {
            let _gone = done.send(());
        });
        if self.chain.known() - self.published >= self.cadence.checkpoint_rows {
            self.publish().await;
        }
        closed
    }

    /// A row for each kind of events that were left out.
    fn gaps(&self) -> Vec<Stamped> {
        let left_out = self.shared.left_out.take();
        left_out.map(|(why, count)| gap(why, count).stamp(unix_ms())).collect()
    }

    /// Appends until the store accepts it. Gives up only if the store failed permanently, or does not respond while the
    /// process ends.
    async fn append(&mut self, events: &[Stamped]) {
        if events.is_empty() {
            return;
        }
        let mut pause = RETRY.0;
        let mut give_up: Option<Instant> = None;
        loop {
            let error = match self.chain.append(events).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if self.shared.closing.load(Ordering::SeqCst) && give_up.is_none() {
                give_up = Some(Instant::now() + LAST_WAIT);
            }
            if error.is_fatal() || give_up.is_some_and(|at| Instant::now() >= at) {
                tracing::error!(%error, rows = events.len(), "audit events are lost: the store rejects them");
                self.shared.left_out.add(Why::Overflow, events.len() as u64);
                return;
            }
            tracing::warn!(%error, "audit events wait for the store");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Checks the chain's end, and logs its head if it has advanced.
    async fn publish(&mut self) {
        if let Err(error) = self.chain.check().await {
            tracing::warn!(%error, "the end of the audit chain cannot be read now");
        }
        if self.chain.known() <= self.published {
            return;
        }
        if let Some(c) = self.chain.publish() {
            self.published = c.seq;
            let (hash, sig) = (hex(&c.hash), b64::encode(&c.sig));
            tracing::info!(node = %c.node, seq = c.seq, hash, time = c.time, sig, "audit checkpoint");
        }
    }

    /// Removes expired rows, after recording that in the chain.
    async fn prune(&mut self) {
        if let Err(error) = self.try_prune().await {
            tracing::warn!(%error, "old audit rows cannot be pruned now");
        }
    }

    async fn try_prune(&mut self) -> Result<(), StoreError> {
        let at = unix_ms();
        let before = at.saturating_sub(self.cadence.retention.as_millis() as u64);
        let last = match self.prunable(&rfc3339_ms(before)).await? {
            Ok(Some(last)) => last,
            Ok(None) => return Ok(()),
            Err(Broken { seq, why }) => {
                tracing::error!(
                    node = %self.chain.node, seq,
                    "the audit chain was tampered with: the row {why}; nothing of it is pruned"
                );
                return Ok(());
            }
        };
        let said = pruning::statement(&self.chain.sealer, &self.chain.node, &last, before, at).stamp(at);
        self.append(&[said]).await;
        let rows = self.chain.store.prune_audit(&self.chain.node, last.0).await?;
        tracing::info!(node = %self.chain.node, up_to = last.0, rows, "expired audit rows were removed");
        Ok(())
    }

    /// The last row that is older than `before`, is covered by a checkpoint of this key, and has only such rows before
    /// it.
    async fn prunable(&self, before: &str) -> Result<Result<Option<Head>, Broken>, StoreError> {
        let (store, node) = (&self.chain.store, &self.chain.node);
        let against = Against {
            judge: Some(self.chain.sealer.judge()),
            retention: self.cadence.retention,
            ..Against::default()
        };
        let checkpoints = store.checkpoints(node).await?;
        let filter = AuditFilter { event: Some(PRUNED.to_owned()), ..AuditFilter::default() };
        let pruned = store.audit_rows(Some(node), 0, PAGE, filter).await?;
        let mut walk = Walk::new(node, &pruned, &checkpoints, &against);
        let (mut seq, mut looked_at) = (i64::MIN, 0);
        'pages: while looked_at < PRUNE_AT_MOST {
            let page = store.audit_rows(Some(node), seq, PAGE, AuditFilter::default()).await?;
            looked_at += page.len();
            let Some(last) = page.last() else { break };
            seq = last.seq;
            for row in &page {
                if row.ts.as_str() >= before {
                    break 'pages;
                }
                if let Err(broken) = walk.row(row) {
                    return Ok(Err(broken));
                }
            }
        }
        Ok(Ok(walk.under_seal()))
    }
}

/// A timer that skips missed ticks.
fn every(first: Duration, period: Duration) -> Interval {
    let mut timer = tokio::time::interval_at(Instant::now() + first, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

fn gap(why: Why, count: u64) -> AuditEvent {
    let severity = if why == Why::Overflow { Severity::Alert } else { Severity::Warning };
    if why == Why::Overflow {
        tracing::error!(count, "audit events came faster than they could be written");
    }
    AuditEvent::new("audit_gap", Outcome::Failure)
        .severity(severity)
        .reason(why.reason())
        .detail("count", count)
}

#[cfg(test)]
mod tests;
