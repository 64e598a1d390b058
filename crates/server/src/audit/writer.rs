//! The one writer of a process: takes events in batches, links them, appends them, seals and prunes.
//!
//! Another process (a command) may append to the same chain. Every append names the head it builds on and the store
//! refuses it when the head is another; the writer then reads what came in between, checks that it is linked to what it
//! knew, and builds on that. An append whose answer was lost is recognised by finding its own last row as the head.

use super::event::Stamped;
use super::row::{GENESIS, link};
use super::seal::Sealer;
use super::{AuditEvent, AuditOptions, Order, Outcome, Severity, Shared, event::hex};
use crate::node::unix_ms;
use fanfare_dialects::time::rfc3339_ms;
use fanfare_e2ee::b64;
use fanfare_store::{AuditFilter, AuditRow, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

/// Rows of one transaction.
const BATCH: usize = 512;
/// Rows read at a time.
const PAGE: u32 = 1000;
/// Rows looked at in one go when old ones are pruned.
const PRUNE_AT_MOST: usize = 20_000;
/// Pause after a failed append, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long a store is waited for when the process is ending.
const LAST_WAIT: Duration = Duration::from_secs(3);

/// How often the chain is sealed and pruned.
#[derive(Clone, Copy, Debug)]
pub struct Cadence {
    /// Time between checkpoints when there are new rows.
    pub checkpoint_every: Duration,
    /// New rows that ask for a checkpoint at once.
    pub checkpoint_rows: i64,
    /// How long rows are kept.
    pub retention: Duration,
    /// Time between two looks for rows past it.
    pub prune_every: Duration,
}

/// Of the research page, section 6.
impl Default for Cadence {
    fn default() -> Self {
        Self {
            checkpoint_every: Duration::from_secs(60),
            checkpoint_rows: 1000,
            retention: Duration::from_secs(90 * 24 * 3600),
            prune_every: Duration::from_secs(3600),
        }
    }
}

/// The last row of a chain; (0, zeros) of an empty one.
type Head = (i64, [u8; 32]);

pub(super) struct Writer {
    store: Store,
    node: String,
    sealer: Sealer,
    cadence: Cadence,
    inbox: mpsc::Receiver<Order>,
    shared: Arc<Shared>,
    /// The head as last known; `None` before the store was first asked.
    head: Option<Head>,
    /// The last row under a checkpoint of this process.
    sealed: i64,
}

impl Writer {
    pub(super) fn new(
        store: Store,
        options: AuditOptions,
        inbox: mpsc::Receiver<Order>,
        shared: Arc<Shared>,
    ) -> Self {
        let AuditOptions { node, sealer, cadence } = options;
        Self { store, node, sealer, cadence, inbox, shared, head: None, sealed: 0 }
    }

    pub(super) async fn run(mut self) {
        let first = Instant::now() + self.cadence.checkpoint_every;
        let mut seal = tokio::time::interval_at(first, self.cadence.checkpoint_every);
        seal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut prune = tokio::time::interval(self.cadence.prune_every);
        prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut orders = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                taken = self.inbox.recv_many(&mut orders, BATCH) => {
                    let closed = self.obey(orders.drain(..)).await;
                    if let Some(tell) = closed {
                        self.seal().await;
                        let _gone = tell.send(());
                        return;
                    }
                    if taken == 0 {
                        self.seal().await;
                        return;
                    }
                }
                _ = seal.tick() => self.seal().await,
                _ = prune.tick() => self.prune().await,
            }
        }
    }

    /// Appends what was recorded; answers who waits. Says whom to tell when the writer is to end.
    async fn obey(&mut self, orders: impl Iterator<Item = Order>) -> Option<oneshot::Sender<()>> {
        let (mut events, mut waiting, mut closed) = (Vec::new(), Vec::new(), None);
        for order in orders {
            match order {
                Order::Record(event) => events.push(*event),
                Order::Flush(tell) => waiting.push(tell),
                Order::Close(tell) => closed = Some(tell),
            }
        }
        let lost = self.shared.lost.swap(0, Ordering::SeqCst);
        if lost > 0 {
            tracing::error!(lost, "audit events came faster than they could be written");
            events.push(gap(lost).stamp(unix_ms()));
        }
        if !events.is_empty() {
            self.append(&events).await;
        }
        waiting.into_iter().for_each(|tell| {
            let _gone = tell.send(());
        });
        if self.head.is_some_and(|(seq, _)| seq - self.sealed >= self.cadence.checkpoint_rows) {
            self.seal().await;
        }
        closed
    }

    /// Appends until the store has taken it. Only a store that is beyond use, or does not answer while the process
    /// ends, makes it give up.
    async fn append(&mut self, events: &[Stamped]) {
        let mut pause = RETRY.0;
        let mut give_up: Option<Instant> = None;
        loop {
            let error = match self.try_append(events).await {
                Ok(()) => return,
                Err(error) => error,
            };
            if self.shared.closing.load(Ordering::SeqCst) && give_up.is_none() {
                give_up = Some(Instant::now() + LAST_WAIT);
            }
            if error.is_fatal() || give_up.is_some_and(|at| Instant::now() >= at) {
                tracing::error!(%error, rows = events.len(), "audit events are lost: the store does not take them");
                self.shared.lost.fetch_add(events.len() as u64, Ordering::SeqCst);
                return;
            }
            tracing::warn!(%error, "audit events wait for the store");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    async fn try_append(&mut self, events: &[Stamped]) -> Result<(), StoreError> {
        let mut mine: Option<Head> = None;
        loop {
            let known = match self.head {
                Some(head) => head,
                None => self.read_head().await?,
            };
            if mine == Some(known) {
                return Ok(()); // an append whose answer was lost
            }
            let rows = chain(&self.node, known, events);
            let last = rows.last().map_or(known, |row| (row.seq, row.hash));
            mine = Some(last);
            match append_rows(&self.store, &self.node, known, rows).await {
                Ok(true) => {
                    self.head = Some(last);
                    return Ok(());
                }
                Ok(false) => self.head = Some(self.follow(known).await?),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    // It may have been committed for all that.
                    if self.follow(known).await.is_ok_and(|head| head == last) {
                        self.head = Some(last);
                        return Ok(());
                    }
                    self.head = None;
                    return Err(error);
                }
            }
        }
    }

    async fn read_head(&mut self) -> Result<Head, StoreError> {
        let head = self.store.audit_head(&self.node).await?.unwrap_or((0, GENESIS));
        self.head = Some(head);
        if self.sealed == 0 {
            let last = self.store.checkpoints(&self.node).await?;
            self.sealed = last.iter().map(|c| c.seq).max().unwrap_or(0).min(head.0);
        }
        Ok(head)
    }

    /// Reads what another process appended after `known` and checks that it is linked to it.
    async fn follow(&self, known: Head) -> Result<Head, StoreError> {
        let (mut seq, mut hash) = known;
        loop {
            let page = self.store.audit_rows(Some(&self.node), seq, PAGE, AuditFilter::default()).await?;
            let full = page.len() == PAGE as usize;
            for row in page {
                if row.seq != seq + 1 || link(&hash, &row) != row.hash {
                    tracing::error!(node = %self.node, seq = row.seq, "the audit chain was tampered with");
                }
                (seq, hash) = (row.seq, row.hash);
            }
            if !full {
                break;
            }
        }
        if seq == known.0 {
            // Nothing after it, and yet it is not the head: it was taken away or changed.
            let head = self.store.audit_head(&self.node).await?.unwrap_or((0, GENESIS));
            if head != known {
                tracing::error!(node = %self.node, seq, "the audit chain was tampered with: its head is gone");
            }
            return Ok(head);
        }
        Ok((seq, hash))
    }

    /// Signs the head when it has moved, and puts it on the log.
    async fn seal(&mut self) {
        if let Err(error) = self.try_seal().await {
            tracing::warn!(%error, "the audit chain cannot be sealed now");
        }
    }

    async fn try_seal(&mut self) -> Result<(), StoreError> {
        let (seq, hash) = match self.head {
            Some(known) => self.follow(known).await?,
            None => self.read_head().await?,
        };
        self.head = Some((seq, hash));
        if seq <= self.sealed {
            return Ok(());
        }
        let checkpoint = self.sealer.seal(&self.node, seq, hash, rfc3339_ms(unix_ms()));
        let (time, sig) = (checkpoint.time.clone(), b64::encode(&checkpoint.sig));
        self.store.put_checkpoint(checkpoint).await?;
        self.sealed = seq;
        tracing::info!(node = %self.node, seq, hash = hex(&hash), time, sig, "audit checkpoint");
        Ok(())
    }

    /// Takes rows past their time away, and says so in the chain first.
    async fn prune(&mut self) {
        if let Err(error) = self.try_prune().await {
            tracing::warn!(%error, "old audit rows cannot be pruned now");
        }
    }

    async fn try_prune(&mut self) -> Result<(), StoreError> {
        let before = rfc3339_ms(unix_ms().saturating_sub(self.cadence.retention.as_millis() as u64));
        let (mut seq, mut old, mut looked_at) = (0, None, 0);
        'pages: while looked_at < PRUNE_AT_MOST {
            let page = self.store.audit_rows(Some(&self.node), seq, PAGE, AuditFilter::default()).await?;
            looked_at += page.len();
            let Some(last) = page.last() else { break };
            seq = last.seq;
            for row in page {
                if row.ts >= before {
                    break 'pages;
                }
                old = Some((row.seq, row.hash));
            }
        }
        let Some((up_to, hash)) = old else { return Ok(()) };
        self.append(&[pruned(up_to, &hash).stamp(unix_ms())]).await;
        let rows = self.store.prune_audit(&self.node, up_to).await?;
        tracing::info!(node = %self.node, up_to, rows, "audit rows past their time are gone");
        Ok(())
    }
}

