//! Verification of a chain: every row is the one that was written, none is missing, none is foreign.
//!
//! Rows are read in order; each must have the next number and the hash that [`super::row::link`] gives. A chain whose
//! beginning was pruned starts after the row that a trusted `audit_pruned` row names ([`super::pruning`]). Then every
//! checkpoint is checked: it must be signed by the key, name an existing row, and contain its hash; and no row may
//! follow the newest signed head. The chain alone cannot show that a store was rolled back to an older head; an anchor
//! shows it: a checkpoint copied from the log, or the one stored in the data folder ([`super::mark`]).
//!
//! Nothing is written, so that it can run beside a running server.

use super::mark::Head;
use super::pruning::{self, PRUNED, Trust};
use super::row::{GENESIS, link};
use super::seal::{Judge, Sealed};
use super::writer::RETENTION;
use fanfare_e2ee::b64;
use fanfare_store::{AuditFilter, AuditRow, Checkpoint, Store, StoreError};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows read at a time.
const PAGE: u32 = 1000;
/// Attempts on a chain that seems broken.
const LOOKS: usize = 3;

/// The first break of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first row that is not the written one, or is missing.
    pub seq: i64,
    /// The fault.
    pub why: String,
}

fn broken(seq: i64, why: impl Into<String>) -> Broken {
    Broken { seq, why: why.into() }
}

/// The result for an intact chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intact {
    /// The number of rows read.
    pub rows: u64,
    /// The first row's number; 0 of an empty chain.
    pub first: i64,
    /// The last row's number; 0 of an empty chain.
    pub last: i64,
    /// Checkpoints whose signature was verified.
    pub checkpoints: usize,
    /// The last row covered by a verified checkpoint or anchor.
    pub sealed: i64,
    /// The last row that was pruned by a version that did not sign it; 0 when there is none.
    pub unsigned_prune: i64,
}

/// A row's number and hash, known from outside the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The row's number.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// `SEQ:HASH` with 64 hexadecimal digits, as in the log's checkpoint lines.
impl std::str::FromStr for Anchor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "an anchor is SEQ:HASH, as a checkpoint's line on the log has them".to_owned();
        let (seq, hash) = text.split_once(':').ok_or_else(wrong)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or_else(wrong)?;
        Ok(Self { seq, hash: unhex(hash).ok_or_else(wrong)? })
    }
}

/// The checkpoints of a node in a log's lines, text or JSON; with a key only those it signed.
pub fn anchors_in(log: &str, node: &str, judge: Option<&Judge>) -> Vec<Anchor> {
    let of_line = |line: &str| {
        let field = |name: &str| {
            let (_, rest) =
                line.split_once(&format!(" {name}=")).or_else(|| line.split_once(&format!("\"{name}\":")))?;
            match rest.strip_prefix('"') {
                Some(quoted) => quoted.split('"').next(),
                None => rest.split([' ', ',', '}']).next(),
            }
        };
        let (seq, hash) = (field("seq")?.parse().ok().filter(|seq| *seq > 0)?, unhex(field("hash")?)?);
        let sig = b64::decode_array::<64>(field("sig")?).ok()?;
        let c =
            Checkpoint { node: field("node")?.to_owned(), seq, hash, time: field("time")?.to_owned(), sig };
        let is_good = c.node == node && judge.is_none_or(|judge| judge.accepts(&c).is_some());
        is_good.then_some(Anchor { seq, hash })
    };
    log.lines().filter(|line| line.contains("audit checkpoint")).filter_map(of_line).collect()
}

/// The data to verify a chain against.
#[derive(Clone, Debug)]
pub struct Against {
    /// The key that signs its checkpoints; without it signatures are not verified.
    pub judge: Option<Judge>,
    /// Heads known from outside.
    pub anchors: Vec<Anchor>,
    /// The head stored in the data folder: the chain must reach at least that row, and no row of it may be unsigned.
    pub mark: Option<Anchor>,
    /// How long a row must have been kept before it may be pruned.
    pub retention: Duration,
}

impl Default for Against {
    fn default() -> Self {
        Self { judge: None, anchors: Vec::new(), mark: None, retention: RETENTION }
    }
}

/// Verifies the chain of one node. The outer error is the store's.
///
/// # Errors
/// The store cannot be read.
pub async fn verify(
    store: &Store,
    node: &str,
    against: &Against,
) -> Result<Result<Intact, Broken>, StoreError> {
    // A server that is pruning may remove rows between two reads: only a lasting break counts.
    let mut found = walk(store, node, against).await?;
    for _ in 1..LOOKS {
        if found.is_err() {
            found = walk(store, node, against).await?;
        }
    }
    Ok(found)
}

