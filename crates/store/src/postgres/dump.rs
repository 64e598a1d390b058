//! A portable copy of the store's tables: lines of JSON, one array per row, taken in one snapshot.
//!
//! ```text
//! {"fanfare_dump":1,"version":2,"created_at":…}
//! {"table":"users","columns":["id",…]}
//! ["0190…","alice",…,{"hex":"00ff"}]
//! {"end":true,"rows":123}
//! ```
//!
//! It holds no SQL, so reading one cannot execute anything. A dump without its last line was cut off and is rejected. A
//! restore is one transaction in a database without the store's tables: migrate up to the dump's version, insert,
//! migrate on.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use deadpool_postgres::Object;
use serde_json::{Value as Json, json};
use tokio_postgres::types::ToSql;

use super::{from_postgres, schema};
use crate::error::{Result, StoreError};
use crate::migrate;
use crate::sql::Value;

/// Format of the file.
const FORMAT: i64 = 1;
/// Rows fetched at once.
const PAGE: u32 = 1000;
/// Longest line that is read, bytes: a row with a message of the largest size, escaped.
const LINE: usize = 64 << 20;
/// All tables, referenced ones first.
pub(crate) const TABLES: &[&str] = &[
    "settings",
    "origins",
    "users",
    "user_keys",
    "key_log",
    "auth_sessions",
    "refresh_tokens",
    "used_once",
    "api_keys",
    "topics",
    "sessions",
    "metrics",
    "audit",
    "audit_checkpoint",
    "logs",
    "log_entries",
    "messages",
];

/// Writes the dump; returns the version of its tables.
pub(crate) async fn write(client: &Object, to: &Path) -> Result<i64> {
    let failed = |error: tokio_postgres::Error| from_postgres(&error);
    let file = create(to).map_err(|error| unwritable(to, &error))?;
    let mut out = BufWriter::new(file);
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(failed)?;
    let written = write_tables(client, to, &mut out).await;
    let version = schema::finish(client, written).await?;
    let synced = out.flush().and_then(|()| out.get_ref().sync_all());
    synced.map_err(|error| unwritable(to, &error))?;
    Ok(version)
}

fn create(to: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().write(true).create(true).truncate(true).mode(0o600).open(to)
}

fn unwritable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

async fn write_tables(client: &Object, to: &Path, out: &mut BufWriter<File>) -> Result<i64> {
    let failed = |error: tokio_postgres::Error| from_postgres(&error);
    let states = schema::status(client).await?;
    let version = states.iter().filter(|s| s.applied_at.is_some()).map(|s| s.version).max();
    let version = version
        .ok_or_else(|| StoreError::Misconfigured("store.url: the database holds no store".to_owned()))?;
    let mut line = |value: Json| writeln!(out, "{value}").map_err(|error| unwritable(to, &error));
    line(json!({"fanfare_dump": FORMAT, "version": version, "created_at": migrate::clock()}))?;
    let mut count = 0_u64;
    for table in TABLES {
        client
            .batch_execute(&format!("DECLARE dump NO SCROLL CURSOR FOR SELECT * FROM {table}"))
            .await
            .map_err(failed)?;
        let statement = client.prepare(&format!("FETCH {PAGE} FROM dump")).await.map_err(failed)?;
        let columns: Vec<&str> = statement.columns().iter().map(tokio_postgres::Column::name).collect();
        line(json!({"table": table, "columns": columns}))?;
        loop {
            let rows = client.query(&statement, &[]).await.map_err(failed)?;
            for row in &rows {
                line(super::values::read_row(row)?.0.iter().map(to_json).collect())?;
            }
            count += rows.len() as u64;
            if rows.is_empty() {
                break;
            }
        }
        client.batch_execute("CLOSE dump").await.map_err(failed)?;
    }
    line(json!({"end": true, "rows": count}))?;
    Ok(version)
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Int(value) => json!(value),
        // Not every real is a valid JSON number.
        Value::Real(value) => json!({"real": value.to_bits().to_string()}),
        Value::Text(value) => json!(value),
        Value::Bytes(value) => json!({"hex": hex(value)}),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_json(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => Value::Null,
        Json::Number(number) => Value::Int(number.as_i64()?),
        Json::String(text) => Value::Text(text.clone()),
        Json::Object(object) => match (object.get("hex"), object.get("real")) {
            (Some(digits), None) => Value::Bytes(unhex(digits.as_str()?)?),
            (None, Some(bits)) => Value::Real(f64::from_bits(bits.as_str()?.parse().ok()?)),
            _ => return None,
        },
        _ => return None,
    })
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if digits.len().is_multiple_of(2) { digits.as_bytes().chunks(2).map(pair).collect() } else { None }
}

