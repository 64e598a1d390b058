//! The audit log: who did what to this server, in a chain nobody can change unseen.
//!
//! [`Audit::record`] puts an event into a bounded queue and never waits. One task of the process ([`writer`]) takes
//! events in batches, numbers them densely, links each to the one before ([`row`]) and appends them in one transaction.
//! A command beside a running server appends through [`append_now`]; the writer notices that the head has moved and
//! goes on from there. Every minute, every thousand rows and at the end the writer signs the head ([`seal`]); the signed
//! head is in the store and on the log, so that a copy of it can leave the machine. [`verify`] judges all of it.
//!
//! What always holds: an event is in the chain, or counted in an `audit_gap` row that is. No token, password, message
//! body or query string gets here, and no text from outside reaches a row with control or direction characters in it.
//!
//! Source: `security.md` "Audit", research page "Security" section 6; formats in `docs/audit.md`.

mod event;
pub mod life;
pub mod row;
pub mod seal;
pub mod verify;
mod writer;

pub use event::{AuditEvent, Outcome, Severity};
pub use seal::{Sealer, node_name};
pub use writer::{Cadence, append_now};

use event::Stamped;
use fanfare_store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Events that may wait for the writer.
const QUEUE: usize = 8192;

/// Who writes, and how often the chain is sealed and pruned.
#[derive(Debug)]
pub struct AuditOptions {
    /// Names this node's chain.
    pub node: String,
    /// Signs checkpoints.
    pub sealer: Sealer,
    /// How often.
    pub cadence: Cadence,
}

/// The writer's end of the queue; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    orders: mpsc::Sender<Order>,
    shared: Arc<Shared>,
}

/// What the handle and the writer both look at.
#[derive(Debug, Default)]
struct Shared {
    /// Events that found the queue full and are in no `audit_gap` row yet.
    lost: AtomicU64,
    /// All events that ever found it full.
    lost_ever: AtomicU64,
    /// The process is ending: a store that does not answer is not waited for any more.
    closing: AtomicBool,
}

/// What the writer is told.
#[derive(Debug)]
enum Order {
    Record(Box<Stamped>),
    /// Answer when everything before this is in the store.
    Flush(oneshot::Sender<()>),
    /// As flush, then seal the head and end.
    Close(oneshot::Sender<()>),
}

impl Audit {
    /// Starts the writer on the current runtime.
    pub fn start(store: Store, options: AuditOptions) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let writer = writer::Writer::new(store, options, inbox, shared.clone());
        tokio::spawn(writer.run());
        Self { orders, shared }
    }

    /// Notes an event. Never waits: with the queue full the event is counted, and the count becomes an `audit_gap` row.
    pub fn record(&self, event: AuditEvent) {
        let order = Order::Record(Box::new(event.stamp(crate::node::unix_ms())));
        if self.orders.try_send(order).is_err() {
            self.shared.lost.fetch_add(1, Ordering::SeqCst);
            self.shared.lost_ever.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that found the queue full since the start.
    pub fn lost(&self) -> u64 {
        self.shared.lost_ever.load(Ordering::Relaxed)
    }

    /// Waits until everything recorded before is in the store.
    pub async fn flush(&self) {
        let (tell, told) = oneshot::channel();
        if self.orders.send(Order::Flush(tell)).await.is_ok() {
            let _ended = told.await;
        }
    }

    /// Writes what is queued, seals the head and ends the writer. A store that does not answer is given a few seconds.
    pub async fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        let (tell, told) = oneshot::channel();
        if self.orders.send(Order::Close(tell)).await.is_ok() {
            let _ended = told.await;
        }
    }
}
