//! Data that is written in bulk and rarely read: metrics snapshots and connection records.

use crate::Store;
use crate::error::Result;
use crate::model::{ConnectionRow, MetricQuery, MetricRow};
use crate::sql::values;

impl Store {
    /// Stores a snapshot of a node's metrics (name with labels, value). An existing one is replaced.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn put_metrics(&self, at: i64, node: &str, rows: Vec<(String, f64)>) -> Result<()> {
        let node = node.to_owned();
        self.write(move |sql| {
            for (name, value) in &rows {
                sql.execute(
                    "INSERT INTO metrics (at, node, name, value) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (at, node, name) DO UPDATE SET value = excluded.value",
                    values![at, &node, name, *value],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// Stored metrics, newest first: of one name (with its labels, or all series of a bare name) or of all, since a
    /// time.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn metrics(&self, q: MetricQuery) -> Result<Vec<MetricRow>> {
        // `{` begins the labels and `|` is the next character: the range holds every series of the name.
        let (from, to) = q.name.as_ref().map(|name| (format!("{name}{{"), format!("{name}|"))).unzip();
        self.read(move |sql| {
            let (at, node, name) = match &q.before {
                None => (None, None, None),
                Some(place) => (Some(place.at), Some(&place.node), Some(&place.name)),
            };
            let rows = sql.query(
                "SELECT at, node, name, value FROM metrics
                 WHERE at >= $1 AND (CAST($2 AS TEXT) IS NULL OR name = $2 OR (name >= $3 AND name < $4))
                   AND (CAST($5 AS BIGINT) IS NULL OR at < $5
                        OR (at = $5 AND (node > $6 OR (node = $6 AND name > $7))))
                 ORDER BY at DESC, node, name LIMIT $8",
                values![q.since.unwrap_or(0), &q.name, &from, &to, at, node, name, q.limit],
            )?;
            rows.iter()
                .map(|row| {
                    Ok(MetricRow {
                        at: row.int(0)?,
                        node: row.text(1)?,
                        name: row.text(2)?,
                        value: row.real(3)?,
                    })
                })
                .collect()
        })
        .await
    }

    /// Removes snapshots older than a time; returns the number of rows.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn prune_metrics(&self, before: i64) -> Result<u64> {
        self.write(move |sql| sql.execute("DELETE FROM metrics WHERE at < $1", values![before])).await
    }

    /// Stores connection records of authenticated users.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn put_connections(&self, rows: Vec<ConnectionRow>) -> Result<()> {
        self.write(move |sql| {
            for c in &rows {
                sql.execute(
                    "INSERT INTO sessions (user_id, session_code, connected_at, disconnected_at, messages_sent,
                                           messages_received, ip_address, user_agent, close_code)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                    values![
                        &c.user_id,
                        &c.session_code,
                        c.connected_at,
                        c.disconnected_at,
                        c.messages_sent,
                        c.messages_received,
                        &c.ip_address,
                        &c.user_agent,
                        &c.close_code,
                    ],
                )?;
            }
            Ok(())
        })
        .await
    }

    /// A user's connection records, newest first.
    ///
    /// # Errors
    /// Of the engine.
    pub async fn connections(&self, user_id: &str, limit: u32) -> Result<Vec<ConnectionRow>> {
        let user_id = user_id.to_owned();
        self.read(move |sql| {
            let rows = sql.query(
                "SELECT user_id, session_code, connected_at, disconnected_at, messages_sent, messages_received,
                        ip_address, user_agent, close_code
                 FROM sessions WHERE user_id = $1 ORDER BY connected_at DESC, id DESC LIMIT $2",
                values![&user_id, limit],
            )?;
            rows.iter()
                .map(|row| {
                    Ok(ConnectionRow {
                        user_id: row.text(0)?,
                        session_code: row.text(1)?,
                        connected_at: row.int(2)?,
                        disconnected_at: row.int(3)?,
                        messages_sent: row.int(4)?,
                        messages_received: row.int(5)?,
                        ip_address: row.maybe_text(6)?,
                        user_agent: row.maybe_text(7)?,
                        close_code: row.maybe_int(8)?,
                    })
                })
                .collect()
        })
        .await
    }
}
