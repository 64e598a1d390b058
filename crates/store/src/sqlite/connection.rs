//! Opening a SQLite file with the required settings, each verified by reading it back.

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, Value as SqliteValue, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use super::from_sqlite;
use crate::error::{Result, StoreError};
use crate::options::Durability;
use crate::sql::{Column, Row, Run, Sql, Value, storable};

/// Libraries before 3.51.3 can corrupt a WAL file when a checkpoint coincides with a commit.
const OLDEST: i32 = 3_051_003;
/// How long a connection waits for another process's lock (the CLI beside a server).
const BUSY: Duration = Duration::from_secs(5);
/// Prepared statements cached by each connection: more than the crate has.
const STATEMENTS: usize = 128;
/// Page cache of a connection, KiB.
const CACHE_KIB: i64 = 8192;

/// The purpose of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Creates the file if it does not exist.
    Write,
    /// Refuses to write.
    Read,
}

/// Opens the file, created with mode 600, in WAL mode.
pub(crate) fn connect(path: &Path, durability: Durability, access: Access) -> Result<Connection> {
    if rusqlite::version_number() < OLDEST {
        let found = rusqlite::version();
        return Err(StoreError::Misconfigured(format!(
            "the SQLite library is {found}: before 3.51.3 it can corrupt the store"
        )));
    }
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if access == Access::Write {
        make(path)?;
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags).map_err(from_sqlite)?;
    configure(&connection, durability, access)?;
    Ok(connection)
}

/// Opens a backup for reading without changing a byte of it.
pub(crate) fn open_backup(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(from_sqlite)?;
    connection.busy_timeout(BUSY).map_err(from_sqlite)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(from_sqlite)?;
    Ok(connection)
}

/// Creates the file and its folder before SQLite does, so that it is never readable by others.
fn make(path: &Path) -> Result<()> {
    let wrong = |error: std::io::Error| {
        StoreError::Misconfigured(format!("store.url: {} cannot be opened: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(wrong)?;
    }
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(wrong)?;
    let mode = file.metadata().map_err(wrong)?.permissions().mode();
    if mode & 0o077 != 0 {
        file.set_permissions(PermissionsExt::from_mode(0o600)).map_err(wrong)?;
    }
    Ok(())
}

fn configure(connection: &Connection, durability: Durability, access: Access) -> Result<()> {
    connection.busy_timeout(BUSY).map_err(from_sqlite)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let (name, number) = durability.synchronous();
    let set =
        |pragma: &str, value: &dyn ToSql| connection.pragma_update(None, pragma, value).map_err(from_sqlite);
    write_ahead(connection)?;
    set("synchronous", &name)?;
    set("wal_autocheckpoint", &0)?;
    set("foreign_keys", &true)?;
    set("trusted_schema", &false)?;
    set("secure_delete", &true)?;
    set("cache_size", &-CACHE_KIB)?;
    set("query_only", &(access == Access::Read))?;
    let mode: String =
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(from_sqlite)?;
    if mode != "wal" {
        return Err(StoreError::Misconfigured(format!(
            "store.url: the file system cannot do write-ahead logging (journal_mode is {mode})"
        )));
    }
    for (pragma, wanted) in
        [("synchronous", number), ("foreign_keys", 1), ("trusted_schema", 0), ("secure_delete", 1)]
    {
        let found: i64 =
            connection.pragma_query_value(None, pragma, |row| row.get(0)).map_err(from_sqlite)?;
        if found != wanted {
            return Err(StoreError::Misconfigured(format!("SQLite keeps {pragma}={found}, not {wanted}")));
        }
    }
    Ok(())
}

/// Enables write-ahead logging. Of several connections that open a new file at once all but one get a busy error,
/// without SQLite waiting [`BUSY`] as it does elsewhere, because they could wait for each other.
fn write_ahead(connection: &Connection) -> Result<()> {
    let deadline = Instant::now() + BUSY;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(2));
            }
            done => return done.map_err(from_sqlite),
        }
    }
}

