//! `fanfare admin`: accounts and API keys by command, beside a running server (`http-api.md` "API keys").

use crate::people::{PASSWORD, Person, bare, roomy};
use crate::support::BINARY;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use std::process::{Command, Output};

/// Runs `fanfare admin` on the data folder of a server.
pub(crate) fn admin(server: &Server, args: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.env_clear().current_dir(server.data_dir()).arg("admin").args(args);
    command.arg("--set").arg(format!("data_dir={}", server.data_dir().display())).output().unwrap()
}

fn line(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

/// A new API key.
#[track_caller]
pub(crate) fn api_key(server: &Server, name: &str, scopes: &[&str]) -> String {
    let mut args = vec!["create-api-key", name];
    scopes.iter().for_each(|scope| args.extend(["--scope", scope]));
    line(&admin(server, &args))
}

fn with_key(server: &Server, request: Request, key: &str) -> Answer {
    request.header("X-API-Key", key).send(server.addr())
}

#[track_caller]
fn usage(output: &Output, word: &str) {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains(word), "{output:?}");
}

#[test]
fn a_key_is_valid_at_once_and_until_it_is_deleted() {
    let server = roomy(&[("topics.rules", r#"[{"pattern":"*","subscribe":"anyone","publish":"server"}]"#)]);
    let key = api_key(&server, "backend", &["publish", "topics"]);
    assert!(key.starts_with("fan_") && key.len() == 47, "{key}");
    let make = || with_key(&server, Request::post("/topics", r#"{"name":"t"}"#), &key);
    assert_eq!(make().status, 201);
    let sent = with_key(&server, Request::post("/sessions/broadcast", r#"{"payload":1}"#), &key);
    assert_eq!((sent.status, sent.problem().as_str()), (403, "forbidden"), "not in its scopes");
    for wrong in ["", "fan_", &key[1..], &format!("{key}x"), &key.to_uppercase()] {
        let answer = with_key(&server, Request::get("/topics"), wrong);
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthorized"), "{wrong}");
    }
    let file = std::fs::read(server.data_dir().join("fanfare.db")).unwrap();
    let wal = std::fs::read(server.data_dir().join("fanfare.db-wal")).unwrap_or_default();
    for bytes in [file, wal] {
        assert!(!bytes.windows(key.len()).any(|w| w == key.as_bytes()), "kept in clear");
    }
    let listed = line(&admin(&server, &["list-api-keys"]));
    assert!(listed.starts_with("backend\tpublish topics\t20") && !listed.contains("fan_"), "{listed}");
    usage(&admin(&server, &["create-api-key", "backend", "--scope", "publish"]), "backend");
    assert_eq!(line(&admin(&server, &["delete-api-key", "backend"])), "");
    eventually("it is refused", PATIENCE, || (make().status == 401).then_some(()));
    usage(&admin(&server, &["delete-api-key", "backend"]), "backend");
    usage(&admin(&server, &["create-api-key", "none"]), "--scope");
    usage(&admin(&server, &["create-api-key", "none", "--scope", "everything"]), "everything");
    usage(&admin(&server, &["create-api-key", "a b", "--scope", "topics"]), "NAME");
}

#[test]
fn an_admin_is_created_by_command() {
    let server = roomy(&[]);
    let password = line(&admin(&server, &["create-user", "Chief", "--role", "admin"]));
    assert_eq!(password.len(), 24);
    let chief = Person::login(&server, "chief", &password);
    assert_eq!(chief.me(&server).json()["role"], "admin");
    let ann = Person::new(&server, "ann");
    assert_eq!(ann.me(&server).json()["role"], "user");
    line(&admin(&server, &["set-role", "ANN", "admin"]));
    eventually("her logins know", PATIENCE, || (ann.me(&server).json()["role"] == "admin").then_some(()));
    line(&admin(&server, &["set-role", "ann", "user"]));
    eventually("and know again", PATIENCE, || (ann.me(&server).json()["role"] == "user").then_some(()));
    usage(&admin(&server, &["create-user", "chief"]), "chief");
    usage(&admin(&server, &["create-user", "root"]), "NAME");
    usage(&admin(&server, &["create-user", "a"]), "NAME");
    usage(&admin(&server, &["set-role", "nobody", "admin"]), "nobody");
    usage(&admin(&server, &["set-role", "ann", "chief"]), "chief");
    Person::login(&server, "ann", PASSWORD);
    assert_eq!(chief.ask(&server, bare("POST", "/auth/logout")).status, 204);
}
