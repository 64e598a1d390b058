//! The bytes of a row and how rows are linked.
//!
//! A row's bytes are the PAE (PASETO's pre-authentication encoding: the number of pieces, then each piece with its
//! length, all as 64-bit little-endian numbers) of 14 pieces in this order: `node`; `seq` as 8 bytes, big-endian; `ts`;
//! `event`; `outcome`; `severity`; `user_id`; `session`; `ip`; `user_agent`; `request_id`; `origin`; `reason`; `detail`.
//! A piece that may be absent (from `user_id` to `reason`) is empty when it is, else one byte 1 and the text, so that
//! absent and empty differ. Two different rows never have the same bytes.
//!
//! `h_n = SHA-256(PAE("fanfare/v1/audit", h_{n-1}, bytes of row n))`; `h_0` is 32 zero bytes.

use fanfare_e2ee::pae;
use fanfare_store::AuditRow;
use sha2::{Digest, Sha256};

/// The label of the chain.
const LABEL: &[u8] = b"fanfare/v1/audit";
/// The hash that the first row is linked to.
pub const GENESIS: [u8; 32] = [0; 32];

/// The bytes a row is hashed as; see the module's head.
pub fn bytes(row: &AuditRow) -> Vec<u8> {
    let optional =
        |text: &Option<String>| text.as_ref().map_or_else(Vec::new, |text| [&[1], text.as_bytes()].concat());
    let seq = row.seq.to_be_bytes();
    let optionals =
        [&row.user_id, &row.session, &row.ip, &row.user_agent, &row.request_id, &row.origin, &row.reason]
            .map(optional);
    let mut pieces: Vec<&[u8]> = vec![
        row.node.as_bytes(),
        &seq,
        row.ts.as_bytes(),
        row.event.as_bytes(),
        row.outcome.as_bytes(),
        row.severity.as_bytes(),
    ];
    pieces.extend(optionals.iter().map(Vec::as_slice));
    pieces.push(row.detail.as_bytes());
    pae(&pieces)
}

/// The hash that links a row to the previous one.
pub fn link(before: &[u8; 32], row: &AuditRow) -> [u8; 32] {
    Sha256::digest(pae(&[LABEL, before, &bytes(row)])).into()
}

#[cfg(test)]
pub(super) use tests::sample as sample_in;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row with every column different.
    pub(in crate::audit) fn sample(node: &str, seq: i64) -> AuditRow {
        let some = |name: &str| Some(format!("{name}-{seq}"));
        AuditRow {
            node: node.into(),
            seq,
            ts: "2026-11-21T11:21:00.000Z".into(),
            event: "admin_action".into(),
            outcome: "success".into(),
            severity: "info".into(),
            user_id: some("user"),
            session: some("session"),
            ip: Some("127.0.0.1".into()),
            user_agent: some("agent"),
            request_id: some("request"),
            origin: some("origin"),
            reason: some("reason"),
            detail: format!("{{\"n\":{seq}}}"),
            hash: [0; 32],
        }
    }

    #[test]
    fn every_column_is_in_the_hash_and_absent_is_not_empty() {
        let row = sample("n", 1);
        let changes: Vec<fn(&mut AuditRow)> = vec![
            |r| r.node.push('x'),
            |r| r.seq += 1,
            |r| r.ts.push('x'),
            |r| r.event.push('x'),
            |r| r.outcome.push('x'),
            |r| r.severity.push('x'),
            |r| r.user_id = None,
            |r| r.session = None,
            |r| r.ip = None,
            |r| r.user_agent = None,
            |r| r.user_agent = Some(String::new()),
            |r| r.request_id = None,
            |r| r.origin = None,
            |r| r.reason = None,
            |r| r.detail.push(' '),
            // A text that moves to a neighbouring column.
            |r| {
                r.event = "admin_actionsuccess".into();
                r.outcome = String::new();
            },
            |r| {
                r.origin = r.reason.take();
            },
        ];
        let mut seen = std::collections::HashSet::from([link(&GENESIS, &row)]);
        for (at, change) in changes.iter().enumerate() {
            let mut other = row.clone();
            change(&mut other);
            assert!(seen.insert(link(&GENESIS, &other)), "change {at} is not detected");
        }
        assert!(seen.insert(link(&[1; 32], &row)), "the row before is not detected");
    }

    #[test]
    fn the_encoding_is_the_documented_one() {
        let row = AuditRow {
            user_id: None,
            session: None,
            ip: None,
            user_agent: None,
            request_id: None,
            origin: None,
            reason: Some("r".into()),
            ..sample("n", 2)
        };
        let mut want = Vec::new();
        let number = |n: u64, out: &mut Vec<u8>| out.extend_from_slice(&n.to_le_bytes());
        number(14, &mut want);
        let seq = 2_i64.to_be_bytes();
        let pieces: [&[u8]; 14] = [
            b"n",
            &seq,
            b"2026-11-21T11:21:00.000Z",
            b"admin_action",
            b"success",
            b"info",
            b"",
            b"",
            b"",
            b"",
            b"",
            b"",
            b"\x01r",
            b"{\"n\":2}",
        ];
        for piece in pieces {
            number(piece.len() as u64, &mut want);
            want.extend_from_slice(piece);
        }
        assert_eq!(bytes(&row), want);
    }
}
