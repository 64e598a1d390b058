//! The end of a node's chain, where rows are appended: verification of its head and handling of tampering.
//!
//! Every append is one transaction of rows and their signed head, on condition that the chain still ends where it was
//! last seen. A chain is continued only from a head that this key has signed: the last one this process wrote, a later
//! one of another process with the same key (a command), or at the start the newest in the store. Rows after it,
//! missing rows before it, and a store whose newest head is older than the known one are tampering: an error line and a
//! row `audit_tampered` are written, and the chain is continued from the known head, so that no row is sealed that was
//! not written with the key and [`super::verify`] finds the place.
//!
//! A chain of a version before signed heads ends with rows that no checkpoint covers. They are taken over once, if they
//! are linked to the last checkpoint: before this data folder first stored a head.

use super::event::{AuditEvent, Outcome, Severity, Stamped};
use super::mark::{Head, Mark};
use super::row::{GENESIS, link};
use super::seal::{Judge, Sealed, Sealer};
use crate::clock::unix_ms;
use fanfare_core::time::rfc3339_ms;
use fanfare_store::{AuditEnd, AuditFilter, AuditPlace, AuditRow, Checkpoint, Store, StoreError};

/// Rows read at a time.
const PAGE: u32 = 1000;
/// The event of a row that reports tampering.
pub(super) const TAMPERED: &str = "audit_tampered";

/// The end of a chain; see the module's head.
pub(super) struct Chain {
    pub(super) store: Store,
    pub(super) node: String,
    pub(super) sealer: Sealer,
    judge: Judge,
    mark: Mark,
    /// The row that the next one is linked to; `None` before the first query of the store.
    head: Option<Head>,
    /// The signed head, if this process has it.
    signed: Option<Checkpoint>,
    /// Where the chain ended when it was last read.
    place: AuditPlace,
    /// This process's own last head, if the next one may replace it because it is not published.
    replaceable: Option<i64>,
    /// The head of a failed append, whose commit is uncertain.
    in_doubt: Option<Head>,
    /// Whether the data folder has a head of this chain.
    is_marked: bool,
    /// Findings that have no row yet.
    findings: Vec<Stamped>,
}

impl Chain {
    pub(super) fn new(store: Store, node: String, sealer: Sealer, mark: Mark) -> Self {
        Self {
            judge: sealer.judge(),
            store,
            node,
            sealer,
            mark,
            head: None,
            signed: None,
            place: AuditPlace::default(),
            replaceable: None,
            in_doubt: None,
            is_marked: false,
            findings: Vec::new(),
        }
    }

    /// The number of the last row known to this process.
    pub(super) fn known(&self) -> i64 {
        self.head.map_or(0, |(seq, _)| seq)
    }

    /// Appends events; retries only when another process was faster.
    pub(super) async fn append(&mut self, events: &[Stamped]) -> Result<(), StoreError> {
        loop {
            let head = match self.head {
                Some(head) => head,
                None => self.look().await?,
            };
            let rows = self.rows(head, events)?;
            let Some(last) = rows.last().map(|row| (row.seq, row.hash)) else { return Ok(()) };
            let seal = self.sealer.seal(&self.node, last.0, last.1, rfc3339_ms(unix_ms()));
            let appended = self.store.append_audit(self.place, rows, seal.clone(), self.replaceable).await;
            if appended.is_err() {
                self.in_doubt = Some(last);
            }
            if !appended? {
                // The new end may be from this append, if the response to it was lost: then its last row is the head
                // now.
                let found = self.look().await?;
                if found != last || self.in_doubt != Some(last) {
                    continue;
                }
            }
            self.head = Some(last);
            self.place = AuditPlace { last: last.0, sealed: Some(last.0) };
            (self.signed, self.replaceable) = (Some(seal), Some(last.0));
            self.in_doubt = None;
            self.findings.clear();
            if !self.is_marked {
                // From the first append on this folder holds no chain of a version before signed heads.
                self.mark.write(&self.node, last);
                self.is_marked = true;
            }
            return Ok(());
        }
    }

    /// Checks that the chain still ends where it did, and records tampering.
    pub(super) async fn check(&mut self) -> Result<(), StoreError> {
        self.look().await?;
        if self.findings.is_empty() { Ok(()) } else { self.append(&[]).await }
    }

    /// The signed head to be published: it stays in the store from here on, and the data folder stores it.
    pub(super) fn publish(&mut self) -> Option<&Checkpoint> {
        let signed =
            self.signed.as_ref().filter(|signed| Some(signed.seq) == self.head.map(|head| head.0))?;
        self.replaceable = None;
        self.mark.write(&self.node, (signed.seq, signed.hash));
        Some(signed)
    }

