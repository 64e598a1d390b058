//! Rows and checkpoints of the audit log. Each node has its own chain, dense from 1; rows arrive with their hashes.
//!
//! Rows and the signed head that names the last of them are one transaction: if a chain ends after its newest
//! checkpoint, another program wrote those rows.

use crate::Store;
use crate::error::{Result, StoreError};
use crate::model::{AuditEnd, AuditFilter, AuditPlace, AuditRow, Checkpoint};
use crate::sql::{Row, Sql, values};

fn read_row(row: &Row) -> Result<AuditRow> {
    Ok(AuditRow {
        node: row.text(0)?,
        seq: row.int(1)?,
        ts: row.text(2)?,
        event: row.text(3)?,
        outcome: row.text(4)?,
        severity: row.text(5)?,
        user_id: row.maybe_text(6)?,
        session: row.maybe_text(7)?,
        ip: row.maybe_text(8)?,
        user_agent: row.maybe_text(9)?,
        request_id: row.maybe_text(10)?,
        origin: row.maybe_text(11)?,
        reason: row.maybe_text(12)?,
        detail: row.text(13)?,
        hash: row.bytes(14)?,
    })
}

fn insert(sql: &mut dyn Sql, r: &AuditRow) -> Result<u64> {
    sql.execute(
        "INSERT INTO audit (node, seq, ts, event, outcome, severity, user_id, session, ip, user_agent, request_id,
                            origin, reason, detail, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (node, seq) DO NOTHING",
        values![
            &r.node,
            r.seq,
            &r.ts,
            &r.event,
            &r.outcome,
            &r.severity,
            &r.user_id,
            &r.session,
            &r.ip,
            &r.user_agent,
            &r.request_id,
            &r.origin,
            &r.reason,
            &r.detail,
            &r.hash,
        ],
    )
}

fn checkpoint(row: &Row, at: usize) -> Result<Checkpoint> {
    Ok(Checkpoint {
        node: row.text(at)?,
        seq: row.int(at + 1)?,
        hash: row.bytes(at + 2)?,
        time: row.text(at + 3)?,
        sig: row.bytes(at + 4)?,
    })
}

/// One statement, so that both parts are from the same moment on either engine.
fn end(sql: &mut dyn Sql, node: &str) -> Result<AuditEnd> {
    let row = sql.one(
        "SELECT (SELECT COALESCE(MAX(seq), 0) FROM audit WHERE node = $1), c.node, c.seq, c.hash, c.time, c.sig
         FROM (SELECT 1 AS one) AS always LEFT JOIN audit_checkpoint AS c
           ON c.node = $1 AND c.seq = (SELECT MAX(seq) FROM audit_checkpoint WHERE node = $1)",
        values![node],
    )?;
    let row = row.ok_or_else(|| StoreError::unreadable("audit"))?;
    let sealed = row.maybe_text(1)?.map(|_| checkpoint(&row, 1)).transpose()?;
    Ok(AuditEnd { last: row.int(0)?, sealed })
}

fn put_checkpoint(sql: &mut dyn Sql, c: &Checkpoint) -> Result<u64> {
    sql.execute(
        "INSERT INTO audit_checkpoint (node, seq, hash, time, sig) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (node, seq) DO UPDATE SET hash = excluded.hash, time = excluded.time, sig = excluded.sig",
        values![&c.node, c.seq, &c.hash, &c.time, &c.sig],
    )
}

