//! Appends as one unit of work: two round trips and a commit for any number of them.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use fanfare_core::model::{Epoch, EventId};

use super::plan::{First, Head, Known, Plan, Twin, plan};
use super::{Append, Key, LogsShared, seq, stored};
use crate::engine::Unit;
use crate::error::{Result, StoreError};
use crate::messages;
use crate::migrate::clock;
use crate::model::{Committed, LogEntry, LogId, Receipt};
use crate::sql::{Bulk, Column, Row, Run, Sql};
use crate::text::unescaped;

/// The heads, locked in the order of their ids, so that batches of several nodes never deadlock.
const HEADS: Bulk = Bulk {
    one: "SELECT id, epoch, head, clock FROM logs WHERE id = $1 AND space <> 'dropped'",
    many: "SELECT id, epoch, head, clock FROM logs WHERE id = ANY($1::bigint[]) AND space <> 'dropped'
           ORDER BY id FOR UPDATE",
};
const KEYS: Bulk = Bulk {
    one: "SELECT log, key, seq, time, node FROM log_entries WHERE log = $1 AND key = $2",
    many:
        "SELECT e.log, e.key, e.seq, e.time, e.node FROM UNNEST($1::bigint[], $2::bytea[]) AS asked (log, key)
           JOIN log_entries e ON e.log = asked.log AND e.key = asked.key AND e.key IS NOT NULL",
};
const INSERT: Bulk = Bulk {
    one: "INSERT INTO log_entries (log, seq, time, node, client_id, by_user, key, payload)
          VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    many: "INSERT INTO log_entries (log, seq, time, node, client_id, by_user, key, payload)
           SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
                                $7::bytea[], $8::bytea[])",
};
const MOVE: Bulk = Bulk {
    one: "UPDATE logs SET head = $1, clock = $2, bytes = bytes + $3 WHERE id = $4",
    many: "UPDATE logs SET head = moved.head, clock = moved.clock, bytes = logs.bytes + moved.bytes
           FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS moved (head, clock, bytes, id)
           WHERE logs.id = moved.id",
};

/// A batch of appends as a unit of an engine.
pub(crate) struct AppendBatch {
    appends: Vec<Append>,
    shared: Arc<LogsShared>,
    plan: Option<Result<Plan>>,
}

impl AppendBatch {
    pub(crate) fn new(appends: Vec<Append>, shared: &Arc<LogsShared>) -> Self {
        Self { appends, shared: Arc::clone(shared), plan: None }
    }

    fn write(&self, sql: &mut dyn Sql) -> Result<Plan> {
        let known = known(sql, &self.appends)?;
        let plan = plan(&self.appends, known, &self.shared.ids, clock().max(0).unsigned_abs());
        store(sql, &self.appends, &plan)?;
        Ok(plan)
    }
}

/// Locks the heads, then reads the entries that the appends may repeat: all that were committed before the locks were
/// taken.
fn known(sql: &mut dyn Sql, appends: &[Append]) -> Result<Known> {
    let logs: BTreeSet<LogId> = appends.iter().map(|append| append.log).collect();
    let keyed = || appends.iter().filter_map(|append| Some((append.log, append.key.as_ref()?)));
    let runs = [
        Run { bulk: &HEADS, columns: vec![Column::Ints(logs.iter().map(|log| Some(log.0)).collect())] },
        Run {
            bulk: &KEYS,
            columns: vec![
                Column::Ints(keyed().map(|(log, _)| Some(log.0)).collect()),
                Column::Bytes(keyed().map(|(_, key)| Some(key.as_slice())).collect()),
            ],
        },
        messages::find(appends.iter().filter_map(|append| append.message.as_deref())),
    ];
    let mut found = sql.bulk(&runs)?.into_iter();
    let mut next = || found.next().unwrap_or_default();
    let mut known = Known::default();
    for row in next() {
        let (head, clock) = (seq(row.int(2)?)?, seq(row.int(3)?)?);
        let head = Head { epoch: Epoch(row.int(1)?.cast_unsigned()), head, clock, added: 0 };
        known.heads.insert(LogId(row.int(0)?), head);
    }
    for row in next() {
        known.keys.insert((LogId(row.int(0)?), row.bytes::<{ size_of::<Key>() }>(1)?), first(&row, 2)?);
    }
    for mut row in next() {
        let envelope = if row.is_null(4) { None } else { Some(row.take_bytes(4)?) };
        known.messages.insert(row.text(0)?, Twin { first: first(&row, 1)?, envelope });
    }
    Ok(known)
}

