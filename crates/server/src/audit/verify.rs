//! Judges a chain: is every row the one that was written, is none missing, is none new?
//!
//! Rows are walked in order; each must have the number after the one before and the hash that [`super::row::link`]
//! gives. A chain whose beginning was pruned starts after the row that one of its `audit_pruned` rows names. Then every
//! checkpoint is looked at: it must be signed by the key, name a row that is there, and name its hash. What no check of a
//! chain alone can see (rows cut off the end behind the last checkpoint, or a chain that is gone with all its
//! checkpoints) is seen with an anchor: a checkpoint that somebody copied from the log.
//!
//! Nothing is written, so that it may be done beside a running server.

use super::row::{GENESIS, link};
use super::seal::Judge;
use fanfare_store::{AuditFilter, AuditRow, Checkpoint, Store, StoreError};
use std::collections::BTreeMap;

/// The event that names the last row that was pruned.
pub(super) const PRUNED: &str = "audit_pruned";
/// Rows read at a time.
const PAGE: u32 = 1000;
/// Looks at a chain that seems broken.
const LOOKS: usize = 3;

/// Where a chain is first broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first row that is not what was written, or is missing.
    pub seq: i64,
    /// What is wrong.
    pub why: String,
}

fn broken(seq: i64, why: impl Into<String>) -> Broken {
    Broken { seq, why: why.into() }
}

/// What was found intact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intact {
    /// Rows looked at.
    pub rows: u64,
    /// The first row's number; 0 of an empty chain.
    pub first: i64,
    /// The last row's number; 0 of an empty chain.
    pub last: i64,
    /// Checkpoints whose signature was verified.
    pub checkpoints: usize,
    /// Rows up to here are under a verified checkpoint or anchor.
    pub sealed: i64,
}

/// A row's number and hash, known from outside of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The row's number.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// `SEQ:HASH` with 64 hexadecimal digits, as the log's checkpoint lines have them.
impl std::str::FromStr for Anchor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an anchor is SEQ:HASH, as a checkpoint's line on the log has them".to_owned();
        let (seq, hash) = text.split_once(':').ok_or_else(wrong)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(wrong)?;
        Ok(Self { seq, hash: unhex(hash).ok_or_else(wrong)? })
    }
}

/// What a chain is judged by.
#[derive(Clone, Debug, Default)]
pub struct Against {
    /// The key that signs its checkpoints; without it signatures are not looked at.
    pub judge: Option<Judge>,
    /// Heads known from outside.
    pub anchors: Vec<Anchor>,
}

/// Judges the chain of one node. The outer error is the store's.
///
/// # Errors
/// The store cannot be read.
pub async fn verify(
    store: &Store,
    node: &str,
    against: &Against,
) -> Result<Result<Intact, Broken>, StoreError> {
    // A server that prunes just now can take rows away between two looks: only what stays broken is.
    let mut found = walk(store, node, against).await?;
    for _ in 1..LOOKS {
        if found.is_err() {
            found = walk(store, node, against).await?;
        }
    }
    Ok(found)
}

async fn walk(store: &Store, node: &str, against: &Against) -> Result<Result<Intact, Broken>, StoreError> {
    // Checkpoints are read first: what a running server appends meanwhile must not look like rows without a seal, nor a
    // seal without rows.
    let checkpoints = store.checkpoints(node).await?;
    let filter = AuditFilter { event: Some(PRUNED.to_owned()), ..AuditFilter::default() };
    let pruned = store.audit_rows(Some(node), i64::MIN, PAGE, filter).await?;
    let mut walk = Walk::new(node, &pruned, &checkpoints, against);
    let mut after = i64::MIN;
    loop {
        let page = store.audit_rows(Some(node), after, PAGE, AuditFilter::default()).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for row in &page {
            if let Err(broken) = walk.row(row) {
                return Ok(Err(broken));
            }
        }
    }
    Ok(walk.end())
}

/// How thorough a walk is; less than everything only in the tests' twins.
#[derive(Clone, Copy, Debug)]
struct Rigour {
    hashes: bool,
    numbers: bool,
    checkpoints: bool,
}

const ALL: Rigour = Rigour { hashes: true, numbers: true, checkpoints: true };

/// A walk along a chain.
struct Walk<'a> {
    node: &'a str,
    rigour: Rigour,
    against: &'a Against,
    /// Where the chain may begin: the number of the last row that is gone, and its hash.
    beginnings: BTreeMap<i64, [u8; 32]>,
    /// Checkpoints and anchors by the row they name.
    sealed: BTreeMap<i64, Vec<Seal<'a>>>,
    head: Option<(i64, [u8; 32])>,
    intact: Intact,
}