impl Store {
    /// The end of a node's chain: its newest row and its newest checkpoint, from the same moment.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn audit_end(&self, node: &str) -> Result<AuditEnd> {
        let node = node.to_owned();
        self.read(move |sql| end(sql, &node)).await
    }

    /// Appends rows to the chain of `head.node` together with the signed head that names the last of them, if the chain
    /// still ends at `place`. The checkpoint at `supersedes`, if any, is removed. Returns false if another writer was
    /// faster and nothing was appended; then read the end again and chain to that.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn append_audit(
        &self,
        place: AuditPlace,
        rows: Vec<AuditRow>,
        head: Checkpoint,
        supersedes: Option<i64>,
    ) -> Result<bool> {
        let appended = self.write(move |sql| {
            if end(sql, &head.node)?.place() != place {
                return Err(StoreError::Conflict("seq"));
            }
            for row in &rows {
                if insert(sql, row)? != 1 {
                    return Err(StoreError::Conflict("seq"));
                }
            }
            put_checkpoint(sql, &head)?;
            if let Some(seq) = supersedes {
                let delete = "DELETE FROM audit_checkpoint WHERE node = $1 AND seq = $2";
                sql.execute(delete, values![&head.node, seq])?;
            }
            Ok(())
        });
        match appended.await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict("seq")) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Rows of one chain, or of all ordered by node, after a number, ascending.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn audit_rows(
        &self,
        node: Option<&str>,
        after_seq: i64,
        limit: u32,
        filter: AuditFilter,
    ) -> Result<Vec<AuditRow>> {
        let node = node.map(str::to_owned);
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT node, seq, ts, event, outcome, severity, user_id, session, ip, user_agent, request_id, origin,
                        reason, detail, hash
                 FROM audit
                 WHERE seq > $1 AND (CAST($2 AS TEXT) IS NULL OR node = $2)
                   AND (CAST($3 AS TEXT) IS NULL OR event = $3) AND (CAST($4 AS TEXT) IS NULL OR user_id = $4)
                   AND (CAST($5 AS TEXT) IS NULL OR ts >= $5)
                 ORDER BY node, seq LIMIT $6",
                values![after_seq, &node, &filter.event, &filter.user_id, &filter.since, limit],
            )?;
            rows.iter().map(read_row).collect()
        })
        .await
    }

    /// Rows of all chains, newest first; with `before`, those whose number is below it.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn audit_tail(
        &self,
        filter: AuditFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>> {
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT node, seq, ts, event, outcome, severity, user_id, session, ip, user_agent, request_id, origin,
                        reason, detail, hash
                 FROM audit
                 WHERE seq < $1 AND (CAST($2 AS TEXT) IS NULL OR event = $2)
                   AND (CAST($3 AS TEXT) IS NULL OR user_id = $3) AND (CAST($4 AS TEXT) IS NULL OR ts >= $4)
                 ORDER BY ts DESC, seq DESC, node LIMIT $5",
                values![before.unwrap_or(i64::MAX), &filter.event, &filter.user_id, &filter.since, limit],
            )?;
            rows.iter().map(read_row).collect()
        })
        .await
    }

    /// Signed heads of a node's chain, oldest first.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn checkpoints(&self, node: &str) -> Result<Vec<Checkpoint>> {
        let node = node.to_owned();
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT node, seq, hash, time, sig FROM audit_checkpoint WHERE node = $1 ORDER BY seq",
                values![&node],
            )?;
            rows.iter().map(|row| checkpoint(row, 0)).collect()
        })
        .await
    }

    /// The nodes that have a chain.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn audit_nodes(&self) -> Result<Vec<String>> {
        self.read(|sql| {
            let rows = sql.query("SELECT DISTINCT node FROM audit ORDER BY node", &[])?;
            rows.iter().map(|row| row.text(0)).collect()
        })
        .await
    }

    /// Removes a chain's rows up to a number, and the checkpoints before it; the newest row and the newest checkpoint
    /// always stay, because the next are chained to them. Returns the number of rows removed.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn prune_audit(&self, node: &str, up_to_seq: i64) -> Result<u64> {
        let node = node.to_owned();
        self.write(move |sql| {
            let old = "DELETE FROM audit_checkpoint WHERE node = $1 AND seq < $2
                         AND seq < (SELECT MAX(seq) FROM audit_checkpoint WHERE node = $1)";
            sql.execute(old, values![&node, up_to_seq])?;
            sql.execute(
                "DELETE FROM audit WHERE node = $1 AND seq <= $2
                   AND seq < (SELECT MAX(seq) FROM audit WHERE node = $1)",
                values![&node, up_to_seq],
            )
        })
        .await
    }
}
