//! Rows and checkpoints of the audit log. Each node has its own chain, dense from 1; rows arrive with their hashes.

use crate::Store;
use crate::error::{Result, StoreError};
use crate::model::{AuditFilter, AuditRow, Checkpoint};
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

fn head(sql: &mut dyn Sql, node: &str) -> Result<Option<(i64, [u8; 32])>> {
    let row =
        sql.one("SELECT seq, hash FROM audit WHERE node = $1 ORDER BY seq DESC LIMIT 1", values![node])?;
    row.map(|row| Ok((row.int(0)?, row.bytes(1)?))).transpose()
}

impl Store {
    /// The newest row of a node's chain: its number and hash.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn audit_head(&self, node: &str) -> Result<Option<(i64, [u8; 32])>> {
        let node = node.to_owned();
        self.read(move |sql| head(sql, &node)).await
    }

    /// Appends rows to a node's chain if its head still is the one they were chained to. False: another writer was
    /// faster and nothing was appended; read the head and chain anew.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn append_audit(
        &self,
        node: &str,
        expected_head: Option<i64>,
        rows: Vec<AuditRow>,
    ) -> Result<bool> {
        let node = node.to_owned();
        let appended = self.write(move |sql| {
            if head(sql, &node)?.map(|(seq, _)| seq) != expected_head {
                return Err(StoreError::Conflict("seq"));
            }
            for row in &rows {
                if insert(sql, row)? != 1 {
                    return Err(StoreError::Conflict("seq"));
                }
            }
            Ok(())
        });
        match appended.await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict("seq")) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Rows of one chain, or of all by node, after a number, rising.
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

    /// Keeps a signed head.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn put_checkpoint(&self, c: Checkpoint) -> Result<()> {
        self.write(move |sql| {
            sql.execute(
                "INSERT INTO audit_checkpoint (node, seq, hash, time, sig) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (node, seq) DO UPDATE SET
                   hash = excluded.hash, time = excluded.time, sig = excluded.sig",
                values![&c.node, c.seq, &c.hash, &c.time, &c.sig],
            )?;
            Ok(())
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
            rows.iter()
                .map(|row| {
                    Ok(Checkpoint {
                        node: row.text(0)?,
                        seq: row.int(1)?,
                        hash: row.bytes(2)?,
                        time: row.text(3)?,
                        sig: row.bytes(4)?,
                    })
                })
                .collect()
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

    /// Removes a chain's rows up to a number; its newest row always stays, for the next one is chained to it. How many
    /// went.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn prune_audit(&self, node: &str, up_to_seq: i64) -> Result<u64> {
        let node = node.to_owned();
        self.write(move |sql| {
            sql.execute(
                "DELETE FROM audit WHERE node = $1 AND seq <= $2
                   AND seq < (SELECT MAX(seq) FROM audit WHERE node = $1)",
                values![&node, up_to_seq],
            )
        })
        .await
    }
}
