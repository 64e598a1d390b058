//! The SDK against a server of the typed dialect that each test controls exactly.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod fake;

use std::time::Duration;

use fake::{Fake, Peer, welcome};
use fanfare_client::{Client, Error, Notice, Notices, Options, Position, PublishOptions, StartFrom};
use fanfare_json::RawBuf;
use serde_json::json;

/// Longer than any step takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

async fn connected(fake: &Fake) -> (Client, Notices, Peer) {
    let url = fake.url();
    let (client, peer) = within(async {
        tokio::join!(Client::connect(&url, Options::default()), async {
            let mut peer = fake.accept().await;
            peer.send(welcome("happy-panda-42", "token-1")).await;
            peer
        })
    })
    .await;
    let (client, notices) = client.unwrap();
    (client, notices, peer)
}

fn json_text(value: &serde_json::Value) -> RawBuf {
    RawBuf::new(value.to_string()).unwrap()
}

#[tokio::test]
async fn replies_are_matched_by_request_id_with_events_between() {
    let fake = Fake::start().await;
    let (client, mut notices, mut peer) = connected(&fake).await;
    assert_eq!(client.welcome().session_code, "happy-panda-42");

    let server = async {
        let (first, second) = (peer.receive().await, peer.receive().await);
        assert_eq!((first["type"].as_str(), second["type"].as_str()), (Some("ping"), Some("publish")));
        assert_eq!(second["payload"], json!({"n": 1}));
        peer.send(fake::event("t", 18, &json!("between"))).await;
        // The replies come in the other order: only the ids distinguish them.
        peer.send(json!({"type":"ack","for":"publish","topic":"t","id":"m1","offset":19,"delivered":3,
                         "request_id":second["request_id"]}))
            .await;
        peer.send(json!({"type":"pong","timestamp":"now","request_id":first["request_id"]})).await;
    };
    let publish = async {
        tokio::task::yield_now().await;
        client.publish("t", json_text(&json!({"n": 1})), PublishOptions::default()).await
    };
    let ((), pong, published, event) =
        within(async { tokio::join!(server, client.ping(), publish, notices.recv()) }).await;
    assert_eq!(pong.unwrap(), "now");
    let published = published.unwrap();
    assert_eq!((published.id.as_str(), published.offset, published.delivered), ("m1", 19, 3));
    match event.unwrap() {
        Notice::Event(event) => assert_eq!((event.offset, event.payload.get()), (18, r#""between""#)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lost_connection_resumes_the_session_and_subscribes_from_where_it_was() {
    let fake = Fake::start().await;
    let (client, mut notices, mut peer) = connected(&fake).await;
    let since = Position { epoch: "e1".into(), offset: 3 };
    let server = async {
        let request = peer.receive().await;
        assert_eq!(request["since"], json!({"epoch":"e1","offset":3}));
        peer.ack_subscribe(&request, "e1", 5, Some(true)).await;
        peer.send(fake::event("t", 4, &json!(4))).await;
        peer.send(fake::event("t", 5, &json!(5))).await;
    };
    let ((), subscribed) =
        within(async { tokio::join!(server, client.subscribe("t", StartFrom::Since(since))) }).await;
    assert_eq!(subscribed.unwrap().recovered, Some(true));
    for offset in [4, 5] {
        assert!(matches!(within(notices.recv()).await, Some(Notice::Event(e)) if e.offset == offset));
    }

    drop(peer); // no close frame: the connection just breaks
    let mut peer = within(fake.accept()).await;
    assert_eq!(peer.query(), "session=happy-panda-42&resume=token-1");
    let mut again = welcome("happy-panda-42", "token-2");
    again["resumed"] = json!(true);
    peer.send(again).await;
    let request = within(peer.receive()).await;
    assert_eq!((&request["topic"], &request["since"]), (&json!("t"), &json!({"epoch":"e1","offset":5})));
    peer.ack_subscribe(&request, "e2", 9, Some(false)).await;
    assert!(matches!(within(notices.recv()).await, Some(Notice::Disconnected(_))));
    assert!(matches!(within(notices.recv()).await, Some(Notice::Reconnected { resumed: true })));
    let notice = within(notices.recv()).await;
    assert!(matches!(notice, Some(Notice::Resubscribed { topic, recovered: false }) if topic == "t"));

    // A refused resume is followed by a new session; the position is now the head that the server reported.
    drop(peer);
    assert_eq!(within(fake.refuse(401)).await, "session=happy-panda-42&resume=token-2");
    let mut peer = within(fake.accept()).await;
    assert_eq!(peer.query(), "");
    peer.send(welcome("brave-otter-7", "token-3")).await;
    let request = within(peer.receive()).await;
    assert_eq!(request["since"], json!({"epoch":"e2","offset":9}));
    assert!(matches!(within(notices.recv()).await, Some(Notice::Disconnected(_))));
    assert!(matches!(within(notices.recv()).await, Some(Notice::Reconnected { resumed: false })));
    assert_eq!(client.welcome().session_code, "brave-otter-7");
}

#[tokio::test]
async fn codes_that_forbid_a_retry_end_the_client() {
    for code in [1008u16, 4403, 4409] {
        let fake = Fake::start().await;
        let (client, mut notices, peer) = connected(&fake).await;
        peer.close(code).await;
        match within(notices.recv()).await {
            Some(Notice::Closed(reason)) => assert_eq!(reason.code, Some(code)),
            other => panic!("{code}: {other:?}"),
        }
        assert!(within(notices.recv()).await.is_none());
        match within(client.ping()).await {
            Err(Error::Closed(reason)) => assert_eq!(reason.code, Some(code)),
            other => panic!("{code}: {other:?}"),
        }
        assert_eq!(fake.attempts(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_server_error_fails_its_request_and_no_other() {
    let fake = Fake::start().await;
    let (client, mut notices, mut peer) = connected(&fake).await;
    let server = async {
        let request = peer.receive().await;
        peer.send(json!({"type":"error","code":"TOPIC_NOT_FOUND","message":"no such topic","field":"topic",
                         "request_id":request["request_id"],"timestamp":"now"}))
            .await;
        peer.send(json!({"type":"error","code":"RATE_LIMITED","message":"slow down","retry_after_ms":20}))
            .await;
    };
    let publish = client.publish("t", json_text(&json!(1)), PublishOptions::default());
    let ((), refused) = within(async { tokio::join!(server, publish) }).await;
    match refused {
        Err(Error::Server(e)) => {
            assert_eq!((e.code.as_str(), e.field.as_deref()), ("TOPIC_NOT_FOUND", Some("topic")))
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(within(notices.recv()).await, Some(Notice::Error(e)) if e.retry_after_ms == Some(20)));
}

#[tokio::test]
async fn only_requests_safe_to_repeat_are_sent_again() {
    let fake = Fake::start().await;
    let (client, _notices, mut peer) = connected(&fake).await;
    let keyed = PublishOptions { idempotency_key: Some("k".into()), ..PublishOptions::default() };
    let server = async {
        for _ in 0..2 {
            peer.receive().await;
        }
        drop(peer);
        let mut peer = fake.accept().await;
        peer.send(welcome("happy-panda-42", "token-2")).await;
        let request = peer.receive().await;
        assert_eq!((&request["idempotency_key"], &request["payload"]), (&json!("k"), &json!(2)));
        peer.send(json!({"type":"ack","for":"publish","topic":"t","id":"m","offset":1,"delivered":0,
                         "request_id":request["request_id"]}))
            .await;
    };
    let ((), once, repeated) = within(async {
        tokio::join!(
            server,
            client.publish("t", json_text(&json!(1)), PublishOptions::default()),
            client.publish("t", json_text(&json!(2)), keyed)
        )
    })
    .await;
    assert_eq!(once, Err(Error::ConnectionLost));
    assert_eq!(repeated.unwrap().id, "m");
}

#[tokio::test]
async fn move_leads_to_another_connection_with_the_new_token() {
    let fake = Fake::start().await;
    let (_client, mut notices, mut peer) = connected(&fake).await;
    peer.send(json!({"type":"info","code":"MOVE","in_ms":1,"resume_token":"token-m","message":"","timestamp":"now"}))
        .await;
    assert_eq!(within(peer.closed()).await, Some(1000));
    let peer = within(fake.accept()).await;
    assert_eq!(peer.query(), "session=happy-panda-42&resume=token-m");
    assert!(matches!(within(notices.recv()).await, Some(Notice::Info(i)) if i.code == "MOVE"));
    assert!(matches!(within(notices.recv()).await, Some(Notice::Disconnected(_))));
}

#[tokio::test]
async fn a_reader_that_falls_behind_stops_the_socket_but_not_requests() {
    let fake = Fake::start().await;
    let options = Options { notice_queue: 1, ..Options::default() };
    let url = fake.url();
    let (connected, mut peer) = within(async {
        tokio::join!(Client::connect(&url, options), async {
            let mut peer = fake.accept().await;
            peer.send(welcome("happy-panda-42", "token-1")).await;
            peer
        })
    })
    .await;
    let (client, mut notices) = connected.unwrap();
    for offset in 1..=50 {
        peer.send(fake::event("t", offset, &json!(offset))).await;
    }
    let pong = async {
        let request = peer.receive().await;
        peer.send(json!({"type":"pong","timestamp":"now","request_id":request["request_id"]})).await;
    };
    let read = async {
        let mut offsets = Vec::new();
        while offsets.len() < 50 {
            match notices.recv().await {
                Some(Notice::Event(e)) => offsets.push(e.offset),
                other => panic!("{other:?}"),
            }
        }
        offsets
    };
    let (pinged, (), offsets) = within(async { tokio::join!(client.ping(), pong, read) }).await;
    assert_eq!(pinged.unwrap(), "now");
    assert_eq!(offsets, (1..=50).collect::<Vec<u64>>());
}

#[tokio::test]
async fn dropping_the_last_handle_closes_with_1000() {
    let fake = Fake::start().await;
    let (client, mut notices, mut peer) = connected(&fake).await;
    drop(client.clone());
    drop(client);
    assert_eq!(within(peer.closed()).await, Some(1000));
    assert!(matches!(within(notices.recv()).await, Some(Notice::Closed(r)) if r.code == Some(1000)));
}
