//! Entries read back, in pages bounded by number and bytes.

use fanfare_core::model::EventId;

use super::{heads, seq, stored};
use crate::Store;
use crate::error::Result;
use crate::model::{LogEntry, LogId, LogPage, OVERHEAD};
use crate::sql::{Row, Sql, values};
use crate::text::unescaped;

/// Rows fetched first: what a page holds in memory beyond its bound of bytes is less than twice this number of entries.
const ROWS: u32 = 256;

const ASCENDING: &str = "SELECT seq, time, node, client_id, by_user, payload FROM log_entries
                         WHERE log = $1 AND seq > $2 ORDER BY seq LIMIT $3";
const DESCENDING: &str = "SELECT seq, time, node, client_id, by_user, payload FROM log_entries
                          WHERE log = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";

fn read_entry(mut row: Row) -> Result<LogEntry> {
    Ok(LogEntry {
        seq: seq(row.int(0)?)?,
        id: EventId { time: seq(row.int(1)?)?, node: row.int(2)?.cast_unsigned() },
        client_id: row.take_text(3)?.map(unescaped),
        user: row.take_text(4)?.map(unescaped),
        payload: row.take_bytes(5)?,
    })
}

/// Entries from a position on, until the bound is exceeded; the first one is always taken.
fn entries(
    sql: &mut dyn Sql,
    statement: &'static str,
    log: LogId,
    from: u64,
    limit: u32,
    max_bytes: usize,
) -> Result<Vec<LogEntry>> {
    let (mut found, mut bytes, mut at): (Vec<LogEntry>, _, _) = (Vec::new(), 0, from);
    loop {
        let rows = rows_next(found.len(), bytes, max_bytes).min(limit - found.len() as u32);
        if rows == 0 {
            return Ok(found);
        }
        let answer = sql.query(statement, values![log.0, stored(at), rows])?;
        let all = answer.len() < rows as usize;
        for row in answer {
            let entry = read_entry(row)?;
            bytes += entry.payload.len() + OVERHEAD;
            if bytes > max_bytes && !found.is_empty() {
                return Ok(found);
            }
            at = entry.seq;
            found.push(entry);
        }
        if all || found.len() >= limit as usize {
            return Ok(found);
        }
    }
}

/// Rows to fetch next: after the first ones, as many as fill the page if they are as large as those so far. Round trips are what a
/// page costs most on PostgreSQL.
fn rows_next(found: usize, bytes: usize, max_bytes: usize) -> u32 {
    match bytes.checked_div(found) {
        Some(size) => (max_bytes.saturating_sub(bytes) / size.max(1)).min(2 * ROWS as usize) as u32,
        None => ROWS,
    }
}

impl Store {
    /// Entries with numbers above `after`, oldest first: at most `limit`, and at most `max_bytes` of payloads with 96
    /// bytes for each, but at least one. `None` if the log does not exist. [`LogPage::follows`] says whether any are
    /// missing between.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn read_log(
        &self,
        log: LogId,
        after: u64,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Option<LogPage>> {
        self.page(log, after, limit, max_bytes, ASCENDING).await
    }

    /// The newest entries with numbers below `before`, oldest first, bounded as in [`Self::read_log`]. The newest of all are
    /// below `u64::MAX`.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn read_log_before(
        &self,
        log: LogId,
        before: u64,
        limit: u32,
        max_bytes: usize,
    ) -> Result<Option<LogPage>> {
        let page = self.page(log, before, limit, max_bytes, DESCENDING).await?;
        Ok(page.map(|mut page| {
            page.entries.reverse();
            page
        }))
    }

    async fn page(
        &self,
        log: LogId,
        from: u64,
        limit: u32,
        max_bytes: usize,
        statement: &'static str,
    ) -> Result<Option<LogPage>> {
        self.read(move |sql| {
            let entries = entries(sql, statement, log, from, limit, max_bytes)?;
            // After the entries: a trim or an append between the two statements cannot hide an entry or a gap.
            let head = heads::by_id(sql, &[log])?.pop();
            Ok(head.map(|head| LogPage { head, entries }))
        })
        .await
    }
}
