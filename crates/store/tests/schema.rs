//! Every model against the live catalogue of both engines: tables, columns, types, nullability, keys and references.
//!
//! The expectation is written out here, from the models; neither the migrations nor the statements are its source.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::Stage;
use rusqlite::Connection;

stories!(the_tables_match_the_models, statements_fit_every_column);

/// `name type[?]`: `?` is nullable. Types in the terms of the models.
const TABLES: &[(&str, &[&str], &str)] = &[
    ("settings", &["name text", "value text"], "name"),
    ("origins", &["origin text", "first_seen int"], "origin"),
    (
        "users",
        &[
            "id text",
            "username text",
            "role text",
            "password text?",
            "display_name text?",
            "email text?",
            "disabled int",
            "issuer text?",
            "created_at int",
            "deleted_at int?",
            "changed_at int?",
        ],
        "id",
    ),
    (
        "user_keys",
        &["user_id text", "device_id text", "ik bytes", "ek bytes", "key_binding bytes?", "created_at int"],
        "user_id device_id",
    ),
    (
        "key_log",
        &[
            "user_id text",
            "n int",
            "action text",
            "device_id text",
            "ik bytes",
            "ek bytes",
            "binding bytes?",
            "prev_hash bytes",
            "rotation bytes?",
            "at int",
        ],
        "user_id n",
    ),
    (
        "auth_sessions",
        &[
            "id text",
            "user_id text",
            "created_at int",
            "last_seen int",
            "expires_at int",
            "ip text?",
            "user_agent text?",
            "method text",
            "ended_at int?",
            "end_reason text?",
        ],
        "id",
    ),
    ("refresh_tokens", &["hash bytes", "session_id text", "expires_at int", "used_at int?"], "hash"),
    ("used_once", &["kind text", "key bytes", "expires_at int"], "kind key"),
    ("api_keys", &["name text", "hash bytes", "scopes text", "created_at int"], "name"),
    (
        "topics",
        &[
            "name text",
            "backpressure text?",
            "history_size int?",
            "history_ttl_ms int?",
            "created_at int",
            "durable int?",
            "history_topic_bytes int?",
        ],
        "name",
    ),
    (
        "sessions",
        &[
            "id int",
            "user_id text",
            "session_code text",
            "connected_at int",
            "disconnected_at int",
            "messages_sent int",
            "messages_received int",
            "ip_address text?",
            "user_agent text?",
            "close_code int?",
        ],
        "id",
    ),
    ("metrics", &["at int", "node text", "name text", "value real"], "at node name"),
    (
        "audit",
        &[
            "node text",
            "seq int",
            "ts text",
            "event text",
            "outcome text",
            "severity text",
            "user_id text?",
            "session text?",
            "ip text?",
            "user_agent text?",
            "request_id text?",
            "origin text?",
            "reason text?",
            "detail text",
            "hash bytes",
        ],
        "node seq",
    ),
    ("audit_checkpoint", &["node text", "seq int", "hash bytes", "time text", "sig bytes"], "node seq"),
    (
        "messages",
        &[
            "log int",
            "entry int",
            "id text",
            "from_user text",
            "to_user text",
            "content text",
            "encrypted_key text?",
            "encryption_nonce text?",
            "signature text?",
            "status text",
            "timestamp int",
            "seq int?",
        ],
        "log entry",
    ),
    (
        "logs",
        &[
            "id int",
            "space text",
            "name text",
            "epoch int",
            "head int",
            "first_seq int",
            "bytes int",
            "clock int",
            "created_at int",
        ],
        "id",
    ),
    (
        "log_entries",
        &[
            "log int",
            "seq int",
            "time int",
            "node int",
            "client_id text?",
            "by_user text?",
            "key bytes?",
            "payload bytes",
        ],
        "log seq",
    ),
    ("schema_migrations", &["version int", "name text", "checksum bytes", "applied_at int"], "version"),
];
/// Unique constraints besides the primary key.
const UNIQUE: &[&str] = &[
    "users username",
    "user_keys ik",
    "user_keys ek",
    "api_keys hash",
    "messages id",
    "logs space name",
    "log_entries log key",
];
const REFERENCES: &[&str] = &[
    "user_keys user_id users",
    "key_log user_id users",
    "auth_sessions user_id users",
    "refresh_tokens session_id auth_sessions",
];
/// Table and columns of each index that is not a key's.
const INDEXES: &[&str] = &[
    "auth_sessions user_id",
    "auth_sessions ended_at",
    "refresh_tokens session_id",
    "refresh_tokens expires_at",
    "used_once expires_at",
    "sessions user_id connected_at",
    "metrics name at",
    "audit ts",
    "users changed_at",
];

