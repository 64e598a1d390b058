//! Migrations on PostgreSQL: under one lock, so that nodes that start together do not collide.

use deadpool_postgres::Object;

use super::{Address, first, from_postgres};
use crate::error::Result;
use crate::migrate::{self, Applied, MigrationState, Words};
use crate::options::Durability;

/// Number of the advisory lock: "fanfare" in ASCII.
const LOCK: i64 = 0x0066_616e_6661_7265;

/// A connection for one of the commands that run beside the server.
pub(crate) async fn connect(url: &str) -> Result<Object> {
    let address = Address::parse(url)?;
    let pool = address.pool(1, Durability::PowerSafe)?;
    first(&address, &pool).await
}

/// The migrations of the database.
pub(crate) async fn status(client: &Object) -> Result<Vec<MigrationState>> {
    // Read from the table, not by `to_regclass`, which uses a cache that a wait for the lock does not refresh.
    let there = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                 WHERE c.relname = 'schema_migrations' AND n.nspname = ANY (current_schemas(false)))";
    let row = client.query_one(there, &[]).await.map_err(|error| from_postgres(&error))?;
    if !row.get::<_, bool>(0) {
        return migrate::compare(&[]);
    }
    let asked = "SELECT version, checksum, applied_at FROM schema_migrations ORDER BY version";
    let rows = client.query(asked, &[]).await.map_err(|error| from_postgres(&error))?;
    let read =
        |row: &tokio_postgres::Row| Applied { version: row.get(0), checksum: row.get(1), at: row.get(2) };
    migrate::compare(&rows.iter().map(read).collect::<Vec<_>>())
}

/// Migrates the database to this program's version.
pub(crate) async fn up(client: &mut Object) -> Result<()> {
    if migrate::pending(&status(client).await?).next().is_none() {
        return Ok(());
    }
    lock(client).await?;
    let done = apply(client, i64::MAX).await;
    finish(client, done).await
}

/// Starts a transaction that locks out other migrations.
pub(crate) async fn lock(client: &Object) -> Result<()> {
    let begun = client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})")).await;
    begun.map_err(|error| from_postgres(&error))
}

/// Commits on success, else rolls back.
pub(crate) async fn finish<T>(client: &Object, done: Result<T>) -> Result<T> {
    match done {
        Ok(value) => {
            client.batch_execute("COMMIT").await.map_err(|error| from_postgres(&error))?;
            Ok(value)
        }
        Err(error) => {
            // A connection that cannot roll back is closed, and its transaction with it.
            drop(client.batch_execute("ROLLBACK").await);
            Err(error)
        }
    }
}

/// Applies the pending steps up to a version, within the caller's transaction.
pub(crate) async fn apply(client: &Object, up_to: i64) -> Result<()> {
    let failed = |error: tokio_postgres::Error| from_postgres(&error);
    let states = status(client).await?;
    client.batch_execute(&migrate::table(Words::Postgres)).await.map_err(failed)?;
    for step in migrate::pending(&states).filter(|step| step.version <= up_to) {
        client.batch_execute(&step.sql(Words::Postgres)).await.map_err(failed)?;
        let insert =
            "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)";
        let checksum = step.checksum();
        client
            .execute(insert, &[&step.version, &step.name, &checksum.as_slice(), &migrate::clock()])
            .await
            .map_err(failed)?;
        tracing::info!(version = step.version, name = step.name, "migrated the store");
    }
    Ok(())
}
