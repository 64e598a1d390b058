//! Rules of every route, tested on every operation of the OpenAPI document.

use crate::ops::{administrator, command, succeeded};
use crate::people::roomy;
use crate::support::start;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::{Value, json};

/// Every operation: its method and a path.
fn operations(server: &Server) -> Vec<(String, String)> {
    let document = server.get("/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let mut all = Vec::new();
    for (path, operations) in paths {
        let path: Vec<_> = path.split('/').map(|s| if s.starts_with('{') { "x" } else { s }).collect();
        for method in operations.as_object().unwrap().keys() {
            if ["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                all.push((method.to_ascii_uppercase(), path.join("/")));
            }
        }
    }
    assert!(all.len() > 35, "{all:?}");
    all
}

fn request(method: &str, path: &str) -> Request {
    if method == "GET" { Request::get(path) } else { Request::post(path, "{}").method(method) }
}

fn is(answer: &Answer, status: u16, code: &str) -> bool {
    answer.status == status && answer.problem() == code
}

#[test]
fn a_wrong_key_is_401_and_a_key_beside_a_token_400() {
    let server = roomy(&[]);
    let made = command(&server.data_dir(), &["admin", "create-api-key", "app", "--scope", "admin"]);
    let key =
        succeeded(&made).lines().find_map(|line| line.find("fan_").map(|at| line[at..].to_owned())).unwrap();
    let key = key.split_whitespace().next().unwrap().to_owned();
    for (method, path) in operations(&server) {
        let request = request(&method, &path);
        for wrong in ["", "fan_nonsense", "nonsense"] {
            let answer = request.clone().header("X-API-Key", wrong).send(server.addr());
            assert!(is(&answer, 401, "unauthorized"), "{method} {path} with {wrong:?}: {answer:?}");
        }
        let both = request.header("X-API-Key", &key).header("Authorization", "Bearer a.b.c");
        let answer = both.send(server.addr());
        assert!(is(&answer, 400, "invalid_field"), "{method} {path}: {answer:?}");
    }
}

#[test]
fn a_foreign_page_changes_nothing() {
    let server = start(&[("server.cors_origins", "https://app.example")]);
    let own = format!("http://{}", server.addr());
    for (method, path) in operations(&server) {
        if method == "GET" {
            continue;
        }
        let from = |origin: &str| request(&method, &path).header("Origin", origin).send(server.addr());
        for foreign in ["https://evil.example", "null", "http://localhost:3000", ""] {
            let answer = from(foreign);
            assert!(is(&answer, 403, "forbidden"), "{method} {path} from {foreign:?}: {answer:?}");
            assert!(answer.text().contains("server.cors_origins"), "{answer:?}");
        }
        for admitted in ["https://app.example", "HTTPS://App.Example:443", &own] {
            let answer = from(admitted);
            assert!(!answer.text().contains("server.cors_origins"), "{method} {path}: {answer:?}");
        }
    }
    // Reading is CORS' business: the answer is there, and the page may not see it.
    let read = Request::get("/health").header("Origin", "https://evil.example").send(server.addr());
    assert_eq!((read.status, read.head.get("access-control-allow-origin")), (200, None));
}

#[test]
fn each_refused_origin_is_named_in_the_log_with_its_remedy() {
    let server = start(&[]);
    let publish = Request::post("/publish", r#"{"topic":"t","payload":1}"#);
    for _ in 0..3 {
        assert_eq!(publish.clone().header("Origin", "https://one.example").send(server.addr()).status, 403);
    }
    let upgrade = Request::upgrade("/ws").header("Origin", "https://two.example");
    assert_eq!(upgrade.send(server.addr()).status, 403);
    let preflight = Request::get("/publish").method("OPTIONS").header("Origin", "https://three.example");
    let preflight = preflight.header("Access-Control-Request-Method", "POST").send(server.addr());
    assert_eq!(preflight.head.get("access-control-allow-methods"), None);
    eventually("each origin is logged once", PATIENCE, || {
        let log = server.log();
        let warned = |origin: &str| {
            let is_it = |line: &&str| {
                line.contains("WARN") && line.contains(origin) && line.contains("server.cors_origins")
            };
            log.lines().filter(is_it).count()
        };
        let counts = ["one", "two", "three"].map(|name| warned(&format!("https://{name}.example")));
        assert!(counts[0] <= 1, "rate-limited: {log}");
        (counts == [1, 1, 1]).then_some(())
    });
}

#[test]
fn heads_are_bounded_and_the_refusal_has_a_body() {
    let server = start(&[]);
    let lines =
        |n: usize| (0..n).fold(Request::get("/livez"), |request, n| request.header(&format!("X-{n}"), "v"));
    for (what, request, status) in [
        ("8 KiB", Request::get(&format!("/livez?{}", "x".repeat(8192 - 7))), 200),
        ("8 KiB and a byte", Request::get(&format!("/livez?{}", "x".repeat(8192 - 6))), 414),
        ("20 KiB", Request::get(&format!("/livez?{}", "x".repeat(20_000))), 414),
        ("64 lines", lines(62), 200),
        ("65 lines", lines(63), 431),
        ("a head of 15 KiB", Request::get("/livez").header("X-Long", &"v".repeat(15_000)), 200),
        ("a head of 17 KiB", Request::get("/livez").header("X-Long", &"v".repeat(17_000)), 431),
    ] {
        let answer = request.send(server.addr());
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status != 200 {
            assert_eq!(answer.problem(), "invalid_field", "{what}");
        }
    }
    // Beyond what the library reads: its own answer.
    assert_eq!(lines(200).send(server.addr()).status, 431);
}

#[test]
fn a_bearer_over_8_kib_is_refused_for_that() {
    let server = start(&[]);
    let bearer =
        |n: usize| Request::get("/topics").header("Authorization", &format!("Bearer {}", "a".repeat(n)));
    let (long, short) = (bearer(8193).send(server.addr()), bearer(8192).send(server.addr()));
    assert_eq!((long.status, short.status), (401, 401));
    assert!(long.text().contains("8192 bytes"), "{long:?}");
    assert!(!short.text().contains("8192 bytes"), "{short:?}");
}

#[test]
fn media_types_compare_without_case_and_parameters() {
    let server = start(&[]);
    let status = |target: &str, body: &str, kind: &str| {
        Request::post(target, body).replace("Content-Type", kind).send(server.addr()).status
    };
    let publish = |kind: &str| status("/topics", r#"{"name":"t"}"#, kind) < 300;
    let call = |kind: &str| status("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"server.ping"}"#, kind) == 200;
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        "application/json ; x=y",
        "application/vnd.x+json",
        "APPLICATION/VND.X+JSON",
    ] {
        assert!(publish(kind) && call(kind), "{kind}");
    }
    for kind in ["application/json-rpc", "Application/JSON-RPC; charset=utf-8", "application/jsonrequest"] {
        assert!(call(kind) && !publish(kind), "{kind}");
    }
    for kind in ["text/plain", "application/jsonp", "application/xml", "json", "", "text/x+json"] {
        assert!(!publish(kind) && !call(kind), "{kind}");
    }
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let server = start(&[]);
    let ask = |accept: Option<&str>| {
        let request = Request::get("/metrics");
        accept.into_iter().fold(request, |r, accept| r.header("Accept", accept)).send(server.addr())
    };
    for accept in [None, Some("*/*"), Some("text/plain"), Some("text/plain;version=0.0.4")] {
        let answer = ask(accept);
        assert_eq!(
            answer.head.get("content-type"),
            Some("text/plain; version=0.0.4; charset=utf-8"),
            "{accept:?}"
        );
        let text = answer.text();
        assert!(text.contains("# TYPE fanfare_messages_published_total counter\n"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }
    for accept in
        ["application/openmetrics-text", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"]
    {
        let answer = ask(Some(accept));
        let kind = answer.head.get("content-type").unwrap();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        assert!(answer.head.get("vary").is_some(), "{answer:?}");
        let text = answer.text();
        assert!(
            text.contains("# TYPE fanfare_messages_published counter\n") && text.ends_with("# EOF\n"),
            "{text}"
        );
    }
}

#[test]
fn an_invalid_time_is_400_on_every_route_with_one() {
    let server = roomy(&[]);
    let chief = administrator(&server, "chief");
    for route in ["/admin/audit", "/admin/metrics"] {
        for since in [
            "%C3%A9",
            "%C3%A901:00",
            "1970-01-01T00:00:00%C3%A91:00",
            "%E2%82%AC00:00",
            "%C3%A9%C3%A9%C3%A9%C3%A9",
        ] {
            let answer = chief.get(&server, &format!("{route}?name=fanfare_connections&since={since}"));
            assert!(is(&answer, 400, "invalid_field"), "{route} {since}: {answer:?}");
        }
    }
}

#[test]
fn upgrades_by_another_method_are_405() {
    let server = start(&[]);
    for path in ["/ws", "/rpc", "/ws/system"] {
        for method in ["HEAD", "POST", "PUT", "DELETE", "PATCH"] {
            let answer = Request::upgrade(path).method(method).send(server.addr());
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            assert!(answer.head.get("allow").is_some_and(|allow| allow.contains("GET")), "{answer:?}");
        }
        assert_eq!(Request::get(path).method("HEAD").send(server.addr()).status, 405, "{path}");
    }
    // Clients that offer HTTP/2 with every request do not request a WebSocket.
    let call = Request::post("/rpc", r#"{"jsonrpc":"2.0","id":1,"method":"server.ping"}"#);
    let call = call.replace("Connection", "Upgrade, HTTP2-Settings").header("Upgrade", "h2c");
    assert_eq!(call.header("HTTP2-Settings", "AAMAAABkAAQAAP__").send(server.addr()).status, 200);
}

#[test]
fn tickets_are_for_an_origin_however_it_is_written() {
    let server = roomy(&[("server.cors_origins", "https://app.example")]);
    let ann = crate::people::Person::new(&server, "ann");
    let ticket = |origin: &str| -> Value {
        let request = Request::post("/auth/ws-ticket", &json!({ "origin": origin }).to_string());
        ann.ask(&server, request).json()
    };
    for (asked, opened) in [
        ("https://APP.example:443", "https://app.example"),
        ("https://app.example", "HTTPS://App.example:443"),
    ] {
        let ticket = ticket(asked)["ticket"].as_str().unwrap().to_owned();
        let upgrade = Request::upgrade(&format!("/ws?ticket={ticket}")).header("Origin", opened);
        assert_eq!(upgrade.send(server.addr()).status, 101, "{asked} {opened}");
    }
}
