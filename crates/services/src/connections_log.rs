//! Connection records (table `sessions`): a row for every connection of a user, written when it has closed (seed 003).
//!
//! Shards pass rows on and never block. One task gathers rows for a moment and writes them together. The table is
//! informational and not an acknowledged write: if the queue is full, or the store is unavailable for long, rows are
//! counted (`fanfare_connection_rows_lost_total`) and left out.

use crate::fatal;
use fanfare_store::{ConnectionRow, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Maximum rows that wait: a full server whose clients all disconnect at once, and more.
const QUEUE: usize = 65_536;
/// Rows of one transaction.
const BATCH: usize = 1024;
/// How long rows gather before they are written.
const GATHER: Duration = Duration::from_millis(200);
/// Attempts to write a batch, and the pause between them.
const TRIES: (usize, Duration) = (5, Duration::from_millis(500));

/// The sending end of the queue; cheap to clone.
#[derive(Clone, Debug)]
pub struct ConnectionsLog {
    orders: mpsc::Sender<Order>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Order {
    Row(Box<ConnectionRow>),
    Flush(oneshot::Sender<()>),
}

impl ConnectionsLog {
    /// Starts the writer on the current runtime.
    pub fn start(store: Store) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        tokio::spawn(fatal::vital("connection records", write(store, inbox, lost.clone())));
        Self { orders, lost }
    }

    /// Records a connection that has closed. Never blocks.
    pub fn closed(&self, row: ConnectionRow) {
        if self.orders.try_send(Order::Row(Box::new(row))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of rows left out.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Waits until every earlier row is written, or given up.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).await.is_ok() {
            let _ended = written.await;
        }
    }
}

async fn write(store: Store, mut inbox: mpsc::Receiver<Order>, lost: Arc<AtomicU64>) {
    let mut orders = Vec::with_capacity(BATCH);
    while inbox.recv_many(&mut orders, BATCH).await > 0 {
        let asked = |orders: &[Order]| orders.iter().any(|o| matches!(o, Order::Flush(_)));
        let until = tokio::time::Instant::now() + GATHER;
        while orders.len() < BATCH && !asked(&orders) {
            let room = BATCH - orders.len();
            match tokio::time::timeout_at(until, inbox.recv_many(&mut orders, room)).await {
                Ok(n) if n > 0 => {}
                _ => break,
            }
        }
        let (mut rows, mut waiting) = (Vec::new(), Vec::new());
        for order in orders.drain(..) {
            match order {
                Order::Row(row) => rows.push(*row),
                Order::Flush(done) => waiting.push(done),
            }
        }
        put(&store, rows, &lost).await;
        waiting.into_iter().for_each(|done| {
            let _gone = done.send(());
        });
    }
}

async fn put(store: &Store, rows: Vec<ConnectionRow>, lost: &AtomicU64) {
    if rows.is_empty() {
        return;
    }
    for _ in 0..TRIES.0 {
        match store.put_connections(rows.clone()).await {
            Ok(()) => return,
            Err(error) if error.is_fatal() => break,
            Err(error) => tracing::warn!(%error, rows = rows.len(), "closed connections wait for the store"),
        }
        tokio::time::sleep(TRIES.1).await;
    }
    tracing::warn!(rows = rows.len(), "closed connections are left out of the store");
    lost.fetch_add(rows.len() as u64, Ordering::Relaxed);
}
