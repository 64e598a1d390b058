//! What goes from a log: its oldest entries, or all of it. In slices, each a unit of its own, so that appends wait for one
//! slice at most.

use super::{seq, stored};
use crate::Store;
use crate::error::Result;
use crate::model::{LogId, LogRetention, OVERHEAD, Trimmed};
use crate::sql::{Sql, values};

/// Entries removed in one unit: some milliseconds of work.
const SLICE: u32 = 500;

/// What a slice did, and whether there is more to do.
struct Slice {
    trimmed: Trimmed,
    more: bool,
}

/// Entries at the front: number, time and bytes.
fn front(sql: &mut dyn Sql, log: LogId) -> Result<Vec<(u64, u64, u64)>> {
    let rows = sql.query(
        "SELECT seq, time, octet_length(payload) + COALESCE(octet_length(client_id), 0)
                + COALESCE(octet_length(by_user), 0)
         FROM log_entries WHERE log = $1 ORDER BY seq LIMIT $2",
        values![log.0, SLICE],
    )?;
    let read = |row: &crate::sql::Row| {
        Ok((seq(row.int(0)?)?, seq(row.int(1)?)?, seq(row.int(2)?)? + OVERHEAD as u64))
    };
    rows.iter().map(read).collect()
}

/// Removes entries up to a number, and accounts for exactly those that this unit removed: another node may trim as well.
fn remove(sql: &mut dyn Sql, log: LogId, last: u64) -> Result<u64> {
    let removed = sql.query(
        "DELETE FROM log_entries WHERE log = $1 AND seq <= $2
         RETURNING octet_length(payload) + COALESCE(octet_length(client_id), 0) + COALESCE(octet_length(by_user), 0)",
        values![log.0, stored(last)],
    )?;
    let mut freed = 0;
    for row in &removed {
        freed += row.int(0)? + OVERHEAD as i64;
    }
    sql.execute(
        "UPDATE logs SET first_seq = CASE WHEN first_seq < $1 THEN $1 ELSE first_seq END, bytes = bytes - $2
         WHERE id = $3",
        values![stored(last + 1), freed, log.0],
    )?;
    Ok(removed.len() as u64)
}

fn trim_slice(sql: &mut dyn Sql, log: LogId, keep: LogRetention, now_ms: u64) -> Result<Slice> {
    let row = sql.one(
        "SELECT head, first_seq, bytes, (SELECT time FROM log_entries WHERE log = logs.id ORDER BY seq LIMIT 1)
         FROM logs WHERE id = $1 AND space <> 'dropped'",
        values![log.0],
    )?;
    let Some(row) = row else { return Ok(Slice { trimmed: Trimmed::default(), more: false }) };
    let (head, first, mut bytes) = (seq(row.int(0)?)?, seq(row.int(1)?)?, seq(row.int(2)?)?);
    let oldest = row.maybe_int(3)?.map(seq).transpose()?;
    let is_over = |number: u64| keep.size > 0 && head + 1 - number > keep.size;
    let is_old = |time: u64| keep.ttl_ms > 0 && (time >> 20).saturating_add(keep.ttl_ms) <= now_ms;
    let is_large = |number: u64, bytes: u64| keep.bytes > 0 && bytes > keep.bytes && number < head;
    let oldest_at_ms = oldest.map(|time| time >> 20);
    let nothing = Slice { trimmed: Trimmed { entries: 0, first, bytes, oldest_at_ms }, more: false };
    // Most logs need no look at their entries: nothing has to go.
    if !oldest.is_some_and(|time| is_old(time) || is_over(first) || is_large(first, bytes)) {
        return Ok(nothing);
    }
    let front = front(sql, log)?;
    let goes = |(number, time, weight): &&(u64, u64, u64)| {
        let goes = is_over(*number) || is_old(*time) || is_large(*number, bytes);
        bytes = bytes.saturating_sub(*weight);
        goes
    };
    let gone: Vec<_> = front.iter().take_while(goes).collect();
    let Some((last, ..)) = gone.last() else { return Ok(nothing) };
    let more = gone.len() == SLICE as usize;
    let entries = remove(sql, log, *last)?;
    let kept = sql.one(
        "SELECT bytes, (SELECT time FROM log_entries WHERE log = logs.id ORDER BY seq LIMIT 1) FROM logs WHERE id = $1",
        values![log.0],
    )?;
    let Some(kept) = kept else { return Ok(Slice { trimmed: Trimmed::default(), more: false }) };
    let oldest_at_ms = kept.maybe_int(1)?.map(seq).transpose()?.map(|time| time >> 20);
    Ok(Slice { trimmed: Trimmed { entries, first: last + 1, bytes: seq(kept.int(0)?)?, oldest_at_ms }, more })
}

/// Removes a slice of a dropped log, and its row after the last one.
fn drop_slice(sql: &mut dyn Sql) -> Result<Slice> {
    let row = sql.one("SELECT id FROM logs WHERE space = 'dropped' ORDER BY id LIMIT 1", &[])?;
    let Some(row) = row else { return Ok(Slice { trimmed: Trimmed::default(), more: false }) };
    let log = LogId(row.int(0)?);
    let front = front(sql, log)?;
    let entries = match front.last() {
        Some((last, ..)) => remove(sql, log, *last)?,
        None => sql.execute("DELETE FROM logs WHERE id = $1", values![log.0]).map(|_| 0)?,
    };
    Ok(Slice { trimmed: Trimmed { entries, ..Trimmed::default() }, more: true })
}

impl Store {
    /// Removes the oldest entries until the log is within its bounds. Its head and its other numbers stay.
    ///
    /// # Errors
    /// Of the engine; the slices before it are done.
    pub async fn trim_log(&self, log: LogId, keep: LogRetention, now_ms: u64) -> Result<Trimmed> {
        self.slices(move |sql| trim_slice(sql, log, keep, now_ms)).await
    }

    /// Drops a log: from now on there is none of this number, and its name is free. False: there was none. The entries are
    /// removed by [`Self::clear_dropped_logs`].
    ///
    /// # Errors
    /// Of the engine.
    pub async fn drop_log(&self, log: LogId) -> Result<bool> {
        self.write(move |sql| {
            let dropped = sql.execute(
                "UPDATE logs SET space = 'dropped', name = CAST(id AS TEXT) WHERE id = $1 AND space <> 'dropped'",
                values![log.0],
            )?;
            Ok(dropped == 1)
        })
        .await
    }

    /// Removes the entries of dropped logs; how many went. To be called after [`Self::drop_log`], and at a start for the
    /// drops that a crash cut short.
    ///
    /// # Errors
    /// Of the engine; the slices before it are done.
    pub async fn clear_dropped_logs(&self) -> Result<u64> {
        Ok(self.slices(drop_slice).await?.entries)
    }

    async fn slices(
        &self,
        slice: impl Fn(&mut dyn Sql) -> Result<Slice> + Clone + Send + 'static,
    ) -> Result<Trimmed> {
        let mut all = Trimmed::default();
        loop {
            let Slice { trimmed, more } = self.write(slice.clone()).await?;
            all = Trimmed { entries: all.entries + trimmed.entries, ..trimmed };
            if !more {
                return Ok(all);
            }
        }
    }
}