async fn walk(store: &Store, node: &str, against: &Against) -> Result<Result<Intact, Broken>, StoreError> {
    // The end of the chain is read once; rows that a running server appends meanwhile are not verified.
    let end = store.audit_end(node).await?;
    let newest = end.sealed.as_ref().map_or(0, |c| c.seq);
    let mut checkpoints = store.checkpoints(node).await?;
    checkpoints.retain(|c| c.seq < newest);
    checkpoints.extend(end.sealed);
    let filter = AuditFilter { event: Some(PRUNED.to_owned()), ..AuditFilter::default() };
    let pruned = store.audit_rows(Some(node), i64::MIN, PAGE, filter).await?;
    let mut walk = Walk::new(node, &pruned, &checkpoints, against);
    let mut after = i64::MIN;
    while after < end.last {
        let page = store.audit_rows(Some(node), after, PAGE, AuditFilter::default()).await?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for row in page.iter().filter(|row| row.seq <= end.last) {
            if let Err(broken) = walk.row(row) {
                return Ok(Err(broken));
            }
        }
    }
    Ok(walk.end())
}

/// The checks of a walk; some are disabled only in negative tests.
#[derive(Clone, Copy, Debug)]
struct Rigour {
    hashes: bool,
    numbers: bool,
    checkpoints: bool,
    statements: bool,
    tail: bool,
}

const ALL: Rigour = Rigour { hashes: true, numbers: true, checkpoints: true, statements: true, tail: true };

/// A walk along a chain.
pub(super) struct Walk<'a> {
    node: &'a str,
    rigour: Rigour,
    against: &'a Against,
    /// Possible beginnings of the chain: the number of the last pruned row, its hash, and whether that was signed.
    beginnings: BTreeMap<i64, ([u8; 32], bool)>,
    /// Checkpoints and anchors by the row they name.
    sealed: BTreeMap<i64, Vec<Seal<'a>>>,
    /// The newest checkpoint that the key signed.
    newest: Option<(i64, Sealed)>,
    /// The last row allowed: no row may follow the newest signed head; rows may follow a checkpoint of a version before
    /// signed heads, as long as the data folder has no head of its own.
    end: Option<i64>,
    /// The last verified row that is covered by a checkpoint.
    under_seal: Option<Head>,
    head: Option<Head>,
    intact: Intact,
}

