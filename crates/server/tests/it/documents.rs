//! The documents against the running server: what they name is there, what they do not name is refused, and the sockets
//! are in both (`http-api.md` "Docs").

use crate::support::start;
use fanfare_testkit::client::Client;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::Server;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];

fn document(server: &Server, path: &str) -> Value {
    let answer = server.get(path);
    assert_eq!(answer.status, 200, "{path}");
    answer.json()
}

/// The methods of each path, in capitals.
fn declared(openapi: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let methods = |item: &Value| {
        item.as_object()
            .unwrap()
            .keys()
            .map(|m| m.to_uppercase())
            .filter(|m| METHODS.contains(&m.as_str()))
            .collect()
    };
    openapi["paths"].as_object().unwrap().iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

/// A path with every parameter filled in.
fn concrete(path: &str) -> String {
    let segment = |s: &str| if s.starts_with('{') { "nobody".to_owned() } else { s.to_owned() };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn ask(server: &Server, method: &str, path: &str) -> Answer {
    Request::get(&concrete(path)).method(method).header("Content-Length", "0").send(server.addr())
}

/// There is nothing under the path, as opposed to nothing of that name.
fn is_no_route(answer: &Answer) -> bool {
    answer.status == 404
        && answer.json()["detail"].as_str().unwrap().starts_with("there is nothing under this path")
}

#[test]
fn every_documented_operation_is_there_and_no_other() {
    let server = start(&[]);
    let declared = declared(&document(&server, "/openapi.json"));
    assert!(declared.len() > 10, "{declared:?}");
    for (path, methods) in &declared {
        for method in METHODS {
            let answer = ask(&server, method, path);
            if methods.contains(method) {
                assert!(!is_no_route(&answer) && answer.status != 405, "{method} {path}: {}", answer.status);
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path} is not documented");
            let allow = answer.head.get("allow").unwrap_or_default();
            let allowed: BTreeSet<_> =
                allow.split(',').map(|m| m.trim().to_owned()).filter(|m| m != "HEAD").collect();
            assert_eq!(&allowed, methods, "{path}: Allow: {allow}");
        }
    }
    assert!(is_no_route(&ask(&server, "GET", "/no/such")), "the probe tells what is no route");
}

#[test]
fn each_response_is_documented() {
    let server = start(&[]);
    let openapi = document(&server, "/openapi.json");
    for (path, methods) in declared(&openapi) {
        for method in methods {
            let answer = ask(&server, &method, &path);
            let named = &openapi["paths"][&path][method.to_lowercase()]["responses"];
            assert!(
                named.get(answer.status.to_string()).is_some(),
                "{method} {path}: {} is not named",
                answer.status
            );
        }
    }
}

/// Every request goes through one layer, which returns these for any route.
#[test]
fn each_operation_names_the_layers_responses() {
    let server = start(&[]);
    let openapi = document(&server, "/openapi.json");
    for (path, methods) in declared(&openapi) {
        for method in methods {
            let named = &openapi["paths"][&path][method.to_lowercase()]["responses"];
            for status in ["400", "401", "413", "414", "429", "431", "500", "503"] {
                assert!(named.get(status).is_some(), "{method} {path}: {status} is not named");
            }
            assert!(method == "GET" || named.get("403").is_some(), "{method} {path}: 403 is not named");
        }
    }
}

/// Refusals of the layer for the head alone are returned under every path, and documented there.
#[test]
fn the_layers_own_responses_are_documented() {
    let server = start(&[]);
    let openapi = document(&server, "/openapi.json");
    for (path, methods) in declared(&openapi) {
        for method in methods {
            let named = &openapi["paths"][&path][method.to_lowercase()]["responses"];
            let to = |query: &str| {
                Request::get(&(concrete(&path) + query)).method(&method).header("Content-Length", "0")
            };
            let long = format!("?x={}", "x".repeat(9000));
            let requests = [
                ("a long target", to(&long), Some(414)),
                ("a large head", to("").header("X-Large", &"x".repeat(20_000)), Some(431)),
                ("a bad key", to("").header("X-API-Key", "ffk_wrong"), None),
                ("two hosts", to("").header("Host", "other.example"), Some(400)),
                ("a foreign page", to("").header("Origin", "https://evil.example"), None),
            ];
            for (what, request, expected) in requests {
                let status = request.send(server.addr()).status;
                assert!(
                    named.get(status.to_string()).is_some(),
                    "{method} {path}, {what}: {status} is not named"
                );
                assert!(expected.is_none_or(|e| e == status), "{method} {path}, {what}: {status}");
            }
        }
    }
}

#[test]
fn every_operation_is_complete() {
    let server = start(&[]);
    let openapi = document(&server, "/openapi.json");
    let tags: BTreeSet<_> =
        openapi["tags"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    let schemes = openapi["components"]["securitySchemes"].as_object().unwrap();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{at}");
            assert!(
                tags.contains(operation["tags"][0].as_str().unwrap()),
                "{at}: a heading without description"
            );
            for scheme in operation["security"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|s| s.as_object().unwrap().keys())
            {
                assert!(schemes.contains_key(scheme), "{at}: {scheme}");
            }
            let bodies =
                operation["responses"].as_object().unwrap().values().chain(operation.get("requestBody"));
            for (kind, body) in bodies.filter_map(|b| b.get("content")?.as_object()).flatten() {
                let shown = body.get("example").or(body.get("examples")).is_some();
                assert!(shown || !kind.ends_with("json"), "{at}: {kind} has no example");
            }
            let refused = operation["responses"]
                .as_object()
                .unwrap()
                .iter()
                .filter(|(status, _)| status.as_str() >= "400");
            for (status, response) in refused {
                let form = response.get("$ref").or(response.pointer("/content/application~1problem+json"));
                assert!(form.is_some(), "{at}: {status} is no problem document");
            }
        }
    }
}

/// `null` for an optional member means absent (`protocol.md` 3): it is documented, and no member is refused for it.
#[test]
fn an_optional_member_of_a_body_may_be_null() {
    let server = start(&[]);
    let openapi = document(&server, "/openapi.json");
    let mut judged = Vec::new();
    for (path, item) in openapi["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(media) = operation.pointer("/requestBody/content/application~1json") else { continue };
            let to = media["schema"]["$ref"].as_str();
            let schema = to.map_or(&media["schema"], |to| openapi.pointer(&to[1..]).unwrap());
            let example = media.get("example").or(media.pointer("/examples/password/value")).unwrap();
            let is_required =
                |name: &str| schema["required"].as_array().is_some_and(|all| all.iter().any(|r| r == name));
            for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                if is_required(name) || member.get("type").is_none() {
                    continue;
                }
                let at = format!("{method} {path}: {name}");
                let kinds = member["type"].as_array();
                assert!(kinds.is_some_and(|kinds| kinds.iter().any(|kind| kind == "null")), "{at}: {member}");
                let mut body = example.clone();
                body[name] = Value::Null;
                let request = Request::post(path, &body.to_string()).method(&method.to_uppercase());
                let answer = request.send(server.addr());
                let at_fault = (answer.status == 400).then(|| answer.json()["errors"][0]["field"].take());
                assert_ne!(at_fault, Some(json!(name)), "{at}");
                judged.push(at);
            }
        }
    }
    for one in ["post /publish: client_id", "post /topics: durable", "post /auth/login: password"] {
        assert!(judged.iter().any(|at| at == one), "{one} is not among {judged:?}");
    }
}

