//! The audit log through the real binary: what is written, what `audit verify` finds, what `audit tail` shows.

use crate::ops::{Again, administrator, command, intact, refused, rows, said, succeeded};
use crate::people::{Person, roomy, with_token};
use crate::support::BINARY;
use fanfare_store::AuditRow;
use fanfare_testkit::postgres;
use fanfare_testkit::raw::Raw;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, Signal, eventually};
use rusqlite::Connection;
use std::path::Path;

#[track_caller]
fn events(data_dir: &Path) -> Vec<String> {
    rows(data_dir, &[]).iter().map(|row| row["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_life_is_written_down_from_its_start_to_its_end() {
    let mut server = roomy(&[]);
    let folder = server.data_dir();
    Person::new(&server, "ann");
    let wrong =
        server.post("/auth/login", &serde_json::json!({ "username": "ann", "password": "not it, no" }));
    assert_eq!(wrong.status, 401);
    assert!(intact(&folder).contains("intact"), "beside the running server");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
    let seen = events(&folder);
    assert_eq!((seen[0].as_str(), seen[seen.len() - 1].as_str()), ("sys_startup", "sys_shutdown"));
    for event in ["user_created", "authn_login_success", "authn_login_fail"] {
        assert!(seen.iter().any(|e| e == event), "{event} in {seen:?}");
    }
    let verdict = intact(&folder);
    assert!(verdict.contains(&format!("sealed up to row {}", seen.len())), "{verdict}");
    // The next run crashes, and the one after it records that.
    Again::start(&folder, &[]).kill();
    Again::start(&folder, &[]).stop();
    let seen = events(&folder);
    assert_eq!(seen.iter().filter(|e| *e == "sys_crash").count(), 1, "{seen:?}");
    intact(&folder);
}

#[test]
fn no_secret_and_no_control_character_gets_into_it() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    // HTTP itself lets no control character through; the direction of text it does not know.
    let hostile = "x\u{202e}\u{9b}evil";
    let body = serde_json::json!({ "username": "ann", "password": "SECRET-in-a-body" }).to_string();
    let request = Request::post("/auth/login?secret=SECRET-in-a-query", &body);
    request.replace("User-Agent", hostile).send(server.addr());
    let folder = server.data_dir();
    let text = fanfare_testkit::server::eventually("the failed login is written", PATIENCE, || {
        let text = said(&command(&folder, &["audit", "tail", "-n", "1000", "--json"]));
        text.contains("authn_login_fail").then_some(text)
    });
    for secret in ["SECRET", &ann.token, &ann.refresh, crate::people::PASSWORD] {
        assert!(!text.contains(secret), "{secret}");
    }
    let harmful = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.chars().any(harmful), "{text:?}");
}