/// A database's catalogue, in one form for both engines.
#[derive(Debug, PartialEq, Eq, Default)]
struct Catalogue {
    columns: BTreeMap<String, Vec<String>>,
    primary: BTreeSet<String>,
    unique: BTreeSet<String>,
    references: BTreeSet<String>,
    indexes: BTreeSet<String>,
}

fn expected() -> Catalogue {
    let set = |items: &[&str]| items.iter().map(|item| (*item).to_owned()).collect();
    let columns = |columns: &[&str]| columns.iter().map(|column| (*column).to_owned()).collect();
    Catalogue {
        columns: TABLES.iter().map(|(table, list, _)| ((*table).to_owned(), columns(list))).collect(),
        primary: TABLES.iter().map(|(table, _, key)| format!("{table} {key}")).collect(),
        unique: set(UNIQUE),
        references: set(REFERENCES),
        indexes: set(INDEXES),
    }
}

async fn the_tables_match_the_models(stage: Stage) {
    let store = stage.open().await;
    let found =
        if stage.postgres { postgres(&stage.postgres_client().await).await } else { sqlite(&stage.file()) };
    let expected = expected();
    for (table, columns) in &expected.columns {
        assert_eq!(found.columns.get(table), Some(columns), "{table}");
    }
    assert_eq!(found, expected);
    store.close().await;
}

fn words(kind: &str, nullable: bool) -> String {
    let word = match kind {
        "TEXT" | "text" => "text",
        "INTEGER" | "bigint" => "int",
        "BLOB" | "bytea" => "bytes",
        "REAL" | "double precision" => "real",
        other => panic!("a column is of type {other}"),
    };
    format!("{word}{}", if nullable { "?" } else { "" })
}

fn rows<T>(
    db: &Connection,
    sql: &str,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Vec<T> {
    db.prepare(sql).unwrap().query_map([], read).unwrap().map(Result::unwrap).collect()
}

fn sqlite(file: &std::path::Path) -> Catalogue {
    let db = Connection::open(file).unwrap();
    let mut found = Catalogue::default();
    let listed =
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'";
    for (table, strict) in rows(&db, listed, |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?))) {
        assert!(strict, "{table} enforces its column types");
        let info =
            format!("SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table}') ORDER BY cid");
        let columns = rows(&db, &info, |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, bool>(2)?,
                row.get::<_, i64>(3)?,
            ))
        });
        let shown = |(name, kind, not_null, key): &(String, String, bool, i64)| {
            format!("{name} {}", words(kind, !not_null && *key == 0))
        };
        found.columns.insert(table.clone(), columns.iter().map(shown).collect());
        let mut key: Vec<_> =
            columns.iter().filter(|(.., key)| *key > 0).map(|(name, .., key)| (key, name)).collect();
        key.sort();
        let key: Vec<_> = key.into_iter().map(|(_, name)| name.as_str()).collect();
        found.primary.insert(format!("{table} {}", key.join(" ")));
        let listed = format!("SELECT name, origin, \"unique\" FROM pragma_index_list('{table}')");
        for (index, origin, unique) in rows(&db, &listed, |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, bool>(2)?))
        }) {
            let of = format!("SELECT name FROM pragma_index_info('{index}') ORDER BY seqno");
            let names = rows(&db, &of, |row| row.get::<_, String>(0)).join(" ");
            match (origin.as_str(), unique) {
                ("pk", _) => {}
                (_, true) => drop(found.unique.insert(format!("{table} {names}"))),
                (_, false) => drop(found.indexes.insert(format!("{table} {names}"))),
            }
        }
        let keys = format!("SELECT \"from\", \"table\" FROM pragma_foreign_key_list('{table}')");
        for (from, to) in rows(&db, &keys, |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))) {
            found.references.insert(format!("{table} {from} {to}"));
        }
    }
    found
}

