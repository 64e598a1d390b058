//! The statement that old rows were removed: an `audit_pruned` row with a signature of its own.
//!
//! `detail` of the row: `up_to` (the last row that was removed), `hash` (that row's), `before` and `at` (milliseconds since
//! 1970: every row that was removed is older than `before`; the statement was made at `at`), and
//! `sig = Ed25519(key, PAE("fanfare/v1/audit-pruned", node, up_to, hash, before, at))` with numbers as 8 bytes, big-endian.
//! A statement is trusted if this key signed it and `at - before` is at least the retention. One without a signature is
//! from a version before signatures; it is trusted only if its own row is covered by a checkpoint of this key.

use super::event::{AuditEvent, Outcome, hex};
use super::mark::Head;
use super::seal::{Judge, Sealer};
use super::verify::unhex;
use fanfare_core::time::rfc3339_ms;
use fanfare_e2ee::{b64, pae};
use fanfare_store::AuditRow;
use std::time::Duration;

/// The event of the row.
pub(super) const PRUNED: &str = "audit_pruned";
/// The label of the signed text.
const LABEL: &[u8] = b"fanfare/v1/audit-pruned";

/// The signed text.
fn text(node: &str, (up_to, hash): &Head, before: i64, at: i64) -> Vec<u8> {
    let number = i64::to_be_bytes;
    pae(&[LABEL, node.as_bytes(), &number(*up_to), hash, &number(before), &number(at)])
}

/// The event that states that all rows up to `last` were removed, being older than `before`.
pub(super) fn statement(sealer: &Sealer, node: &str, last: &Head, before: u64, at: u64) -> AuditEvent {
    let sig = sealer.sign(&text(node, last, before as i64, at as i64));
    AuditEvent::new(PRUNED, Outcome::Success)
        .detail("up_to", last.0)
        .detail("hash", hex(&last.1))
        .detail("before", before)
        .detail("at", at)
        .detail("sig", b64::encode(&sig))
}

/// A parsed statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// The last row that was removed.
    pub(super) last: Head,
    /// The row of the statement itself.
    pub(super) seq: i64,
    pub(super) trust: Trust,
}

/// Whether a statement is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Trusted: this key signed it, or no key was given to check with.
    Signed,
    /// It has no signature: it is trusted as far as the checkpoint that covers it.
    Unsigned,
    /// Not trusted, with the reason.
    Refused(&'static str),
}

/// Parses an `audit_pruned` row; `None` when it names no row.
pub(super) fn read(row: &AuditRow, judge: Option<&Judge>, retention: Duration) -> Option<Statement> {
    let detail: serde_json::Value = serde_json::from_str(&row.detail).ok()?;
    let last = (detail.get("up_to")?.as_i64()?, unhex(detail.get("hash")?.as_str()?)?);
    let number = |name: &str| detail.get(name).and_then(serde_json::Value::as_i64).unwrap_or(0);
    let (before, at) = (number("before"), number("at"));
    let trust = match (judge, detail.get("sig").and_then(|sig| sig.as_str())) {
        (None, _) => Trust::Signed,
        (Some(_), None) => Trust::Unsigned,
        (Some(judge), Some(sig)) => {
            let sig = b64::decode_array::<64>(sig).ok();
            let kept = at.saturating_sub(before);
            if !sig.is_some_and(|sig| judge.signed(&text(&row.node, &last, before, at), &sig)) {
                Trust::Refused("says that rows were pruned, and this key has not signed it")
            } else if row.ts != rfc3339_ms(at.max(0).unsigned_abs()) {
                Trust::Refused("says that rows were pruned at another time than its own")
            } else if kept < i64::try_from(retention.as_millis()).unwrap_or(i64::MAX) {
                Trust::Refused("says that rows were pruned that are within the retention")
            } else {
                Trust::Signed
            }
        }
    };
    Some(Statement { last, seq: row.seq, trust })
}