#[test]
fn refusals_and_sockets_are_written_down() {
    let server = roomy(&[]);
    let ann = Person::new(&server, "ann");
    let folder = server.data_dir();
    let foreign = Request::upgrade("/ws").header("Origin", "https://evil.test");
    assert_eq!(foreign.send(server.addr()).status, 403);
    assert_eq!(Request::upgrade("/ws?session=happy-panda-42&resume=x").send(server.addr()).status, 401);
    assert_eq!(Request::get("/topics").header("X-API-Key", "fan_x").send(server.addr()).status, 401);
    assert_eq!(Request::upgrade("/ws?token=a.b.c").send(server.addr()).status, 401);
    let broadcast = Request::post("/sessions/broadcast", r#"{"payload":1}"#);
    assert_eq!(ann.ask(&server, broadcast).status, 403);
    let ping = Request::post("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"server.ping"}"#);
    assert_eq!(ann.ask(&server, ping.replace("User-Agent", "poster/1")).status, 200);
    let mut socket = Raw::upgrade(server.addr(), &with_token(Request::upgrade("/ws"), &ann.token));
    socket.hear_type("welcome");
    assert_eq!(ann.ask(&server, Request::post("/auth/logout", "{}")).status, 204);
    socket.expect_close(4401);
    let all = eventually("all is written", PATIENCE, || {
        let all = rows(&folder, &[]);
        all.iter().any(|row| row["event"] == "ws_close").then_some(all)
    });
    let found = |event: &str, field: &str, value: serde_json::Value| {
        let is = |row: &&serde_json::Value| row["event"] == event && row.pointer(field) == Some(&value);
        assert!(all.iter().any(|row| is(&row)), "{event} {value} in {all:#?}");
    };
    found("origin_denied", "/origin", "https://evil.test".into());
    found("resume_fail", "/ip", "127.0.0.1".into());
    found("authn_login_fail", "/reason", "api_key".into());
    found("authn_login_fail", "/reason", "token".into());
    found("authz_fail", "/reason", "no_scope".into());
    found("server_command", "/user_agent", "poster/1".into());
    found("ws_open", "/outcome", "success".into());
    found("ws_close", "/detail/code", 4401.into());
}

#[test]
fn refusals_cannot_fill_the_log() {
    let server = roomy(&[]);
    for _ in 0..50 {
        assert_eq!(Request::get("/topics").header("X-API-Key", "fan_x").send(server.addr()).status, 401);
    }
    let ann = Person::new(&server, "ann");
    let refused = eventually("the account behind them is written", PATIENCE, || {
        let all = rows(&server.data_dir(), &[]);
        all.iter()
            .any(|row| row["event"] == "user_created")
            .then(|| all.iter().filter(|row| row["event"] == "authn_login_fail").count())
    });
    assert!((10..=15).contains(&refused), "{refused} rows of 50 refusals");
    assert_eq!(ann.me(&server).status, 200);
}

#[test]
fn a_flood_of_refusals_hides_no_administrator_and_is_counted() {
    let server = roomy(&[("limits.login_per_minute", "2"), ("limits.tickets_per_minute", "2")]);
    let folder = server.data_dir();
    let chief = administrator(&server, "chief");
    let login = serde_json::json!({ "username": "nobody", "password": "not it, no" });
    let mut limited = 0;
    while limited < 400 {
        limited += i32::from(server.post("/auth/login", &login).status == 429);
    }
    assert_eq!(chief.get(&server, "/admin/users").status, 200);
    let counted = eventually("what was left out is counted", PATIENCE, || {
        let gaps = rows(&folder, &["--event", "audit_gap"]);
        let left_out: i64 = gaps.iter().filter_map(|row| row["detail"]["count"].as_i64()).sum();
        (!gaps.is_empty()).then_some((gaps, left_out))
    });
    let all = rows(&folder, &[]);
    let of = |event: &str| all.iter().filter(|row| row["event"] == event).count();
    assert!(all.iter().any(|row| row["detail"]["action"] == "list_users"), "{all:#?}");
    let written = of("excess_rate_limit_exceeded");
    assert!((10..=15).contains(&written), "{written} rows of 400 refusals");
    let (gaps, left_out) = counted;
    assert!(gaps.len() <= 3 && left_out > 300 && gaps[0]["reason"] == "refusals", "{gaps:#?}");
    assert!(server.metric("fanfare_audit_lost_total") >= left_out as f64);
}

#[test]
fn who_brings_no_credential_has_not_failed_with_one() {
    let server = roomy(&[("auth.require", "true")]);
    assert_eq!(Request::get("/topics?limit=1").send(server.addr()).status, 401);
    assert_eq!(Request::get("/topics").header("X-API-Key", "fan_x").send(server.addr()).status, 401);
    let failed = eventually("the key is written", PATIENCE, || {
        let failed = rows(&server.data_dir(), &["--event", "authn_login_fail"]);
        (!failed.is_empty()).then_some(failed)
    });
    let reasons: Vec<_> = failed.iter().map(|row| row["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["api_key"]);
}

/// A row after the last one, as an attacker writes it who has the database only.
const APPEND: &str =
    "INSERT INTO audit SELECT node, 11, ts, 'admin_action', outcome, severity, user_id, session, ip,
    user_agent, request_id, origin, reason, detail, hash FROM audit WHERE seq = 10";

/// A change of the database, and the first invalid row then, of ten rows sealed up to the tenth.
const TAMPERS: &[(&str, &str, i64)] = &[
    ("edit", "UPDATE audit SET reason = 'nothing' WHERE seq = 4", 4),
    ("edit a detail", "UPDATE audit SET detail = '{\"x\":1}' WHERE seq = 10", 10),
    ("edit a hash", "UPDATE audit SET hash = zeroblob(32) WHERE seq = 4", 4),
    ("delete", "DELETE FROM audit WHERE seq = 4", 4),
    ("delete the first", "DELETE FROM audit WHERE seq = 1", 1),
    ("delete and renumber", "DELETE FROM audit WHERE seq = 10; UPDATE audit SET seq = 10 WHERE seq = 9", 9),
    (
        "insert",
        "UPDATE audit SET seq = 11 WHERE seq = 10;
         INSERT INTO audit SELECT node, 10, ts, 'forged', outcome, severity, user_id, session, ip, user_agent,
             request_id, origin, reason, detail, hash FROM audit WHERE seq = 9",
        10,
    ),
    (
        "reorder",
        "UPDATE audit SET seq = 99 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 99",
        4,
    ),
    ("truncate", "DELETE FROM audit WHERE seq > 6", 7),
    ("truncate all", "DELETE FROM audit", 1),
    ("truncate the last row", "DELETE FROM audit WHERE seq > 9", 10),
    ("append", APPEND, 11),
    (
        "append a prune and delete the rest",
        "INSERT INTO audit SELECT node, 11, ts, 'audit_pruned', outcome, severity, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
             '{\"up_to\":9,\"hash\":\"0000000000000000000000000000000000000000000000000000000000000000\"}', hash
             FROM audit WHERE seq = 10;
         DELETE FROM audit WHERE seq < 10",
        1,
    ),
    ("take the checkpoints", "DELETE FROM audit_checkpoint WHERE seq > 8", 9),
    ("forge a checkpoint", "UPDATE audit_checkpoint SET sig = zeroblob(64) WHERE seq = 10", 10),
    ("move a checkpoint", "UPDATE audit_checkpoint SET seq = 9 WHERE seq = 10", 9),
    ("another node's", "UPDATE audit SET node = 'other' WHERE seq = 4", 4),
];

/// A copy of a folder's store and keys.
fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    std::fs::copy(from.join("fanfare.db"), to.path().join("fanfare.db")).unwrap();
    std::fs::create_dir(to.path().join("keys")).unwrap();
    for key in std::fs::read_dir(from.join("keys")).unwrap() {
        let key = key.unwrap();
        std::fs::copy(key.path(), to.path().join("keys").join(key.file_name())).unwrap();
    }
    to
}

/// Makes ten rows, sealed up to the last, in a folder's store or in this one.
fn ten_rows_in(folder: &Path, store: Option<&str>) {
    let settings: Vec<_> = store.map(|url| ("store.url", url)).into_iter().collect();
    let set = store.map(|url| format!("store.url={url}"));
    let more: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    let count = || rows(folder, &more).len();
    Again::start(folder, &settings).stop();
    while count() < 8 {
        let to = folder.with_file_name(format!("backup{}", count()));
        succeeded(&command(folder, &[&["backup", to.to_str().unwrap()], &more[..]].concat()));
    }
    Again::start(folder, &settings).stop();
    assert_eq!(count(), 10);
}

/// A folder with ten rows, sealed up to the last.
fn ten_rows() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    ten_rows_in(&folder, None);
    let copied = copy(&folder);
    let whole = Connection::open(copied.path().join("fanfare.db")).unwrap();
    let sealed: i64 = whole.query_row("SELECT MAX(seq) FROM audit_checkpoint", [], |r| r.get(0)).unwrap();
    assert_eq!(sealed, 10);
    copied
}

#[test]
fn every_way_to_tamper_is_found_with_its_first_row() {
    let original = ten_rows();
    intact(original.path());
    for (name, sql, seq) in TAMPERS {
        let tampered = copy(original.path());
        Connection::open(tampered.path().join("fanfare.db")).unwrap().execute_batch(sql).expect(name);
        let verdict = command(tampered.path(), &["audit", "verify"]);
        let text = said(&verdict);
        assert_eq!(verdict.status.code(), Some(1), "{name}: {verdict:?}");
        assert!(text.contains(&format!("seq {seq}:")), "{name}: {text}");
    }
    // Another key in the place of the one that signed.
    let rekeyed = copy(original.path());
    std::fs::write(rekeyed.path().join("keys/audit.key"), [9; 32]).unwrap();
    assert_eq!(command(rekeyed.path(), &["audit", "verify"]).status.code(), Some(1));
    // The public half that was kept elsewhere still judges it.
    let public = std::fs::read_to_string(original.path().join("keys/audit.pub")).unwrap();
    let args = ["audit", "verify", "--public-key", public.trim()];
    assert_eq!(command(rekeyed.path(), &args).status.code(), Some(0));
}

#[test]
fn every_way_to_tamper_is_found_on_postgres_too() {
    let Some(original) = postgres::database() else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    ten_rows_in(&folder, Some(&original));
    for (name, sql, seq) in TAMPERS {
        let tampered = postgres::copy_of(postgres::name_of(&original)).unwrap();
        let judge = || command(&folder, &["audit", "verify", "--set", &format!("store.url={tampered}")]);
        succeeded(&judge());
        let zeros = |n: usize| format!("decode(repeat('00', {n}), 'hex')");
        postgres::run(
            &tampered,
            &sql.replace("zeroblob(32)", &zeros(32)).replace("zeroblob(64)", &zeros(64)),
        );
        let verdict = judge();
        let text = said(&verdict);
        assert_eq!(verdict.status.code(), Some(1), "{name}: {verdict:?}");
        assert!(text.contains(&format!("seq {seq}:")), "{name}: {text}");
    }
}

#[test]
fn a_store_taken_back_on_postgres_is_found_by_the_folder_and_the_anchor() {
    let Some(url) = postgres::database() else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    ten_rows_in(&folder, Some(&url));
    let set = format!("store.url={url}");
    let last = rows(&folder, &["--set", &set]).pop().unwrap();
    let anchor = format!("{}:{}", last["seq"], last["hash"].as_str().unwrap());
    postgres::run(&url, "DELETE FROM audit WHERE seq > 8; DELETE FROM audit_checkpoint WHERE seq > 8");
    broken_at(&folder, 9, &["--set", &set]);
    std::fs::remove_file(folder.join("audit.head")).unwrap();
    succeeded(&command(&folder, &["audit", "verify", "--set", &set]));
    broken_at(&folder, 9, &["--set", &set, "--anchor", &anchor]);
}

#[test]
fn an_anchor_from_the_log_finds_tampering_that_the_store_cannot_show() {
    let folder = ten_rows();
    let last = rows(folder.path(), &[]).pop().unwrap();
    let anchor = format!("{}:{}", last["seq"], last["hash"].as_str().unwrap());
    let judge = |folder: &Path| command(folder, &["audit", "verify", "--anchor", &anchor]);
    succeeded(&judge(folder.path()));
    let store = Connection::open(folder.path().join("fanfare.db")).unwrap();
    store
        .execute_batch("DELETE FROM audit WHERE seq > 8; DELETE FROM audit_checkpoint WHERE seq > 8")
        .unwrap();
    drop(store);
    succeeded(&command(folder.path(), &["audit", "verify"]));
    let verdict = judge(folder.path());
    assert_eq!(verdict.status.code(), Some(1), "{verdict:?}");
    assert!(said(&verdict).contains("seq 9:"));
}

/// Links a row behind the last of a folder's chain, as it would be without a signature: only the key is missing.
fn append_linked(folder: &Path, event: &str, detail: &str) {
    let store = Connection::open(folder.join("fanfare.db")).unwrap();
    let (node, last, hash): (String, i64, [u8; 32]) = store
        .query_row("SELECT node, seq, hash FROM audit ORDER BY seq DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    let mut row = AuditRow {
        node,
        seq: last + 1,
        ts: "2026-12-01T00:00:00.000Z".into(),
        event: event.into(),
        outcome: "success".into(),
        severity: "info".into(),
        user_id: None,
        session: None,
        ip: None,
        user_agent: None,
        request_id: None,
        origin: None,
        reason: None,
        detail: detail.into(),
        hash: [0; 32],
    };
    row.hash = fanfare_services::audit::row::link(&hash, &row);
    let insert = "INSERT INTO audit (node, seq, ts, event, outcome, severity, detail, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let values = rusqlite::params![
        row.node,
        row.seq,
        row.ts,
        row.event,
        row.outcome,
        row.severity,
        row.detail,
        row.hash
    ];
    store.execute(insert, values).unwrap();
}

#[track_caller]
fn broken_at(folder: &Path, seq: i64, more: &[&str]) {
    let verdict = command(folder, &[&["audit", "verify"], more].concat());
    assert_eq!(verdict.status.code(), Some(1), "{verdict:?}");
    assert!(said(&verdict).contains(&format!("seq {seq}:")), "{verdict:?}");
}

#[test]
fn a_well_linked_prune_erases_nothing_unseen_and_is_never_sealed() {
    let original = ten_rows();
    let folder = original.path();
    let tenth = rows(folder, &[]).pop().unwrap();
    let detail = format!("{{\"up_to\":10,\"hash\":{}}}", tenth["hash"]);
    append_linked(folder, "audit_pruned", &detail);
    broken_at(folder, 11, &[]);
    let store = Connection::open(folder.join("fanfare.db")).unwrap();
    store.execute_batch("DELETE FROM audit WHERE seq < 11; DELETE FROM audit_checkpoint").unwrap();
    drop(store);
    broken_at(folder, 1, &[]);
    // The server starts on it, reports it, and seals only what it writes itself.
    let log = life(folder);
    assert!(log.contains("ERROR") && log.contains("the audit chain was tampered with"), "{log}");
    broken_at(folder, 1, &[]);
    let found = rows(folder, &["--event", "audit_tampered"]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

/// Starts a server on a folder and ends it in order; what it logged.
fn life(folder: &Path) -> String {
    let mut server = Server::command(BINARY, folder, &[("log.level", "info")]);
    let log = folder.join("life.log");
    let out = std::fs::File::options().create(true).append(true).open(&log).unwrap();
    server.stdout(out.try_clone().unwrap()).stderr(out);
    Again::run_as_is(server, folder).stop();
    std::fs::read_to_string(log).unwrap()
}

#[test]
fn rows_written_while_the_server_was_away_are_never_sealed() {
    let original = ten_rows();
    let folder = original.path();
    append_linked(folder, "admin_action", "{}");
    append_linked(folder, "admin_action", "{}");
    broken_at(folder, 11, &[]);
    let log = life(folder);
    assert!(log.contains("rows that this server did not write"), "{log}");
    broken_at(folder, 11, &[]);
    let store = Connection::open(folder.join("fanfare.db")).unwrap();
    let covered: i64 = store
        .query_row("SELECT COUNT(*) FROM audit_checkpoint WHERE seq IN (11, 12)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(covered, 0);
}

#[test]
fn a_store_taken_back_to_an_older_checkpoint_is_found_by_the_log_and_the_folder() {
    let original = ten_rows();
    let folder = original.path();
    std::fs::copy(folder.join("fanfare.db"), folder.join("older.db")).unwrap();
    let log = life(folder);
    succeeded(&command(folder, &["audit", "verify"]));
    std::fs::copy(folder.join("older.db"), folder.join("fanfare.db")).unwrap();
    // The folder remembers the newer head; a copy without it is judged by the log.
    broken_at(folder, 11, &[]);
    let copied = copy(folder);
    succeeded(&command(copied.path(), &["audit", "verify"]));
    std::fs::write(copied.path().join("kept.log"), &log).unwrap();
    let kept = copied.path().join("kept.log");
    broken_at(copied.path(), 11, &["--log", kept.to_str().unwrap()]);
    // A restart reports it and continues from the newer head.
    assert!(life(folder).contains("its newest signed head is gone"));
    broken_at(folder, 11, &[]);
}

#[test]
fn tail_shows_the_newest_rows_and_wrong_usage_is_status_2() {
    let server = roomy(&[]);
    let folder = server.data_dir();
    let chief = administrator(&server, "chief");
    assert_eq!(chief.get(&server, "/admin/users").status, 200);
    fanfare_testkit::server::eventually("the action is written", PATIENCE, || {
        (rows(&folder, &["--event", "admin_action"]).len() == 2).then_some(())
    });
    let made = rows(&folder, &["--event", "admin_action"]).remove(0);
    assert_eq!(made["detail"]["action"], "create_user");
    assert_eq!(made["detail"]["by"], "command");
    let row = rows(&folder, &["--event", "admin_action"]).remove(1);
    assert_eq!(row["detail"]["action"], "list_users");
    assert_eq!(row["ip"], "127.0.0.1");
    let text = succeeded(&command(&folder, &["audit", "tail", "-n", "1"]));
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("admin_action success"), "{text}");
    for args in [
        &["audit"][..],
        &["audit", "look"],
        &["audit", "tail", "-n", "x"],
        &["audit", "verify", "--anchor", "x"],
    ] {
        assert_eq!(command(&folder, args).status.code(), Some(2), "{args:?}");
    }
    refused(&command(&folder, &["audit", "verify", "--set", "store.url=oracle://x"]), &["store.url"]);
    let nowhere = tempfile::tempdir().unwrap();
    refused(&command(nowhere.path(), &["audit", "verify"]), &["store.url", "no store"]);
    assert!(std::fs::read_dir(nowhere.path()).unwrap().next().is_none(), "nothing was made");
}