/// Number, time and node, from this column on.
fn first(row: &Row, at: usize) -> Result<First> {
    let id = EventId { time: seq(row.int(at + 1)?)?, node: row.int(at + 2)?.cast_unsigned() };
    Ok(First { seq: seq(row.int(at)?)?, id })
}

/// Inserts the new entries and advances the heads.
fn store(sql: &mut dyn Sql, appends: &[Append], plan: &Plan) -> Result<()> {
    let mut new: Vec<(&Append, &Receipt)> = plan.entries(appends).collect();
    if new.is_empty() {
        return Ok(());
    }
    // In the order of the table's key: neighbours share its pages.
    new.sort_by_key(|(append, receipt)| (append.log, receipt.seq));
    let ints = |of: fn(&Append, &Receipt) -> i64| {
        Column::Ints(new.iter().map(|(append, receipt)| Some(of(append, receipt))).collect())
    };
    let entries = vec![
        ints(|append, _| append.log.0),
        ints(|_, receipt| stored(receipt.seq)),
        ints(|_, receipt| stored(receipt.id.time)),
        ints(|_, receipt| receipt.id.node.cast_signed()),
        Column::Texts(new.iter().map(|(append, _)| append.entry.client_id.as_deref()).collect()),
        Column::Texts(new.iter().map(|(append, _)| append.entry.user.as_deref()).collect()),
        Column::Bytes(new.iter().map(|(append, _)| append.key.as_ref().map(<[u8; 32]>::as_slice)).collect()),
        Column::Bytes(new.iter().map(|(append, _)| Some(append.entry.payload.as_slice())).collect()),
    ];
    let beside = new
        .iter()
        .filter_map(|(append, receipt)| Some((append.log, receipt.seq, append.message.as_deref()?)));
    let moved: BTreeMap<_, _> = plan.heads.iter().filter(|(_, head)| head.added > 0).collect();
    let heads = |of: fn(&Head) -> i64| Column::Ints(moved.values().map(|head| Some(of(head))).collect());
    sql.bulk(&[
        Run { bulk: &INSERT, columns: entries },
        messages::insert(beside),
        Run {
            bulk: &MOVE,
            columns: vec![
                heads(|head| stored(head.head)),
                heads(|head| stored(head.clock)),
                heads(|head| stored(head.added as u64)),
                Column::Ints(moved.keys().map(|log| Some(log.0)).collect()),
            ],
        },
    ])?;
    Ok(())
}

impl Unit for AppendBatch {
    fn run(&mut self, sql: &mut dyn Sql) -> bool {
        let ran = catch_unwind(AssertUnwindSafe(|| self.write(sql)));
        let result =
            ran.unwrap_or_else(|_| Err(StoreError::Unavailable("a fault within the store".to_owned())));
        let keep = result.is_ok();
        self.plan = Some(result);
        keep
    }

    fn done(self: Box<Self>, commit: Result<()>) {
        let Self { appends, shared, plan } = *self;
        let plan = match (plan, commit) {
            (Some(Ok(plan)), Ok(())) => plan,
            (Some(Err(error)), _) | (_, Err(error)) => {
                return appends.into_iter().for_each(|append| append.refuse(error.clone()));
            }
            (None, Ok(())) => {
                let error = StoreError::Unavailable("the batch was not run".to_owned());
                return appends.into_iter().for_each(|append| append.refuse(error.clone()));
            }
        };
        let mut committed: BTreeMap<LogId, Committed> = BTreeMap::new();
        let mut replies = Vec::with_capacity(appends.len());
        for (Append { log, entry, reply, .. }, answer) in appends.into_iter().zip(plan.results) {
            if let Ok(Receipt { epoch, seq, id, repeated: false }) = answer
                && shared.sink.get().is_some()
            {
                let group =
                    committed.entry(log).or_insert_with(|| Committed { log, epoch, entries: Vec::new() });
                let (client_id, user) = (entry.client_id.map(unescaped), entry.user.map(unescaped));
                group
                    .entries
                    .push((LogEntry { seq, id, client_id, user, payload: entry.payload }, entry.mark));
            }
            replies.push((reply, answer));
        }
        if let Some(sink) = shared.sink.get()
            && !committed.is_empty()
        {
            sink(committed.into_values().collect());
        }
        for (reply, answer) in replies {
            reply(answer);
        }
    }

    fn error(&self) -> Option<&StoreError> {
        self.plan.as_ref().and_then(|plan| plan.as_ref().err())
    }

    fn count(&self) -> usize {
        self.appends.len()
    }

    fn loses_with(&self, error: &StoreError) -> bool {
        // Two nodes stored a message of one id at the same time; the one that is run again finds the other's.
        matches!(error, StoreError::Conflict(_))
    }
}
