//! The admin routes, by user and by API key.

use crate::ops::{administrator, command, intact, rows, succeeded};
use crate::people::{Person, bare, roomy, send, with_token};
use fanfare_testkit::client::Client;
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::{Value, json};
use std::time::Duration;

/// Every route, with a body that would do.
fn routes() -> Vec<Request> {
    let notice = json!({ "message": "noon" });
    vec![
        Request::get("/admin/connections"),
        bare("DELETE", "/admin/connections/nobody"),
        Request::get("/admin/users"),
        send("POST", "/admin/users/nobody/disable", &json!({})),
        send("POST", "/admin/users/nobody/enable", &json!({})),
        Request::get("/admin/audit"),
        Request::get("/admin/config"),
        Request::get("/admin/metrics"),
        send("POST", "/admin/notices", &notice),
    ]
}

#[test]
fn others_are_refused_and_each_call_is_recorded() {
    let server = roomy(&[]);
    let (chief, ann) = (administrator(&server, "chief"), Person::new(&server, "ann"));
    let key = |scope: &str| {
        let made = command(&server.data_dir(), &["admin", "create-api-key", scope, "--scope", scope]);
        succeeded(&made).trim().to_owned()
    };
    let (admin, publish) = (key("admin"), key("publish"));
    for route in routes() {
        let nobody = route.send(server.addr());
        assert_eq!(nobody.status, 401, "{route:?}: {nobody:?}");
        assert_eq!(nobody.head.get("www-authenticate"), Some("Bearer"));
        assert_eq!(ann.ask(&server, route.clone()).status, 403, "{route:?}");
        assert_eq!(route.clone().header("X-API-Key", &publish).send(server.addr()).status, 403, "{route:?}");
        for status in [
            chief.ask(&server, route.clone()).status,
            route.clone().header("X-API-Key", &admin).send(server.addr()).status,
        ] {
            assert!(matches!(status, 200 | 404), "{route:?}: {status}");
        }
    }
    let folder = server.data_dir();
    eventually("all of it is written", PATIENCE, || {
        let done = rows(&folder, &["--event", "admin_action"]).len();
        let denied = rows(&folder, &["--event", "authz_fail"]).len();
        (done >= 2 * routes().len() && denied >= 2 * routes().len()).then_some(())
    });
    intact(&folder);
}

fn pages(person: &Person, server: &Server, route: &str) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), String::new());
    loop {
        let page = person.get(server, &format!("{route}limit=2{next}")).json();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        match &page["next"] {
            Value::Null => return all,
            Value::String(cursor) => next = format!("&after={cursor}"),
            cursor => next = format!("&before={cursor}"),
        }
    }
}