/// The lines of a dump, each with its number for messages.
struct Lines {
    file: BufReader<File>,
    number: u64,
}

impl Lines {
    fn wrong(&self, what: &str) -> StoreError {
        StoreError::Misconfigured(format!("not a backup of a store: line {}: {what}", self.number))
    }

    fn next(&mut self) -> Result<Json> {
        use std::io::Read;
        self.number += 1;
        let mut line = String::new();
        let read = self.file.by_ref().take(LINE as u64).read_line(&mut line);
        match read {
            Ok(0) => Err(self.wrong("the file ends too early")),
            Ok(_) => serde_json::from_str(&line).map_err(|_| self.wrong("not a line of a dump")),
            Err(error) => Err(self.wrong(&error.to_string())),
        }
    }
}

/// Reads a dump into a database without the store's tables; returns the version of the dump's tables.
pub(crate) async fn read(client: &Object, from: &Path) -> Result<i64> {
    let file = File::open(from)
        .map_err(|error| StoreError::Misconfigured(format!("{} cannot be read: {error}", from.display())))?;
    let mut lines = Lines { file: BufReader::new(file), number: 0 };
    let head = lines.next()?;
    let (format, version) = (head["fanfare_dump"].as_i64(), head["version"].as_i64());
    let (Some(FORMAT), Some(version)) = (format, version) else {
        return Err(lines.wrong("not the head of a dump this program knows"));
    };
    let known = migrate::MIGRATIONS.last().map_or(0, |last| last.version);
    if version > known {
        return Err(StoreError::TooNew { found: version, known });
    }
    schema::lock(client).await?;
    let done = read_tables(client, &mut lines, version).await;
    schema::finish(client, done).await?;
    Ok(version)
}

async fn read_tables(client: &Object, lines: &mut Lines, version: i64) -> Result<()> {
    let failed = |error: tokio_postgres::Error| from_postgres(&error);
    if schema::status(client).await?.iter().any(|state| state.applied_at.is_some()) {
        return Err(StoreError::Misconfigured(
            "store.url: the database holds a store already; restore into an empty one".to_owned(),
        ));
    }
    schema::apply(client, version).await?;
    let (mut insert, mut width, mut count) = (None, 0, 0);
    loop {
        match lines.next()? {
            Json::Array(row) => {
                let values: Option<Vec<Value>> = row.iter().map(from_json).collect();
                let values = values.filter(|values| values.len() == width);
                let (Some(values), Some(statement)) = (values, &insert) else {
                    return Err(lines.wrong("not a row of its table"));
                };
                let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
                client.execute(statement, &values).await.map_err(failed)?;
                count += 1;
            }
            head if head["end"] == true => {
                if head["rows"].as_u64() != Some(count) {
                    return Err(lines.wrong("rows are missing"));
                }
                break;
            }
            head => {
                let (sql, columns) = table(&head).ok_or_else(|| lines.wrong("not a table of a store"))?;
                insert = Some(client.prepare(&sql).await.map_err(failed)?);
                width = columns;
            }
        }
    }
    // The rows were inserted with their numbers: the sequences of identity columns continue above them.
    let numbered = "SELECT table_name::text, column_name::text FROM information_schema.columns
                    WHERE table_schema = ANY (current_schemas(false)) AND is_identity = 'YES'";
    for row in client.query(numbered, &[]).await.map_err(failed)? {
        let (table, column): (String, String) = (row.get(0), row.get(1));
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', '{column}'), COALESCE(MAX({column}), 0) + 1, false) \
             FROM {table}"
        );
        client.batch_execute(&next).await.map_err(failed)?;
    }
    schema::apply(client, i64::MAX).await
}

/// The statement that inserts into a table of the dump; none for unknown names.
fn table(head: &Json) -> Option<(String, usize)> {
    let table = head["table"].as_str().filter(|table| TABLES.contains(table))?;
    let columns: Vec<&str> = head["columns"].as_array()?.iter().map(Json::as_str).collect::<Option<_>>()?;
    let plain = |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if columns.is_empty() || !columns.iter().all(plain) {
        return None;
    }
    let marks: Vec<String> = (1..=columns.len()).map(|n| format!("${n}")).collect();
    let sql = format!("INSERT INTO {table} (\"{}\") VALUES ({})", columns.join("\", \""), marks.join(", "));
    Some((sql, columns.len()))
}