enum Seal<'a> {
    Checkpoint(&'a Checkpoint),
    Anchor([u8; 32]),
}

impl<'a> Walk<'a> {
    fn new(node: &'a str, pruned: &[AuditRow], checkpoints: &'a [Checkpoint], against: &'a Against) -> Self {
        let mut beginnings: BTreeMap<_, _> = pruned.iter().filter_map(beginning).collect();
        beginnings.insert(0, GENESIS);
        let mut sealed: BTreeMap<i64, Vec<Seal<'a>>> = BTreeMap::new();
        for c in checkpoints {
            sealed.entry(c.seq).or_default().push(Seal::Checkpoint(c));
        }
        for a in &against.anchors {
            sealed.entry(a.seq).or_default().push(Seal::Anchor(a.hash));
        }
        Self { node, rigour: ALL, against, beginnings, sealed, head: None, intact: Intact::default() }
    }

    fn row(&mut self, row: &AuditRow) -> Result<(), Broken> {
        if row.node != self.node {
            return Err(broken(row.seq, "belongs to another node's chain"));
        }
        let before = match self.head {
            None => self.begin(row)?,
            Some(head) => head,
        };
        if self.rigour.numbers && row.seq != before.0 + 1 {
            // A number twice or too small is itself the row at fault; a hole begins at the first missing one.
            let (seq, why) = match row.seq > before.0 {
                true => (before.0 + 1, format!("is missing; the next row is {}", row.seq)),
                false => (row.seq, format!("follows row {}", before.0)),
            };
            return Err(broken(seq, why));
        }
        if self.rigour.hashes && link(&before.1, row) != row.hash {
            return Err(broken(row.seq, "is not the row that was written here"));
        }
        self.head = Some((row.seq, row.hash));
        self.intact.rows += 1;
        self.intact.last = row.seq;
        let seals = self.sealed.remove(&row.seq).unwrap_or_default();
        seals.iter().try_for_each(|seal| self.seal(row.seq, seal, Some(&row.hash)))
    }

    /// What the first row is linked to.
    fn begin(&mut self, row: &AuditRow) -> Result<(i64, [u8; 32]), Broken> {
        self.intact.first = row.seq;
        if row.seq < 1 {
            return Err(broken(row.seq, "stands before the first row"));
        }
        let gone = row.seq - 1;
        match self.beginnings.get(&gone) {
            Some(hash) => Ok((gone, *hash)),
            None => {
                Err(broken(1, format!("is missing, and no row says that those up to {gone} were pruned")))
            }
        }
    }

    fn seal(&mut self, seq: i64, seal: &Seal<'_>, hash: Option<&[u8; 32]>) -> Result<(), Broken> {
        if !self.rigour.checkpoints {
            return Ok(());
        }
        let named = match seal {
            Seal::Anchor(named) => named,
            Seal::Checkpoint(c) => {
                match &self.against.judge {
                    None => return Ok(()),
                    Some(judge) if judge.accepts(c) => self.intact.checkpoints += 1,
                    Some(_) => {
                        return Err(broken(seq, "has a checkpoint that this key has not signed"));
                    }
                }
                &c.hash
            }
        };
        match hash {
            Some(hash) if hash != named => Err(broken(seq, "is not the row that was sealed")),
            Some(_) => {
                self.intact.sealed = self.intact.sealed.max(seq);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// What is left when the rows are at their end: seals of rows that were pruned, and of rows that are missing.
    fn end(mut self) -> Result<Intact, Broken> {
        let last = self.intact.last;
        for (seq, seals) in std::mem::take(&mut self.sealed) {
            if self.rigour.checkpoints && (seq > last || self.intact.first == 0) {
                let why =
                    format!("is missing: the chain was sealed up to row {seq} and ends with row {last}");
                return Err(broken(last + 1, why));
            }
            for seal in &seals {
                self.seal(seq, seal, None)?;
            }
        }
        Ok(self.intact)
    }
}

/// What an `audit_pruned` row names. Whether the row itself is genuine shows when the walk comes to it.
fn beginning(row: &AuditRow) -> Option<(i64, [u8; 32])> {
    let detail: serde_json::Value = serde_json::from_str(&row.detail).ok()?;
    Some((detail.get("up_to")?.as_i64()?, unhex(detail.get("hash")?.as_str()?)?))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests;