#[test]
fn the_sockets_of_one_document_are_the_channels_of_the_other() {
    let server = start(&[]);
    let openapi = document(&server, "/openapi.json");
    let upgrades = openapi["paths"].as_object().unwrap().iter();
    let upgrades = upgrades
        .filter(|(_, item)| item["get"]["responses"].get("101").is_some())
        .map(|(path, _)| path.as_str());
    let asyncapi = document(&server, "/asyncapi.json");
    let channels = asyncapi["channels"].as_object().unwrap().values().map(|c| c["address"].as_str().unwrap());
    assert_eq!(channels.collect::<BTreeSet<_>>(), upgrades.collect::<BTreeSet<_>>());
}

#[test]
fn every_client_frame_gets_a_documented_reply() {
    let server = start(&[]);
    let query = format!("?token={}", access_token(&server));
    let asyncapi = document(&server, "/asyncapi.json");
    for (name, operation) in asyncapi["operations"].as_object().unwrap() {
        if operation["action"] != "receive" {
            continue;
        }
        let of =
            |reference: &Value| asyncapi.pointer(&reference["$ref"].as_str().unwrap()[1..]).unwrap().clone();
        let message = of(&of(&operation["messages"][0]));
        let answers: Vec<_> =
            operation["reply"]["messages"].as_array().unwrap().iter().map(|r| of(&of(r))).collect();
        let path = of(&operation["channel"])["address"].as_str().unwrap().to_owned();
        let path = if path == "/ws/system" { path + &query } else { path };
        for example in message["examples"].as_array().unwrap() {
            let answer = answered(&server, &path, &example["payload"]);
            let fits = answers.iter().any(|a| fits(&a["payload"], &answer));
            assert!(fits, "{name}: {} is answered {answer}", example["payload"]);
        }
    }
}

