//! The `pub` and `sub` commands against the fake server: the requests they send and how they end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod fake;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, FromArgMatches};
use fake::{Fake, welcome};
use fanfare_client::commands::{PubArgs, SubArgs};
use serde_json::{Value, json};

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), Box::pin(what)).await.expect("in time")
}

async fn both<A, B>(server: impl Future<Output = A>, command: impl Future<Output = B>) -> (A, B) {
    tokio::join!(Box::pin(server), Box::pin(command))
}

fn parse<A: Args + FromArgMatches>(words: &[&str]) -> A {
    let command = A::augment_args(clap::Command::new("test").no_binary_name(true));
    A::from_arg_matches(&command.get_matches_from(words)).unwrap()
}

fn assert_exit(code: ExitCode, expected: ExitCode) {
    assert_eq!(format!("{code:?}"), format!("{expected:?}"));
}

#[tokio::test]
async fn pub_creates_the_topic_then_publishes_then_closes() {
    let fake = Fake::start().await;
    let url = fake.url();
    let args: PubArgs = parse(&["--create", "--url", &url, "--token", "secret", "t", "not json"]);
    let server = async {
        let (head, body) = fake.answer_http(201, &json!({"name":"t"})).await;
        assert!(head.starts_with("POST /topics HTTP/1.1\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("authorization: bearer secret\r\n"), "{head}");
        assert_eq!(body, json!({"name":"t"}));
        let mut peer = fake.accept().await;
        peer.send(welcome("a-b-1", "r")).await;
        let request = peer.receive().await;
        assert_eq!((&request["type"], &request["payload"]), (&json!("publish"), &json!("not json")));
        peer.send(json!({"type":"ack","for":"publish","topic":"t","id":"m","offset":1,"delivered":0,
                         "request_id":request["request_id"]}))
            .await;
        assert_eq!(peer.closed().await, Some(1000));
    };
    let ((), code) = within(both(server, args.run())).await;
    assert_exit(code, ExitCode::SUCCESS);
}

#[tokio::test]
async fn pub_fails_when_the_server_refuses() {
    let fake = Fake::start().await;
    let url = fake.url();
    let args: PubArgs = parse(&["--url", &url, "t", "1"]);
    let server = async {
        let mut peer = fake.accept().await;
        peer.send(welcome("a-b-1", "r")).await;
        let request = peer.receive().await;
        let error: Value = json!({"type":"error","code":"TOPIC_NOT_FOUND","message":"no such topic",
                                  "request_id":request["request_id"]});
        peer.send(error).await;
        peer.closed().await
    };
    let (_, code) = within(both(server, args.run())).await;
    assert_exit(code, ExitCode::FAILURE);

    let args: PubArgs = parse(&["--create", "--url", &url, "t", "1"]);
    let problem = json!({"code":"forbidden","title":"Forbidden","status":403});
    let refused = fake.answer_http(403, &problem);
    let (_, code) = within(both(refused, args.run())).await;
    assert_exit(code, ExitCode::FAILURE);
}

#[tokio::test]
async fn sub_subscribes_to_each_topic_and_ends_when_the_server_forbids_a_retry() {
    let fake = Fake::start().await;
    let url = fake.url();
    let args: SubArgs = parse(&["--url", &url, "--since", "e:4", "a", "b"]);
    let server = async {
        let mut peer = fake.accept().await;
        peer.send(welcome("a-b-1", "r")).await;
        for topic in ["a", "b"] {
            let request = peer.receive().await;
            assert_eq!(
                (&request["topic"], &request["since"]),
                (&json!(topic), &json!({"epoch":"e","offset":4}))
            );
            peer.ack_subscribe(&request, "e", 4, Some(true)).await;
        }
        peer.send(fake::event("a", 5, &json!({"n":5}))).await;
        peer.close(4403).await;
    };
    let ((), code) = within(both(server, args.run())).await;
    assert_exit(code, ExitCode::FAILURE);
}
