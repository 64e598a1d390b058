//! The audit log: security-relevant events of this server, in a chain that cannot be changed undetected.
//!
//! [`Audit::record`] puts an event into a bounded queue and never blocks. One task of the process ([`writer`]) takes
//! events in batches, numbers them densely, links each to the previous one ([`row`]) and appends them, with the signed
//! new head, in one transaction ([`chain`]). A command beside a running server appends through [`append_now`]; the
//! writer finds its signed head and continues from there. Every minute, every thousand rows and at the end the head is
//! also logged, so that a copy of it can leave the machine. [`verify`] checks the whole chain.
//!
//! Events that clients can cause at no cost ([`Audit::refused`], [`Audit::activity`]) are bounded ([`bounds`]) and have
//! a queue of their own, so that they never displace others.
//!
//! Invariants: an event is in the chain, or counted in an `audit_gap` row that is. No row is signed that was not
//! written with the key. No token, password, message body or query string is recorded, and no text from outside reaches
//! a row with control or direction characters in it.
//!
//! Source: `security.md` "Audit", research page "Security" section 6; formats in `docs/audit.md`.

mod bounds;
mod chain;
mod event;
pub mod life;
mod mark;
mod pruning;
pub mod row;
pub mod seal;
pub mod verify;
mod writer;

pub use chain::append_now;
pub use event::{AuditEvent, Outcome, Severity};
pub use mark::{FILE as AUDIT_HEAD, Mark};
pub use seal::{Sealer, node_name};
pub use writer::Cadence;

use crate::rates::Rate;
use bounds::{Allowance, LeftOut, Why};
use event::Stamped;
use fanfare_core::model::{Actor, Caller, ErrorCode, Refusal, network};
use fanfare_store::Store;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Maximum events that wait for the writer: administration, logins, keys, the server's start and stop.
const QUEUE: usize = 8192;
/// Maximum refusals and users' activity that wait for it.
const BOUNDED_QUEUE: usize = 4096;

/// The options of the audit log: signing, sealing and pruning.
#[derive(Debug)]
pub struct AuditOptions {
    /// The name of this node's chain.
    pub node: String,
    /// The key that signs heads.
    pub sealer: Sealer,
    /// The store of the newest head beside the keys.
    pub mark: Mark,
    /// How often the chain is sealed and pruned.
    pub cadence: Cadence,
}

/// The sending end of the queues; cheap to clone.
#[derive(Clone, Debug)]
pub struct Audit {
    orders: mpsc::Sender<Order>,
    bounded: mpsc::Sender<Box<Stamped>>,
    shared: Arc<Shared>,
}

/// The state shared by handle and writer.
#[derive(Debug)]
struct Shared {
    left_out: LeftOut,
    /// Whether the process is ending: an unresponsive store is not waited for any more.
    closing: AtomicBool,
    started: Instant,
    /// By network address.
    refusals: Allowance<IpAddr>,
    /// By user, or by the name of an API key.
    activity: Allowance<String>,
}

impl Shared {
    fn new() -> Self {
        let everyone = Rate::new(bounds::REFUSALS_PER_SECOND, bounds::REFUSALS_BURST);
        Self {
            left_out: LeftOut::default(),
            closing: AtomicBool::new(false),
            started: Instant::now(),
            refusals: Allowance::new(Rate::per_minute(bounds::REFUSALS_PER_MINUTE), everyone),
            activity: Allowance::new(Rate::per_minute(bounds::ACTIVITY_PER_MINUTE), None),
        }
    }

    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }
}

/// A request to the writer.
#[derive(Debug)]
enum Order {
    Record(Box<Stamped>),
    /// Reply when everything before this is in the store.
    Flush(oneshot::Sender<()>),
    /// As flush, then publish the head and end.
    Close(oneshot::Sender<()>),
}

impl Audit {
    /// Starts the writer on the current runtime.
    pub fn start(store: Store, options: AuditOptions) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let (bounded, bounded_inbox) = mpsc::channel(BOUNDED_QUEUE);
        let shared = Arc::new(Shared::new());
        let writer = writer::Writer::new(store, options, (inbox, bounded_inbox), shared.clone());
        tokio::spawn(crate::fatal::vital("audit log", writer.run()));
        Self { orders, bounded, shared }
    }

    /// Records an event that is never displaced by others: administration, logins, keys, the server's start and stop.
    /// Never blocks: if the queue is full the event is counted, and the count becomes an `audit_gap` row.
    pub fn record(&self, event: AuditEvent) {
        let order = Order::Record(Box::new(event.stamp(crate::clock::unix_ms())));
        if self.orders.try_send(order).is_err() {
            self.shared.left_out.add(Why::Overflow, 1);
        }
    }

    /// Records a refusal that a client can cause at no cost: a few a minute of one address are recorded, the rest is
    /// counted.
    pub fn refused(&self, address: IpAddr, event: impl FnOnce() -> AuditEvent) {
        let allowed = self.shared.refusals.take(network(address), self.shared.now_ns());
        self.bounded(allowed, Why::Refusals, event);
    }

    /// Records a user's activity that has no other bound: a number a minute of one user is recorded, the rest is
    /// counted.
    pub fn activity(&self, who: &str, event: impl FnOnce() -> AuditEvent) {
        let allowed = self.shared.activity.take(who.to_owned(), self.shared.now_ns());
        self.bounded(allowed, Why::Activity, event);
    }

    /// Records that a known caller was refused for a missing right, and returns the refusal. Anonymous callers could
    /// fill the log with refusals; the request's log line suffices there.
    pub fn denied(&self, actor: &Actor<'_>, reason: &'static str, refusal: Refusal) -> Refusal {
        let who = match actor.caller {
            Caller::User(user) => &*user.user_id,
            Caller::Server(key) => key.name.as_ref(),
            Caller::Anonymous => return refusal,
        };
        if refusal.code == ErrorCode::Forbidden {
            let event = || {
                AuditEvent::new("authz_fail", Outcome::Denied)
                    .by(actor.origin)
                    .caller(actor.caller)
                    .reason(reason)
            };
            self.activity(who, event);
        }
        refusal
    }

    fn bounded(&self, allowed: bool, why: Why, event: impl FnOnce() -> AuditEvent) {
        let sent = allowed && {
            let event = event().stamp(crate::clock::unix_ms());
            self.bounded.try_send(Box::new(event)).is_ok()
        };
        if !sent {
            self.shared.left_out.add(why, 1);
        }
    }

    /// Events since the start that are only counted in `audit_gap` rows.
    pub fn lost(&self) -> u64 {
        self.shared.left_out.ever()
    }

    /// Waits until every event recorded before is in the store.
    pub async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.orders.send(Order::Flush(done)).await.is_ok() {
            let _ended = written.await;
        }
    }

    /// Writes the queued events, publishes the head and ends the writer. An unresponsive store is waited for a few
    /// seconds.
    pub async fn close(&self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        let (done, written) = oneshot::channel();
        if self.orders.send(Order::Close(done)).await.is_ok() {
            let _ended = written.await;
        }
    }
}