    /// The rows of the findings and these events on top of a head. Their numbers are new even where foreign rows exist.
    fn rows(&self, (seq, mut hash): Head, events: &[Stamped]) -> Result<Vec<AuditRow>, StoreError> {
        let mut seq = seq.max(self.place.last);
        let next = |event: &Stamped| {
            let none =
                || StoreError::Unavailable("a row of the audit log has the last number there is".into());
            seq = seq.checked_add(1).ok_or_else(none)?;
            let mut row = event.row(&self.node, seq);
            row.hash = link(&hash, &row);
            hash = row.hash;
            Ok(row)
        };
        self.findings.iter().chain(events).map(next).collect()
    }

    /// Reads the chain's end and finds the head to continue from.
    async fn look(&mut self) -> Result<Head, StoreError> {
        // In this order: the stored mark is never newer than the store's head.
        let remembered = self.mark.read(&self.node);
        self.is_marked |= remembered.is_some();
        let known = self.head.or(remembered);
        let end = self.store.audit_end(&self.node).await?;
        let place = end.place();
        if self.head.is_some() && place == self.place {
            return Ok(known.unwrap_or((0, GENESIS)));
        }
        let newest = self.newest(&end).await?;
        let found = newest.as_ref().map_or((0, GENESIS), |(c, _)| (c.seq, c.hash));
        let head = match known {
            None => found,
            Some(known) if found.0 > known.0 || found == known => found,
            Some(known) => {
                self.tampered("its newest signed head is gone", known.0.min(found.0 + 1), known.0);
                known
            }
        };
        let older = newest.as_ref().is_none_or(|(_, sealed)| *sealed == Sealed::Checkpoint);
        let mut head_is = head;
        if end.last > head.0 && known.is_none() && older {
            head_is = self.take_over(head, end.last).await?;
        } else if end.last > head.0.max(self.place.last) {
            self.tampered("rows that this server did not write", head.0 + 1, end.last);
        } else if end.last < head.0 && found == head {
            self.tampered("rows are gone", end.last + 1, head.0);
        }
        if self.head != Some(head_is) {
            self.signed = newest.map(|(c, _)| c);
            self.replaceable = None;
        }
        (self.head, self.place) = (Some(head_is), place);
        Ok(head_is)
    }

    /// The newest checkpoint that this key signed.
    async fn newest(&self, end: &AuditEnd) -> Result<Option<(Checkpoint, Sealed)>, StoreError> {
        let Some(newest) = &end.sealed else { return Ok(None) };
        if let Some(sealed) = self.judge.accepts(newest) {
            return Ok(Some((newest.clone(), sealed)));
        }
        let all = self.store.checkpoints(&self.node).await?;
        let signed = all.into_iter().rev().find_map(|c| self.judge.accepts(&c).map(|sealed| (c, sealed)));
        Ok(signed)
    }

    /// Takes over the rows after a checkpoint of a version before signed heads, if they are linked to it.
    async fn take_over(&mut self, from: Head, last: i64) -> Result<Head, StoreError> {
        let (mut seq, mut hash) = from;
        while seq < last {
            let page = self.store.audit_rows(Some(&self.node), seq, PAGE, AuditFilter::default()).await?;
            if page.is_empty() {
                break;
            }
            for row in page {
                if row.seq != seq + 1 || link(&hash, &row) != row.hash {
                    self.tampered("rows that this server did not write", seq + 1, last);
                    return Ok((seq, hash));
                }
                (seq, hash) = (row.seq, row.hash);
            }
        }
        tracing::warn!(
            node = %self.node, rows = seq - from.0, up_to = seq,
            "the audit chain of the version before ended without a checkpoint; its last rows are taken over"
        );
        Ok((seq, hash))
    }

    fn tampered(&mut self, what: &'static str, from: i64, to: i64) {
        tracing::error!(
            node = %self.node, from, to,
            "the audit chain was tampered with: {what}; run `fanfare audit verify` and keep a copy of the store"
        );
        let event = AuditEvent::new(TAMPERED, Outcome::Failure).severity(Severity::Alert);
        let event = event.reason(what).detail("from", from).detail("to", to);
        // The previous head stays, so that verify finds the break there.
        self.replaceable = None;
        self.findings.push(event.stamp(unix_ms()));
    }
}

/// Appends one event at once, beside a running server if there is one; used by commands.
///
/// # Errors
/// If the store rejects it.
pub async fn append_now(
    store: &Store,
    node: String,
    sealer: Sealer,
    mark: Mark,
    event: AuditEvent,
) -> Result<(), StoreError> {
    let event = [event.stamp(unix_ms())];
    Chain::new(store.clone(), node, sealer, mark).append(&event).await
}