/// Somebody to log in as.
fn access_token(server: &Server) -> String {
    let alice = json!({ "username": "alice", "password": "correct horse battery" });
    assert_eq!(server.post("/auth/register", &alice).status, 201);
    server.post("/auth/login", &alice).json()["access_token"].as_str().unwrap().to_owned()
}

/// The answer to a frame: what has its `request_id` or `id`.
fn answered(server: &Server, path: &str, frame: &Value) -> Value {
    let mut client = Client::open(server.addr(), path, None);
    client.say(frame);
    loop {
        let answer = client.hear();
        let replies = answer["request_id"] == frame["request_id"] && frame.get("request_id").is_some();
        if replies || (frame.get("jsonrpc").is_some() && answer.get("id") == frame.get("id")) {
            return answer;
        }
    }
}

/// Whether a frame is one of this schema, by its literals and what it must have.
fn fits(schema: &Value, frame: &Value) -> bool {
    let required = schema["required"].as_array().unwrap().iter().map(|r| r.as_str().unwrap());
    let literals =
        schema["properties"].as_object().unwrap().iter().filter_map(|(n, s)| Some((n, s.get("const")?)));
    required.clone().all(|r| frame.get(r).is_some())
        && literals.into_iter().all(|(name, literal)| frame.get(name).is_none_or(|v| v == literal))
}

#[test]
fn unsolicited_frames_are_documented() {
    let server = start(&[]);
    let asyncapi = document(&server, "/asyncapi.json");
    let messages = asyncapi["components"]["messages"].as_object().unwrap();
    let known = |dialect: &str, frame: &Value| {
        let mut of_dialect = messages.iter().filter(|(key, _)| key.starts_with(dialect));
        of_dialect.any(|(_, m)| fits(&m["payload"], frame))
    };
    let system = format!("/ws/system?token={}", access_token(&server));
    for (path, dialect) in [("/ws", "typed."), ("/rpc", "jsonrpc."), (system.as_str(), "typed.")] {
        let mut client = Client::open(server.addr(), path, None);
        let welcome = client.hear();
        assert!(known(dialect, &welcome), "{welcome}");
        assert!(
            !known(dialect, &json!({ "type": "no such", "jsonrpc": "1.0" })),
            "the check sees what is unknown"
        );
    }
}

/// Rust files below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn routes_are_declared_and_codes_are_listed() {
    let server = start(&[]);
    let openapi = document(&server, "/openapi.json");
    let listed =
        openapi["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array().unwrap();
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let at = file.display();
        // Pages are not part of the interface; everything else has to be declared to be routed.
        if !file.ends_with("pages.rs") {
            assert!(!text.contains(".route("), "{at} has a route that is in no document: use routes!");
        }
        for call in text.split("Problem::new(").skip(1) {
            let Some(code) = call.split('"').nth(1).filter(|_| call.find('"') < call.find(')')) else {
                continue;
            };
            assert!(
                code.is_empty() || listed.contains(&json!(code)),
                "{at}: the code {code} is in no document"
            );
        }
    }
}
