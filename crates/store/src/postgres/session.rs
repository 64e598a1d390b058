//! A unit of work on a connection of PostgreSQL.
//!
//! Units are plain closures; they run on tokio's blocking threads and wait there for each response. A unit that writes
//! has its own transaction, started together with its first statement (one round trip less). It is run again when it
//! lost against another transaction, or when its connection was closed or stale before the commit was sent. If the
//! response to a commit is lost, its outcome is unknown: that is `Unknown`.

use std::future::Future;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use futures_util::future::{join, try_join_all};
use tokio::runtime::Handle;
use tokio_postgres::types::ToSql;

use super::connect;
use super::errors::{from_postgres, is_stale, is_transient};
use super::values::read_row;
use crate::engine::Unit;
use crate::error::{Result, StoreError};
use crate::sql::{Column, Row, Run, Sql, Value, storable};

/// Maximum runs of a unit.
const ATTEMPTS: u32 = 5;
/// How long one statement may take; the server's own limit is shorter and applies unless the server is lost.
const STATEMENT: Duration = Duration::from_secs(35);

/// Whether a unit writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Read,
    Write,
}

/// The result of an attempt.
enum Attempt {
    Done(Result<()>),
    Again(StoreError),
}

/// Runs a unit until it is done; the error is the connection's or the commit's, not the unit's own.
pub(crate) fn run(handle: &Handle, pool: &Pool, unit: &mut dyn Unit, kind: Kind) -> Result<()> {
    let mut last = crate::closed();
    for _ in 0..ATTEMPTS {
        let client = handle.block_on(connect::take(pool))?;
        match attempt(handle.clone(), pool, client, unit, kind) {
            Attempt::Done(result) => return result,
            Attempt::Again(error) => last = error,
        }
    }
    Err(last)
}

fn attempt(handle: Handle, pool: &Pool, client: Object, unit: &mut dyn Unit, kind: Kind) -> Attempt {
    let mut session = Session { client: Some(client), pool, handle, kind, begun: false, again: None };
    let kept = unit.run(&mut session);
    if !kept {
        session.undo();
        let lost = unit.error().filter(|error| unit.loses_with(error)).cloned();
        return session.again.take().or(lost).map_or(Attempt::Done(Ok(())), Attempt::Again);
    }
    Attempt::Done(session.commit())
}

struct Session<'a> {
    /// None once the connection is unusable.
    client: Option<Object>,
    pool: &'a Pool,
    handle: Handle,
    kind: Kind,
    begun: bool,
    /// Why the unit may be run again.
    again: Option<StoreError>,
}

impl Session<'_> {
    /// Runs `ask` with the connection and waits for its result. A lost or silent connection is discarded.
    fn wait<T>(&mut self, ask: impl AsyncFnOnce(&Object) -> Result<T, tokio_postgres::Error>) -> Result<T> {
        let client = self.client.take().ok_or_else(lost)?;
        let answer = self.handle.block_on(async { tokio::time::timeout(STATEMENT, ask(&client)).await });
        let error = match answer {
            Ok(Ok(value)) => {
                self.client = Some(client);
                return Ok(value);
            }
            Ok(Err(error)) => error,
            Err(_) => {
                drop(Object::take(client));
                return Err(StoreError::Unavailable("PostgreSQL did not respond in time".to_owned()));
            }
        };
        let known = from_postgres(&error);
        let gone = error.is_closed() || client.is_closed() || is_stale(&error);
        if gone || is_transient(&error) {
            self.again = Some(known.clone());
        }
        if gone {
            connect::discard(self.pool, client);
        } else {
            self.client = Some(client);
        }
        Err(known)
    }

    /// Whether this statement is the first of a transaction.
    fn begins(&mut self) -> bool {
        self.kind == Kind::Write && !std::mem::replace(&mut self.begun, true)
    }

    fn commit(&mut self) -> Result<()> {
        if !self.begun {
            return Ok(());
        }
        let answer = self.wait(async |client| client.batch_execute("COMMIT").await);
        match answer {
            Err(error) if self.client.is_none() => Err(StoreError::Unknown(error.to_string())),
            answer => answer,
        }
    }

    fn undo(&mut self) {
        if self.begun && self.client.is_some() {
            let again = self.again.take();
            // A connection that cannot even roll back has been discarded, and its transaction with it.
            drop(self.wait(async |client| client.batch_execute("ROLLBACK").await));
            self.again = again;
        }
    }
}

fn lost() -> StoreError {
    StoreError::Unavailable("the connection to PostgreSQL is lost".to_owned())
}

/// Sends BEGIN, if requested, and the statement without waiting in between.
async fn begun<T>(
    client: &Object,
    begins: bool,
    statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    if !begins {
        return statement.await;
    }
    let (begin, answer) = join(client.batch_execute("BEGIN"), statement).await;
    begin.and(answer)
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

/// The arrays of a statement over many rows.
fn arrays<'a>(run: &'a Run<'_>) -> Vec<&'a (dyn ToSql + Sync)> {
    let array = |column: &'a Column<'_>| match column {
        Column::Ints(values) => values as &(dyn ToSql + Sync),
        Column::Texts(values) => values,
        Column::Bytes(values) => values,
    };
    run.columns.iter().map(array).collect()
}

impl Sql for Session<'_> {
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>> {
        storable(values)?;
        let begins = self.begins();
        let rows = self.wait(async |client| {
            let statement = client.prepare_cached(sql).await?;
            begun(client, begins, client.query(&statement, &parameters(values))).await
        })?;
        rows.iter().map(read_row).collect()
    }

    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64> {
        storable(values)?;
        let begins = self.begins();
        self.wait(async |client| {
            let statement = client.prepare_cached(sql).await?;
            begun(client, begins, client.execute(&statement, &parameters(values))).await
        })
    }

    fn bulk(&mut self, runs: &[Run<'_>]) -> Result<Vec<Vec<Row>>> {
        let runs_of = |run: &&Run<'_>| run.rows() > 0;
        if !runs.iter().any(|run| runs_of(&run)) {
            return Ok(runs.iter().map(|_| Vec::new()).collect());
        }
        let begins = self.begins();
        let results = self.wait(async |client| {
            let mut statements = Vec::with_capacity(runs.len());
            for run in runs.iter().filter(runs_of) {
                statements.push((client.prepare_cached(run.bulk.many).await?, arrays(run)));
            }
            let asked = statements.iter().map(|(statement, arrays)| client.query(statement, arrays));
            begun(client, begins, try_join_all(asked)).await
        })?;
        let mut results = results.iter();
        let rows = |run: &Run<'_>| match runs_of(&run) {
            true => results.next().map_or(Ok(Vec::new()), |rows| rows.iter().map(read_row).collect()),
            false => Ok(Vec::new()),
        };
        runs.iter().map(rows).collect()
    }
}