/// Copies the whole database into a new file during reads and writes.
pub(crate) fn backup_to(connection: &Connection, to: &Path) -> Result<()> {
    make(to)?;
    let mut copy = Connection::open(to).map_err(from_sqlite)?;
    let backup = rusqlite::backup::Backup::new(connection, &mut copy).map_err(from_sqlite)?;
    // All pages in one step: within one read transaction, so a busy writer cannot make it restart again and again.
    let step = backup.step(-1).map_err(from_sqlite)?;
    if step != rusqlite::backup::StepResult::Done {
        return Err(StoreError::Unavailable(format!("the copy of the database stopped: {step:?}")));
    }
    drop(backup);
    // The header of a copied WAL database marks it as one; a portable copy is a single file.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(from_sqlite)?;
    check(&copy)?;
    copy.close().map_err(|(_, error)| from_sqlite(error))?;
    let synced = OpenOptions::new().read(true).open(to).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::Unavailable(format!("{}: {error}", to.display())))
}

/// SQLite's own check of the whole file.
pub(crate) fn check(connection: &Connection) -> Result<()> {
    let found: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(from_sqlite)?;
    if found == "ok" { Ok(()) } else { Err(StoreError::Corrupt(found)) }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(SqliteValue::Null),
            Self::Int(value) => ToSqlOutput::Owned(SqliteValue::Integer(*value)),
            Self::Real(value) => ToSqlOutput::Owned(SqliteValue::Real(*value)),
            Self::Text(value) => ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes())),
            Self::Bytes(value) => ToSqlOutput::Borrowed(ValueRef::Blob(value)),
        })
    }
}

fn read_value(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(value) => Value::Text(
            String::from_utf8(value.to_vec())
                .map_err(|_| StoreError::Corrupt("a text is not UTF-8".to_owned()))?,
        ),
        ValueRef::Blob(value) => Value::Bytes(value.to_vec()),
    })
}

/// Appends the rows of a running statement.
fn read_rows(mut rows: rusqlite::Rows<'_>, columns: usize, found: &mut Vec<Row>) -> Result<()> {
    while let Some(row) = rows.next().map_err(from_sqlite)? {
        let values = (0..columns).map(|at| read_value(row.get_ref(at).map_err(from_sqlite)?));
        found.push(Row(values.collect::<Result<_>>()?));
    }
    Ok(())
}

/// Runs a statement once for each row of parameters. It is looked up once, and values are bound without copies.
fn each(connection: &Connection, run: &Run<'_>, found: &mut Vec<Row>) -> Result<()> {
    let mut statement = connection.prepare_cached(run.bulk.one).map_err(from_sqlite)?;
    let columns = statement.column_count();
    for row in 0..run.rows() {
        for (at, column) in run.columns.iter().enumerate() {
            let bound = match column {
                Column::Ints(values) => statement.raw_bind_parameter(at + 1, values[row]),
                Column::Texts(values) => statement.raw_bind_parameter(at + 1, values[row]),
                Column::Bytes(values) => statement.raw_bind_parameter(at + 1, values[row]),
            };
            bound.map_err(from_sqlite)?;
        }
        read_rows(statement.raw_query(), columns, found)?;
    }
    Ok(())
}

impl Sql for Connection {
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>> {
        storable(values)?;
        let mut statement = self.prepare_cached(sql).map_err(from_sqlite)?;
        let columns = statement.column_count();
        let mut found = Vec::new();
        let rows = statement.query(rusqlite::params_from_iter(values)).map_err(from_sqlite)?;
        read_rows(rows, columns, &mut found)?;
        Ok(found)
    }

    fn bulk(&mut self, runs: &[Run<'_>]) -> Result<Vec<Vec<Row>>> {
        let run = |run| {
            let mut found = Vec::new();
            each(self, run, &mut found)?;
            Ok(found)
        };
        runs.iter().map(run).collect()
    }

    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64> {
        storable(values)?;
        let mut statement = self.prepare_cached(sql).map_err(from_sqlite)?;
        let changed = statement.execute(rusqlite::params_from_iter(values)).map_err(from_sqlite)?;
        Ok(changed as u64)
    }
}