fn gap(count: u64) -> AuditEvent {
    AuditEvent::new("audit_gap", Outcome::Failure).severity(Severity::Alert).detail("count", count)
}

fn pruned(up_to: i64, hash: &[u8; 32]) -> AuditEvent {
    AuditEvent::new(super::verify::PRUNED, Outcome::Success).detail("up_to", up_to).detail("hash", hex(hash))
}

/// The rows of these events on top of a head.
fn chain(node: &str, (mut seq, mut hash): Head, events: &[Stamped]) -> Vec<AuditRow> {
    let next = |event: &Stamped| {
        seq += 1;
        let mut row = event.row(node, seq);
        row.hash = link(&hash, &row);
        hash = row.hash;
        row
    };
    events.iter().map(next).collect()
}

async fn append_rows(store: &Store, node: &str, on: Head, rows: Vec<AuditRow>) -> Result<bool, StoreError> {
    store.append_audit(node, (on.0 > 0).then_some(on.0), rows).await
}

/// Appends one event at once, beside a running server if there is one: what commands do.
///
/// # Errors
/// When the store does not take it.
pub async fn append_now(store: &Store, node: &str, event: AuditEvent) -> Result<(), StoreError> {
    let event = [event.stamp(unix_ms())];
    loop {
        let head = store.audit_head(node).await?.unwrap_or((0, GENESIS));
        if append_rows(store, node, head, chain(node, head, &event)).await? {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