enum Seal<'a> {
    Checkpoint(&'a Checkpoint),
    Anchor([u8; 32]),
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        node: &'a str,
        pruned: &[AuditRow],
        checkpoints: &'a [Checkpoint],
        against: &'a Against,
    ) -> Self {
        let signed = |c: &Checkpoint| Some((c.seq, against.judge.as_ref()?.accepts(c)?));
        let newest = checkpoints.iter().rev().find_map(signed);
        let forged = checkpoints.last().is_some_and(|c| Some(c.seq) != newest.map(|(seq, _)| seq));
        let end = match newest {
            // The chain is broken at the forged checkpoint.
            _ if forged || against.judge.is_none() => None,
            Some((seq, Sealed::Head)) => Some(seq),
            Some((seq, Sealed::Checkpoint)) => against.mark.map(|_| seq),
            None => against.mark.map(|_| 0),
        };
        let mut beginnings = BTreeMap::new();
        for statement in pruned
            .iter()
            .filter_map(|row| pruning::read(row, against.judge.as_ref(), against.retention))
            .filter(|statement| is_believed(&statement.trust, statement.seq, newest))
        {
            // A signed statement takes precedence over an unsigned one.
            let is_signed = statement.trust == Trust::Signed;
            let entry = beginnings.entry(statement.last.0).or_insert((statement.last.1, is_signed));
            if is_signed {
                *entry = (statement.last.1, true);
            }
        }
        beginnings.insert(0, (GENESIS, true));
        let mut sealed: BTreeMap<i64, Vec<Seal<'a>>> = BTreeMap::new();
        for c in checkpoints {
            sealed.entry(c.seq).or_default().push(Seal::Checkpoint(c));
        }
        for a in against.anchors.iter().chain(&against.mark).filter(|a| a.seq > 0) {
            sealed.entry(a.seq).or_default().push(Seal::Anchor(a.hash));
        }
        Self {
            node,
            rigour: ALL,
            against,
            beginnings,
            sealed,
            newest,
            end,
            under_seal: None,
            head: None,
            intact: Intact::default(),
        }
    }

    /// The last verified row that is covered by a checkpoint.
    pub(super) fn under_seal(&self) -> Option<Head> {
        self.under_seal
    }

    pub(super) fn row(&mut self, row: &AuditRow) -> Result<(), Broken> {
        if row.node != self.node {
            return Err(broken(row.seq, "belongs to another node's chain"));
        }
        let before = match self.head {
            None => self.begin(row)?,
            Some(head) => head,
        };
        if self.rigour.numbers && row.seq != before.0 + 1 {
            // If a number repeats or is too small, that row is at fault; a gap begins at the first missing row.
            let (seq, why) = match row.seq > before.0 {
                true => (before.0 + 1, format!("is missing; the next row is {}", row.seq)),
                false => (row.seq, format!("follows row {}", before.0)),
            };
            return Err(broken(seq, why));
        }
        if self.rigour.hashes && link(&before.1, row) != row.hash {
            return Err(self.mislinked(row));
        }
        if let Some(end) = self.end.filter(|end| self.rigour.tail && row.seq > *end) {
            return Err(broken(
                end + 1,
                format!("was not written by this server, which signed row {end} last"),
            ));
        }
        self.statement(row)?;
        self.head = Some((row.seq, row.hash));
        self.intact.rows += 1;
        self.intact.last = row.seq;
        let seals = self.sealed.remove(&row.seq).unwrap_or_default();
        seals.iter().try_for_each(|seal| self.seal(row.seq, seal, Some(&row.hash)))
    }

    /// A row that is not linked to the previous one. The server continues from the last head it signed, so a row linked
    /// to that one shows that those between are foreign.
    fn mislinked(&self, row: &AuditRow) -> Broken {
        let is_linked = |(seq, hash): &Head| seq + 1 < row.seq && link(hash, row) == row.hash;
        match self.under_seal.into_iter().chain([(0, GENESIS)]).find(is_linked) {
            Some((seq, _)) => {
                let why = "was not written by this server, which continued from row";
                broken(seq + 1, format!("{why} {seq} with row {}", row.seq))
            }
            None => broken(row.seq, "is not the row that was written here"),
        }
    }

    /// A row that states that others were pruned must be signed, or be covered by a checkpoint.
    fn statement(&self, row: &AuditRow) -> Result<(), Broken> {
        let judge = self.against.judge.as_ref();
        if !self.rigour.statements || row.event != PRUNED || judge.is_none() {
            return Ok(());
        }
        match pruning::read(row, judge, self.against.retention).map(|statement| statement.trust) {
            Some(Trust::Refused(why)) => Err(broken(row.seq, why)),
            Some(trust) if is_believed(&trust, row.seq, self.newest) => Ok(()),
            _ => Err(broken(
                row.seq,
                "says that rows were pruned, without a signature and under no checkpoint",
            )),
        }
    }

    /// The hash that the first row is linked to.
    fn begin(&mut self, row: &AuditRow) -> Result<(i64, [u8; 32]), Broken> {
        self.intact.first = row.seq;
        if row.seq < 1 {
            return Err(broken(row.seq, "stands before the first row"));
        }
        let gone = row.seq - 1;
        match self.beginnings.get(&gone) {
            Some((hash, signed)) => {
                self.intact.unsigned_prune = if *signed { 0 } else { gone };
                Ok((gone, *hash))
            }
            None => {
                let why = format!("is missing, and no signed row says that those up to {gone} were pruned");
                Err(broken(1, why))
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
                    Some(judge) if judge.accepts(c).is_some() => self.intact.checkpoints += 1,
                    Some(_) => {
                        return Err(broken(seq, "has a checkpoint that this key has not signed"));
                    }
                }
                &c.hash
            }
        };
        match hash {
            Some(hash) if hash != named => Err(broken(seq, "is not the row that was sealed")),
            Some(hash) => {
                self.intact.sealed = self.intact.sealed.max(seq);
                self.under_seal = Some((seq, *hash));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The checks after the last row: seals of rows that were pruned, and of rows that are missing.
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

/// Whether an unsigned statement may be from a version before signatures: its own row is covered by a checkpoint.
fn is_believed(trust: &Trust, seq: i64, newest: Option<(i64, Sealed)>) -> bool {
    match trust {
        Trust::Signed => true,
        Trust::Unsigned => newest.is_some_and(|(sealed, _)| seq <= sealed),
        Trust::Refused(_) => false,
    }
}

pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
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
