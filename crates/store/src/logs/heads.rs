//! Logs without their entries: creation, lookup and listing.

use fanfare_core::model::Epoch;

use super::{random, seq};
use crate::Store;
use crate::error::{Result, StoreError};
use crate::migrate::clock;
use crate::model::{LogHead, LogId, Space};
use crate::sql::{Bulk, Column, Row, Run, Sql, values};
use crate::text::{escaped, unescaped};

const BY_ID: Bulk = Bulk {
    one: "SELECT id, name, epoch, head, first_seq, bytes, created_at FROM logs
          WHERE id = $1 AND space <> 'dropped'",
    many: "SELECT id, name, epoch, head, first_seq, bytes, created_at FROM logs
           WHERE id = ANY($1::bigint[]) AND space <> 'dropped' ORDER BY id",
};

fn read_head(row: &Row) -> Result<LogHead> {
    Ok(LogHead {
        id: LogId(row.int(0)?),
        name: unescaped(row.text(1)?),
        epoch: Epoch(row.int(2)?.cast_unsigned()),
        head: seq(row.int(3)?)?,
        first: seq(row.int(4)?)?,
        bytes: seq(row.int(5)?)?,
        created_at: row.int(6)?,
    })
}

/// The heads of those logs that exist.
pub(super) fn by_id(sql: &mut dyn Sql, ids: &[LogId]) -> Result<Vec<LogHead>> {
    let asked = Column::Ints(ids.iter().map(|id| Some(id.0)).collect());
    let found = sql.bulk(&[Run { bulk: &BY_ID, columns: vec![asked] }])?;
    found.iter().flatten().map(read_head).collect()
}

fn by_name(sql: &mut dyn Sql, space: Space, name: &str) -> Result<Option<LogHead>> {
    let row = sql.one(
        "SELECT id, name, epoch, head, first_seq, bytes, created_at FROM logs WHERE space = $1 AND name = $2",
        values![space.as_str(), name],
    )?;
    row.as_ref().map(read_head).transpose()
}

impl Store {
    /// The log of this name, created if it does not exist; returns true if it was created.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn open_log(&self, space: Space, name: &str) -> Result<(LogHead, bool)> {
        let name = escaped(name).into_owned();
        self.write(move |sql| {
            if let Some(head) = by_name(sql, space, &name)? {
                return Ok((head, false));
            }
            let made = sql.execute(
                "INSERT INTO logs (space, name, epoch, head, first_seq, bytes, clock, created_at)
                 VALUES ($1, $2, $3, 0, 1, 0, 0, $4) ON CONFLICT (space, name) DO NOTHING",
                values![space.as_str(), &name, random().cast_signed(), clock()],
            )?;
            let head = by_name(sql, space, &name)?;
            // Another node may have created it first, and even dropped it since.
            let gone = || StoreError::Unavailable("the log was dropped while it was opened".to_owned());
            Ok((head.ok_or_else(gone)?, made == 1))
        })
        .await
    }

    /// The log of this name.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn log(&self, space: Space, name: &str) -> Result<Option<LogHead>> {
        let name = escaped(name).into_owned();
        self.read(move |sql| by_name(sql, space, &name)).await
    }

    /// The heads of these logs, if they exist; for the audit of several nodes' logs.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn log_heads(&self, ids: Vec<LogId>) -> Result<Vec<LogHead>> {
        self.read(move |sql| by_id(sql, &ids)).await
    }

    /// A page of the logs of a space, ordered by name, after `after`. It reads heads only, for any number of entries.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn logs(&self, space: Space, after: Option<&str>, limit: u32) -> Result<Vec<LogHead>> {
        let after = after.map(|name| escaped(name).into_owned()).unwrap_or_default();
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT id, name, epoch, head, first_seq, bytes, created_at FROM logs
                 WHERE space = $1 AND name > $2 ORDER BY name LIMIT $3",
                values![space.as_str(), &after, limit],
            )?;
            rows.iter().map(read_head).collect()
        })
        .await
    }
}