async fn postgres(client: &tokio_postgres::Client) -> Catalogue {
    let mut found = Catalogue::default();
    let columns = "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES', collation_name::text
                   FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";
    for row in client.query(columns, &[]).await.unwrap() {
        let (table, name, kind): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let collation: Option<String> = row.get(4);
        assert!(kind != "text" || collation.as_deref() == Some("C"), "{table}.{name} sorts as on SQLite");
        found.columns.entry(table).or_default().push(format!("{name} {}", words(&kind, row.get(3))));
    }
    let indexes = "SELECT t.relname::text, i.indisprimary, i.indisunique,
                          string_agg(a.attname::text, ' ' ORDER BY k.place)
                   FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
                   JOIN pg_namespace s ON s.oid = t.relnamespace AND s.nspname = 'public'
                   CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k(number, place)
                   JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.number
                   GROUP BY t.relname, i.indexrelid, i.indisprimary, i.indisunique";
    for row in client.query(indexes, &[]).await.unwrap() {
        let text = format!("{} {}", row.get::<_, String>(0), row.get::<_, String>(3));
        match (row.get(1), row.get(2)) {
            (true, _) => found.primary.insert(text),
            (_, true) => found.unique.insert(text),
            _ => found.indexes.insert(text),
        };
    }
    let references = "SELECT c.conrelid::regclass::text, a.attname::text, c.confrelid::regclass::text
                      FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
                      WHERE c.contype = 'f'";
    for row in client.query(references, &[]).await.unwrap() {
        let [from, column, to]: [String; 3] = [row.get(0), row.get(1), row.get(2)];
        found.references.insert(format!("{from} {column} {to}"));
    }
    found
}

/// The widest values each column must take, written and read back through the models.
async fn statements_fit_every_column(stage: Stage) {
    let store = stage.open().await;
    let long = "\u{10ffff}'\"\\;--".repeat(2_000);
    let mut new = common::new_user("wide");
    new.created_at = i64::MAX;
    let user = store.create_user(new).await.unwrap();
    let change = fanfare_store::ProfileChange {
        display_name: Some(Some(long.clone())),
        email: Some(Some(String::new())),
    };
    assert!(store.change_profile(&user.id, Default::default(), change).await.unwrap());
    let found = store.user(&user.id).await.unwrap().unwrap();
    assert_eq!((found.display_name.as_ref(), found.email.as_deref()), (Some(&long), Some("")));
    assert_eq!(found.created_at, i64::MAX);
    let mut wide = common::message("wide");
    (wide.content, wide.seq, wide.timestamp) = (long, Some(i64::MIN), i64::MIN);
    store.append_message(wide.clone()).await.unwrap();
    assert_eq!(store.message("wide").await.unwrap().unwrap().message, wide);
    let values = [f64::MAX, f64::MIN_POSITIVE, -0.0, f64::INFINITY];
    let named = values.iter().enumerate().map(|(n, value)| (format!("m{n}"), *value)).collect();
    store.put_metrics(1, "n", named).await.unwrap();
    let kept: Vec<f64> =
        store.metrics(common::metrics(None, None, 9)).await.unwrap().iter().map(|row| row.value).collect();
    assert_eq!(kept, values);
    store.close().await;
}
