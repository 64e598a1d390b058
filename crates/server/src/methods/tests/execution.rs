//! The execution of handlers: permission, refusals, panics, invalid results, pending calls.

use super::{Fake, ask, ask_as, error, node, registry, request, value};
use fanfare_core::model::{ErrorCode, Refusal, Reply, Requester};
use fanfare_rpc::{Caller, Example, Meter, Method, NoParams, Observer, Outcome, Pending, Registry, dispatch};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

#[test]
fn a_panic_is_an_internal_error_with_a_correlation_id_and_nothing_else() {
    let registry = registry();
    let first = error(registry, "test.panic", "{}");
    assert_eq!((&first["code"], &first["message"]), (&json!(-32603), &json!("Internal error")));
    assert_eq!(first["data"]["code"], "INTERNAL");
    let id = first["data"]["correlation_id"].as_str().unwrap().to_owned();
    assert!(id.len() == 16 && first["data"].as_object().unwrap().len() == 2, "{first}");
    assert_ne!(error(registry, "test.panic", "{}")["data"]["correlation_id"], id);
    assert_eq!(ask(registry, r#"{"jsonrpc":"2.0","method":"test.panic"}"#), None, "as a notification too");
    let batch = r#"[{"jsonrpc":"2.0","method":"test.panic","id":1},{"jsonrpc":"2.0","method":"subtract","params":[2,1],"id":2}]"#;
    let answers = value(registry, batch);
    assert_eq!((&answers[0]["error"]["code"], &answers[1]["result"]), (&json!(-32603), &json!(1)));
}

/// A handler whose result breaks its own schema, or that reports an internal error.
struct Faulty;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    result: String,
}

#[derive(serde::Serialize, schemars::JsonSchema)]
struct Short {
    #[schemars(length(max = 5))]
    text: String,
}

impl Method for Faulty {
    const NAME: &'static str = "faulty";
    const SUMMARY: &'static str = "Returns what its params say";
    type Params<'a> = Which;
    type Result = Short;

    fn example() -> Example {
        Example::new(json!({ "result": "abc" }), json!({ "text": "abc" }))
    }

    fn call(&self, _: &mut dyn Caller, which: Which) -> Result<Short, Refusal> {
        if which.result == "fault" {
            return Err(Refusal::new(ErrorCode::Internal, "the secret of the database"));
        }
        Ok(Short { text: which.result })
    }
}

#[test]
fn a_result_that_breaks_its_schema_is_not_sent() {
    let registry = &Registry::builder("0").method(Faulty).build().unwrap();
    assert_eq!(value(registry, &request("faulty", r#"["12345"]"#))["result"], json!({ "text": "12345" }));
    for params in [r#"["123456"]"#, r#"["fault"]"#] {
        let answer = ask(registry, &request("faulty", params)).unwrap();
        assert!(answer.contains("-32603") && answer.contains("correlation_id"), "{answer}");
        assert!(!answer.contains("123456") && !answer.contains("secret"), "{answer}");
    }
}

#[test]
fn a_reply_of_the_wrong_kind_is_an_internal_error() {
    let registry = registry();
    let mut caller = Fake { reply: Some(Reply::Pong), ..Fake::default() };
    let answer = ask_as(&mut caller, registry, &request("topic.subscribe", r#"["t"]"#)).unwrap();
    assert!(answer.contains("-32603"), "{answer}");
}

#[test]
fn refusals_have_their_number_and_name() {
    let registry = registry();
    let none = error(registry, "topic.publish", r#"{"topic":"nobody","payload":1}"#);
    assert_eq!(
        none,
        json!({ "code": -32010, "message": "nobody hears this topic", "data": { "code": "TOPIC_NOT_FOUND", "field": "topic" } })
    );
    let feed = error(registry, "feed.subscribe", r#"{"channel":"nowhere"}"#);
    assert_eq!(feed["data"]["code"], "CHANNEL_NOT_FOUND");
    assert_eq!(error(registry, "session.authenticate", r#"{"token":"bad"}"#)["data"]["code"], "UNAUTHORIZED");
}

#[test]
fn connection_methods_refuse_over_post() {
    let registry = registry();
    for method in [
        "topic.subscribe",
        "topic.unsubscribe",
        "feed.subscribe",
        "feed.unsubscribe",
        "session.get",
        "session.set",
        "session.resume",
        "session.authenticate",
    ] {
        let mut caller = Fake { over_post: true, ..Fake::default() };
        let answer = ask_as(&mut caller, registry, &request(method, "{}")).unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["data"]["code"]),
            (&json!(-32000), &json!("FORBIDDEN")),
            "{method}"
        );
    }
    let mut caller = Fake { over_post: true, ..Fake::default() };
    for method in ["topic.list", "feed.list", "server.ping", "server.whoami", "rpc.discover"] {
        assert!(
            ask_as(&mut caller, registry, &request(method, "{}")).unwrap().contains(r#""result""#),
            "{method}"
        );
    }
}

#[test]
fn before_authentication_only_open_methods_run() {
    let registry = registry();
    let mut caller = Fake { must_authenticate: true, ..Fake::default() };
    for method in registry.names() {
        let answer = ask_as(&mut caller, registry, &request(method, r#"{"junk":1}"#)).unwrap();
        let open = ["session.authenticate", "session.resume", "rpc.discover"].contains(&method);
        assert_eq!(answer.contains("UNAUTHORIZED"), !open, "{method}: {answer}");
    }
    let answer =
        ask_as(&mut caller, registry, &request("session.authenticate", r#"{"token":"good"}"#)).unwrap();
    assert!(
        answer.contains(
            r#""user":{"id":"7","username":"ann"},"session_code":"happy-panda-42","resume_token":"next""#
        ),
        "{answer}"
    );
    let me = ask_as(&mut caller, registry, &request("server.whoami", "{}")).unwrap();
    assert!(me.ends_with(r#""result":{"user":{"id":"7","username":"ann"},"kind":"user"}}"#), "{me}");
}

#[test]
fn sessions_keep_values_unchanged() {
    let registry = registry();
    let mut caller = Fake::default();
    let mut ask = |method, params| ask_as(&mut caller, registry, &request(method, params)).unwrap();
    assert!(
        ask("session.set", r#"{"key":"k","value":{"a" :1.0}}"#)
            .contains(r#""result":{"key":"k","data_bytes":"#)
    );
    assert!(ask("session.get", r#"{"key":"k"}"#).ends_with(r#""result":{"key":"k","value":{"a" :1.0}}}"#));
    assert!(ask("session.get", r#"{"key":"none"}"#).ends_with(r#""result":{"key":"none","value":null}}"#));
    let whole = ask("session.get", "{}");
    assert!(whole.contains(r#""result":{"code":""#) && whole.contains(r#"","created_at":"20"#), "{whole}");
    assert!(whole.ends_with(r#"Z","data":{"k":{"a" :1.0}}}}"#), "{whole}");
}

#[test]
fn topic_methods_pass_their_params() {
    let registry = registry();
    let mut caller = Fake::default();
    let mut ask = |method, params| ask_as(&mut caller, registry, &request(method, params)).unwrap();
    assert!(
        ask("topic.subscribe", r#"{"topic":"t","since":{"epoch":"0000000000000001","offset":3}}"#)
            .ends_with(r#""result":{"topic":"t","epoch":"0000000000000001","offset":17,"recovered":true}}"#)
    );
    for (params, history) in [
        (r#"{"topic":"t","history":5.0}"#, r#","history":5"#),
        (r#"{"topic":"t","history":100}"#, r#","history":100"#),
        (r#"{"topic":"t","history":null}"#, ""),
    ] {
        let want = format!(r#""result":{{"topic":"t","epoch":"0000000000000001","offset":17{history}}}}}"#);
        assert!(ask("topic.subscribe", params).ends_with(&want), "{params}");
    }
    assert!(ask("topic.unsubscribe", r#"["t"]"#).ends_with(r#""result":{"topic":"t"}}"#));
    assert!(
        ask("topic.publish", r#"["t",1]"#)
            .ends_with(r#""result":{"topic":"t","id":"00000000000010000001","offset":18,"delivered":3}}"#)
    );
    let seen = caller.seen.join("\n");
    assert!(seen.contains("offset: 3"), "{seen}");
}

#[test]
fn topics_without_a_connection_are_the_nodes() {
    let registry = registry();
    node().topics.make("methods-a", None, Requester::Backend, 1).unwrap();
    node().topics.make("methods-b", None, Requester::Backend, 1).unwrap();
    let mut caller = Fake { over_post: true, ..Fake::default() };
    let mut ask =
        |method: &str, params: &str| ask_as(&mut caller, registry, &request(method, params)).unwrap();
    for payload in ["1", r#"{"b" :1.0}"#, "3"] {
        let params = format!(r#"{{"topic":"methods-a","payload":{payload},"client_id":"c"}}"#);
        let answer = ask("topic.publish", &params);
        assert!(answer.contains(r#""topic":"methods-a","id":""#), "{answer}");
    }
    let page = ask("topic.history", r#"{"topic":"methods-a","after":1,"limit":1}"#);
    assert!(page.contains(r#""offset":3,"items":[{"id":""#), "{page}");
    assert!(page.contains(r#"","offset":2,"payload":{"b" :1.0},"client_id":"c","timestamp":""#), "{page}");
    assert!(page.ends_with(r#"Z"}],"next":2}}"#), "{page}");
    let list = ask("topic.list", r#"{"after":"methods-","limit":1}"#);
    let want = r#""result":{"items":[{"name":"methods-a","subscribers":0,"offset":3}],"next":"methods-a"}}"#;
    assert!(list.ends_with(want), "{list}");
    assert!(ask("topic.history", r#"{"topic":"methods-none"}"#).contains("TOPIC_NOT_FOUND"));
    // As over HTTP: 50 without a limit, and a larger one is clamped to a page.
    for n in 0..101 {
        node().topics.make(&format!("methods-page-{n:03}"), None, Requester::Backend, 1).unwrap();
    }
    for (limit, last) in [("", "049"), (r#","limit":101"#, "099"), (r#","limit":1000"#, "099")] {
        let list = ask("topic.list", &format!(r#"{{"after":"methods-page-"{limit}}}"#));
        assert!(list.ends_with(&format!(r#""next":"methods-page-{last}"}}}}"#)), "{list}");
    }
    assert!(ask("topic.list", r#"{"limit":0}"#).contains(r#""constraint":"min=1""#));
}

#[test]
fn server_commands_are_the_same_methods() {
    let registry = registry();
    let mut caller = Fake::default();
    let mut run = |command: &str, params: Option<&str>| {
        let params = params.map(|p| fanfare_json::Raw::new(p).unwrap());
        let mut out = vec![];
        registry
            .server_command(command, &mut caller, params, &mut out)
            .map(|()| String::from_utf8(out).unwrap())
    };
    assert_eq!(run("user_count", None).unwrap(), r#"{"count":0}"#);
    assert_eq!(run("echo", Some(r#"{"message":[1 ]}"#)).unwrap(), r#"{"message":[1 ]}"#);
    assert!(run("server_info", None).unwrap().contains("uptime_seconds"));
    let commands: Value = serde_json::from_str(&run("list_commands", None).unwrap()).unwrap();
    let names: Vec<_> = commands.as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["echo", "server_info", "list_commands", "ping", "user_count", "whoami"]);
    assert!(
        commands[0]["schema"]["properties"]["message"].is_object()
            || commands[0]["schema"]["properties"]["message"] == true
    );
    for unknown in ["info", "nope", "", "test.echo"] {
        assert_eq!(run(unknown, None).unwrap_err().code, ErrorCode::UnknownCommand, "{unknown}");
    }
    assert_eq!(run("ping", Some(r#"{"x":1}"#)).unwrap_err().code, ErrorCode::InvalidMessage);
}

// --- calls that wait -------------------------------------------------------------------------------------------

fn pending(registry: &Registry, text: &str) -> Pending {
    let mut out = b"before".to_vec();
    match dispatch(registry, &mut Fake::default(), text, 100, &mut out) {
        Outcome::Pending(pending) => {
            assert_eq!(out, b"before", "nothing is appended");
            pending
        }
        _ => panic!("nothing waits"),
    }
}

async fn finish(pending: Pending, deadline_ms: u64, gate: &Semaphore) -> Option<Value> {
    let text = pending.run(Duration::from_millis(deadline_ms), gate).await?;
    Some(serde_json::from_slice(&text).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_pending_call_responds_later() {
    let registry = registry();
    let gate = Semaphore::new(4);
    let answer = finish(pending(registry, &request("test.sleep", "[50]")), 1000, &gate).await;
    assert_eq!(answer, Some(json!({ "jsonrpc": "2.0", "id": 1, "result": { "ms": 50 } })));
    let silent = pending(registry, r#"{"jsonrpc":"2.0","method":"test.sleep","params":[5]}"#);
    assert_eq!(finish(silent, 1000, &gate).await, None);
    assert!(
        ask(registry, &request("test.sleep", "[60001]")).unwrap().contains("max=60000"),
        "invalid params need no waiting"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_call_but_not_its_batch() {
    let registry = registry();
    let batch = r#"[{"jsonrpc":"2.0","method":"test.sleep","params":[5000],"id":"slow"},
        {"jsonrpc":"2.0","method":"test.sleep","params":[10],"id":"quick"},
        {"jsonrpc":"2.0","method":"test.sleep","params":[10]},
        {"jsonrpc":"2.0","method":"subtract","params":[2,1],"id":"now"}]"#;
    let waiting = pending(registry, batch);
    assert_eq!(waiting.len(), 3);
    let answers = finish(waiting, 100, &Semaphore::new(8)).await.unwrap();
    let find = |id: &str| answers.as_array().unwrap().iter().find(|a| a["id"] == id).unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 3);
    assert_eq!(find("now")["result"], 1);
    assert_eq!(find("quick")["result"], json!({ "ms": 10 }));
    assert_eq!(find("slow")["error"]["data"]["code"], "UNAVAILABLE");
    let notifications = r#"[{"jsonrpc":"2.0","method":"test.sleep","params":[5]}]"#;
    assert_eq!(finish(pending(registry, notifications), 100, &Semaphore::new(1)).await, None);
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_run_at_once_than_the_gate_admits() {
    let registry = registry();
    let gate = Semaphore::new(1);
    let start = tokio::time::Instant::now();
    let (a, b) = (
        pending(registry, &request("test.sleep", "[100]")),
        pending(registry, &request("test.sleep", "[100]")),
    );
    let both = tokio::join!(finish(a, 1000, &gate), finish(b, 1000, &gate));
    assert!(both.0.is_some() && both.1.is_some());
    assert!(start.elapsed() >= Duration::from_millis(200));
}

/// An asynchronous handler that panics while it waits.
struct LatePanic;

impl fanfare_rpc::AsyncMethod for LatePanic {
    const NAME: &'static str = "late_panic";
    const SUMMARY: &'static str = "Panics after a while";
    type Params = NoParams;
    type Result = Value;

    fn example() -> Example {
        Example::new(json!({}), json!(null))
    }

    async fn call(self: Arc<Self>, _: fanfare_core::model::Caller, _: NoParams) -> Result<Value, Refusal> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        panic!("too late")
    }
}

/// Methods that ended, and their errors.
type Ended = Vec<(&'static str, Option<i32>)>;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Ended>>);

struct LogOf(Log, &'static str);

impl Observer for Log {
    fn method(&self, name: &'static str) -> Box<dyn Meter> {
        Box::new(LogOf(self.clone(), name))
    }
}

impl Meter for LogOf {
    fn ended(&self, _: Duration, error: Option<i32>) {
        self.0.0.lock().unwrap().push((self.1, error));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_panic_is_contained_and_the_observer_sees_every_call() {
    let log = Log::default();
    let registry = &Registry::builder("0")
        .basic_test_methods()
        .async_method(LatePanic)
        .observer(Arc::new(log.clone()))
        .build()
        .unwrap();
    let answer =
        finish(pending(registry, &request("late_panic", "{}")), 1000, &Semaphore::new(1)).await.unwrap();
    assert_eq!(answer["error"]["code"], -32603);
    ask(registry, &request("test.echo", r#"["x"]"#));
    ask(registry, &request("test.echo", "[1]"));
    ask(registry, &request("no.such", "[1]"));
    assert_eq!(
        *log.0.lock().unwrap(),
        [("late_panic", Some(-32603)), ("test.echo", None), ("test.echo", Some(-32602))]
    );
}
