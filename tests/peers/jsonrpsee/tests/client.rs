//! jsonrpsee's WebSocket client against the server at `FANFARE_ADDRESS` (host:port). The client ends its connection when
//! an answer comes that nobody asked for, so whatever is called after a notification shows that it was not answered.

use futures_util::future::join_all;
use jsonrpsee_core::client::{BatchResponse, ClientT, Error, Subscription, SubscriptionClientT};
use jsonrpsee_core::params::{ArrayParams, BatchRequestBuilder, ObjectParams};
use jsonrpsee_core::traits::ToRpcParams;
use jsonrpsee_ws_client::{WsClient, WsClientBuilder, types::ErrorObjectOwned};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);
const CONCURRENT: u64 = 200;
const EVENTS: u64 = 50;

async fn connect() -> WsClient {
    let address = std::env::var("FANFARE_ADDRESS").expect("FANFARE_ADDRESS: tests/peers/run sets it");
    WsClientBuilder::default()
        .request_timeout(SOON)
        .build(format!("ws://{address}/rpc"))
        .await
        .expect("connect")
}

fn named(params: Value) -> ObjectParams {
    let mut out = ObjectParams::new();
    for (name, value) in params.as_object().expect("an object") {
        out.insert(name, value).expect("JSON");
    }
    out
}

fn positional(params: Value) -> ArrayParams {
    let mut out = ArrayParams::new();
    for value in params.as_array().expect("an array") {
        out.insert(value).expect("JSON");
    }
    out
}

/// Params as they stand: the client's own builders make `null` of empty ones in a notification.
struct AsIs(Value);

impl ToRpcParams for AsIs {
    fn to_rpc_params(self) -> Result<Option<Box<RawValue>>, serde_json::Error> {
        to_raw_value(&self.0).map(Some)
    }
}

async fn call(client: &WsClient, method: &str, params: Value) -> Result<Value, Error> {
    if params.is_array() {
        client.request(method, positional(params)).await
    } else {
        client.request(method, named(params)).await
    }
}

async fn result(client: &WsClient, method: &str, params: Value) -> Value {
    call(client, method, params).await.unwrap_or_else(|e| panic!("{method}: {e}"))
}

async fn refusal(client: &WsClient, method: &str, params: Value) -> (i32, String, Value) {
    match call(client, method, params).await {
        Err(Error::Call(error)) => told(&error),
        other => panic!("{method}: {other:?}"),
    }
}

fn told(error: &ErrorObjectOwned) -> (i32, String, Value) {
    let data = error.data().map_or(Value::Null, |data| serde_json::from_str(data.get()).expect("JSON"));
    (error.code(), error.message().to_owned(), data)
}

async fn next(heard: &mut Subscription<Value>) -> Value {
    let notification = timeout(SOON, heard.next()).await.expect("a notification in time");
    notification.expect("the connection lives").expect("JSON")
}

fn short_field() -> (i32, String, Value) {
    let data = json!({ "field": "field1", "constraint": "min=3", "value": "ab",
        "message": "field1 must be at least 3 characters" });
    (-32602, "Invalid params".into(), data)
}

#[tokio::test]
async fn named_positional_and_no_params() {
    let client = connect().await;
    let msg = "quotes \" and \\ and \0 and é and 😀";
    assert_eq!(result(&client, "test.echo", json!({ "msg": msg })).await, json!({ "msg": msg }));
    assert_eq!(result(&client, "test.echo", json!([msg])).await, json!({ "msg": msg }));
    assert_eq!(result(&client, "subtract", json!({ "subtrahend": 23, "minuend": 42 })).await, json!(19));
    assert_eq!(result(&client, "subtract", json!([23, 42])).await, json!(-19));
    assert_eq!(result(&client, "sum", json!([1, 2, 4])).await, json!(7));
    let pair: (String, i64) = client.request("get_data", ArrayParams::new()).await.expect("a pair");
    assert_eq!(pair, ("hello".into(), 5));
}