#[test]
fn connections_are_listed_by_pages_and_closed() {
    let server = roomy(&[]);
    let chief = administrator(&server, "chief");
    let mut sockets: Vec<Client> = (0..5).map(|_| Client::connect(server.addr())).collect();
    sockets[1].subscribe("a");
    let listed = pages(&chief, &server, "/admin/connections?");
    assert_eq!(listed.len(), 5, "{listed:?}");
    let ids: Vec<&str> = listed.iter().map(|c| c["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted());
    assert_eq!(listed.iter().filter(|c| c["topics"] == 1).count(), 1);
    for c in &listed {
        assert_eq!((&c["ip"], &c["queued"], &c["user"]), (&json!("127.0.0.1"), &json!(0), &Value::Null));
        assert!(c["session_code"].is_string() && c["connected_at"].as_str().unwrap().ends_with('Z'));
    }
    let close = |id: &str| chief.ask(&server, bare("DELETE", &format!("/admin/connections/{id}"))).status;
    assert_eq!(close(ids[0]), 204);
    let codes: Vec<_> = sockets.iter_mut().take(1).map(Client::try_hear).collect();
    assert_eq!(codes, [Err(Some(4403))]);
    eventually("it is gone", PATIENCE, || (close(ids[0]) == 404).then_some(()));
    for bad in ["x", "0000000000000aaaaaaa", "%ff", "..%2f"] {
        assert!(matches!(close(bad), 400 | 404), "{bad}");
    }
    assert_eq!(chief.get(&server, "/admin/connections?after=x").status, 400);
    assert_eq!(chief.get(&server, "/admin/connections?limit=0").status, 400);
}

#[test]
fn a_disabled_user_is_out_within_a_second_and_the_last_admin_stays() {
    let server = roomy(&[]);
    let (chief, ann) = (administrator(&server, "chief"), Person::new(&server, "ann"));
    let path = format!("/ws?token={}", ann.token);
    let mut socket = Client::open(server.addr(), &path, None);
    assert_eq!(socket.hear()["user"]["username"], "ann");
    let shown = pages(&chief, &server, "/admin/connections?");
    assert_eq!(shown[0]["user"], "ann");
    let switch = |name: &str, what: &str| {
        chief.ask(&server, send("POST", &format!("/admin/users/{name}/{what}"), &json!({})))
    };
    let answer = switch("ann", "disable");
    assert_eq!((answer.status, &answer.json()["disabled"]), (200, &json!(true)));
    let begun = std::time::Instant::now();
    loop {
        match socket.try_hear() {
            Ok(_) => {}
            Err(code) => break assert_eq!(code, Some(4401)),
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(ann.me(&server).status, 401);
    let login = json!({ "username": "ann", "password": crate::people::PASSWORD });
    assert_eq!(server.post("/auth/login", &login).status, 401);
    assert_eq!(switch("ANN", "enable").status, 200);
    Person::login(&server, "ann", crate::people::PASSWORD);
    assert_eq!(switch("nobody", "disable").status, 404);
    assert_eq!(switch("%00", "disable").status, 400);
    assert_eq!(switch("chief", "disable").status, 409);
    administrator(&server, "deputy");
    assert_eq!(switch("chief", "disable").status, 200);
    assert_eq!(chief.me(&server).status, 401);
}

#[test]
fn users_and_the_audit_log_are_listed_by_pages() {
    let server = roomy(&[]);
    let chief = administrator(&server, "chief");
    for name in ["ann", "bob", "cleo", "dora"] {
        Person::new(&server, name);
    }
    let names = |route: &str| -> Vec<String> {
        let all = pages(&chief, &server, route);
        all.iter().map(|u| u["username"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/admin/users?"), ["ann", "bob", "chief", "cleo", "dora"]);
    assert_eq!(names("/admin/users?q=C&"), ["chief", "cleo"]);
    assert_eq!(names("/admin/users?q=nothing&"), [] as [&str; 0]);
    let users = chief.get(&server, "/admin/users").text();
    assert!(!users.contains("argon2"), "{users}");
    let created = eventually("they are written", PATIENCE, || {
        let rows = pages(&chief, &server, "/admin/audit?event=user_created&");
        (rows.len() >= 4).then_some(rows)
    });
    let seqs: Vec<i64> = created.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a > b), "newest first: {seqs:?}");
    let of_ann = pages(&chief, &server, "/admin/audit?user=ann&");
    assert!(!of_ann.is_empty() && of_ann.len() < pages(&chief, &server, "/admin/audit?").len());
    assert!(pages(&chief, &server, "/admin/audit?since=2999-01-01T00:00:00Z&").is_empty());
    for bad in ["since=yesterday", "before=x", "limit=x", "limit=0", "after=1"] {
        assert_eq!(chief.get(&server, &format!("/admin/audit?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn the_configuration_is_shown_without_its_secrets() {
    let secret = "a-very-secret-value-that-is-long-enough-0123456789";
    let server = roomy(&[("auth.jwt_secret", secret), ("limits.queue_messages", "77")]);
    let chief = administrator_with(&server, &["--set", &format!("auth.jwt_secret={secret}")]);
    let answer = chief.get(&server, "/admin/config");
    assert!(!answer.text().contains("very-secret"), "{}", answer.text());
    let config = answer.json();
    assert_eq!(
        (&config["limits"]["queue_messages"], &config["auth"]["jwt_secret"]),
        (&json!(77), &json!("***"))
    );
}

#[track_caller]
fn administrator_with(server: &Server, more: &[&str]) -> Person {
    let args = [&["admin", "create-user", "chief", "--role", "admin"], more].concat();
    let password = succeeded(&command(&server.data_dir(), &args));
    Person::login(server, "chief", password.trim())
}

#[test]
fn metrics_are_kept() {
    let server = roomy(&[("metrics.snapshot_interval", "100ms")]);
    let chief = administrator(&server, "chief");
    let _socket = Client::connect(server.addr());
    let route = "/admin/metrics?name=fanfare_connections&limit=1";
    eventually("a snapshot with the connection is kept", PATIENCE, || {
        let rows = chief.get(&server, route).json();
        (rows["items"][0]["value"] == 1.0).then_some(())
    });
    // One snapshot has more rows than a page.
    let (mut all, mut next) = (Vec::new(), String::new());
    while all.len() < 300 {
        let page = chief.get(&server, &format!("/admin/metrics?limit=1000{next}")).json();
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&before={cursor}");
    }
    let names: Vec<&str> = all.iter().filter_map(|r| r["name"].as_str()).collect();
    let places: std::collections::HashSet<String> =
        all.iter().map(|r| format!("{} {}", r["at"], r["name"])).collect();
    assert_eq!(places.len(), all.len(), "no row twice");
    for want in
        ["fanfare_store_up", "fanfare_store_commit_seconds_count", "fanfare_publish_to_write_seconds_sum"]
    {
        assert!(names.contains(&want), "{want}");
    }
    assert!(!names.iter().any(|name| name.contains("_bucket")));
    assert_eq!(chief.get(&server, "/admin/metrics?since=2999-01-01T00:00:00Z").json()["items"], json!([]));
    for bad in ["limit=0", "limit=x", "since=x", "before=x", "before=!", "after=1", "name=%00"] {
        assert_eq!(chief.get(&server, &format!("/admin/metrics?{bad}")).status, 400, "{bad}");
    }
}

#[test]
fn a_notice_reaches_all_system_sockets() {
    let server = roomy(&[]);
    let (chief, ann) = (administrator(&server, "chief"), Person::new(&server, "ann"));
    let mut tap = Client::open(server.addr(), &format!("/ws/system?token={}", ann.token), None);
    assert_eq!(tap.hear()["type"], "welcome");
    let notice = json!({ "message": "maintenance <b>", "severity": "critical" });
    assert_eq!(chief.ask(&server, send("POST", "/admin/notices", &notice)).status, 200);
    let heard = tap.hear_type("info");
    assert_eq!((&heard["code"], &heard["message"]), (&json!("NOTICE"), &json!("maintenance <b>")));
    for bad in [
        json!({}),
        json!({ "message": "" }),
        json!({ "message": 5 }),
        json!({ "message": "a", "severity": "x" }),
    ] {
        assert_eq!(chief.ask(&server, send("POST", "/admin/notices", &bad)).status, 400, "{bad}");
    }
}

#[test]
fn an_ops_address_removes_the_admin_routes_from_the_public_one() {
    let spare = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ops = spare.local_addr().unwrap();
    drop(spare);
    let server = roomy(&[("server.ops_listen", &ops.to_string())]);
    let chief = administrator(&server, "chief");
    assert_eq!(chief.get(&server, "/admin/users").status, 404);
    let there = with_token(Request::get("/admin/users"), &chief.token);
    assert_eq!(there.send(ops).status, 200);
}