#[tokio::test]
async fn errors_have_code_message_and_data() {
    let client = connect().await;
    let unknown = (-32601, "Method not found".into(), Value::Null);
    assert_eq!(refusal(&client, "no.such.method", json!({})).await, unknown);
    assert_eq!(refusal(&client, "test.example", json!({ "field1": "ab", "field2": 5 })).await, short_field());
    assert_eq!(refusal(&client, "test.example", json!(["ab", 5])).await, short_field());
    let (code, _, data) = refusal(&client, "topic.publish", json!(["peers/nobody", 1])).await;
    assert!((-32099..=-32000).contains(&code), "{code}");
    assert_eq!(data["code"], "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_panic_ends_nothing() {
    let client = connect().await;
    let (code, _, data) = refusal(&client, "test.panic", json!({})).await;
    assert_eq!(code, -32603);
    assert_eq!(data["correlation_id"].as_str().map(str::len), Some(16), "{data}");
    assert_eq!(result(&client, "test.echo", json!(["alive"])).await, json!({ "msg": "alive" }));
}

#[tokio::test]
async fn notifications_are_not_answered() {
    let client = connect().await;
    for (method, params) in [
        ("test.echo", json!(["unheard"])),
        ("update", json!([1, 2, 3, 4, 5])),
        ("no.such.method", json!([])),
        ("test.example", json!(["ab", 5])),
        ("test.panic", json!([])),
    ] {
        client.notification(method, AsIs(params)).await.expect("sent");
    }
    assert_eq!(result(&client, "test.sleep", json!([50])).await, json!({ "ms": 50 }));
    assert_eq!(result(&client, "test.echo", json!(["heard"])).await, json!({ "msg": "heard" }));
    assert!(client.is_connected());
}

/// What does not work with this client: a notification without params says `"params":null`, which is neither an array
/// nor an object and so no request (JSON-RPC 2.0, 4.2). It is told so without an id, and then the client gives up.
#[tokio::test]
async fn a_notification_with_null_for_params_is_no_request() {
    let client = connect().await;
    client.notification("test.panic", ArrayParams::new()).await.expect("sent");
    let ended = timeout(SOON, client.on_disconnect()).await.expect("the client gives up");
    let Error::RestartNeeded(cause) = &ended else { panic!("{ended:?}") };
    assert!(matches!(**cause, Error::InvalidRequestId(_)), "{cause:?}");
}

#[tokio::test]
async fn two_hundred_calls_at_once() {
    let client = &connect().await;
    let one = |n: u64| async move {
        let (method, params) = match n % 10 {
            0 => ("test.sleep", json!({ "ms": 40 - n / 5 })),
            _ => ("test.echo", json!({ "msg": format!("call {n}") })),
        };
        assert_eq!(result(client, method, params.clone()).await, params);
    };
    join_all((0..CONCURRENT).map(one)).await;
}

#[tokio::test]
async fn batches() {
    let client = connect().await;
    let mut batch = BatchRequestBuilder::new();
    for (method, params) in [
        ("sum", json!([1, 2, 4])),
        ("no.such.method", json!([])),
        ("test.sleep", json!([20])),
        ("test.example", json!(["ab", 5])),
        ("get_data", json!([])),
    ] {
        batch.insert(method, positional(params)).expect("JSON");
    }
    let answers: BatchResponse<'_, Value> = client.batch_request(batch).await.expect("answers");
    assert_eq!((answers.num_successful_calls(), answers.num_failed_calls()), (3, 2));
    let answers: Vec<_> = answers.into_iter().map(|a| a.map_err(|e| told(&e.into_owned()))).collect();
    assert_eq!(answers[0], Ok(json!(7)));
    assert_eq!(answers[1].as_ref().map_err(|e| e.0), Err(-32601));
    assert_eq!(answers[2], Ok(json!({ "ms": 20 })));
    assert_eq!(answers[3], Err(short_field()));
    assert_eq!(answers[4], Ok(json!(["hello", 5])));
}

#[tokio::test]
async fn events_of_a_topic() {
    let (subscriber, publisher) = (connect().await, connect().await);
    let mut heard = subscriber.subscribe_to_method::<Value>("topic.event").await.expect("registered");
    let topic = format!("peers/jsonrpsee/{}", std::process::id());
    let ack = result(&subscriber, "topic.subscribe", json!({ "topic": topic })).await;
    let head = ack["offset"].as_u64().expect("an offset");
    for n in 1..=EVENTS {
        let done = result(&publisher, "topic.publish", json!([topic, { "n": n }])).await;
        assert_eq!((&done["offset"], &done["delivered"]), (&json!(head + n), &json!(1)));
    }
    for n in 1..=EVENTS {
        let event = next(&mut heard).await;
        assert_eq!(event["topic"], json!(topic));
        assert_eq!((&event["offset"], &event["payload"]), (&json!(head + n), &json!({ "n": n })));
    }
}

/// Its kind of subscription needs an id in the answer: a method that gives none is refused by the client, and the
/// connection lives.
#[tokio::test]
async fn its_own_kind_of_subscription_is_unknown() {
    let client = connect().await;
    let sub = client.subscribe::<Value, _>("eth_subscribe", ArrayParams::new(), "eth_unsubscribe").await;
    let Err(Error::Call(error)) = sub else { panic!("{:?}", sub.map(|_| ())) };
    assert_eq!(error.code(), -32601);
    assert_eq!(result(&client, "test.echo", json!(["alive"])).await, json!({ "msg": "alive" }));
}
