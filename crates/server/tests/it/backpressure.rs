//! Readers that are too slow, and clients that send requests faster than they read (`protocol.md` 5 and 6).

use crate::support::{must_fail, start};
use fanfare_testkit::client::Client;
use fanfare_testkit::raw::{Endpoint, Frame, Raw, op};
use fanfare_testkit::raw_http::Request;
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn narrow(server: &Server) -> Raw {
    let mut ws = Raw::open(Endpoint::from(server.addr()).narrow());
    assert_eq!(ws.hear()["type"], "welcome");
    ws
}

fn payload(n: usize) -> Value {
    json!(format!("{n:06}{}", "x".repeat(16_000)))
}

fn number(event: &Value) -> usize {
    event["payload"].as_str().unwrap()[..6].parse().unwrap()
}

/// Reads what is left of a connection that is being closed: its texts and the close code.
fn remains(ws: &mut Raw) -> (Vec<Value>, Option<u16>) {
    let (frames, code) = ws.read_to_close(PATIENCE);
    let texts = frames.iter().filter(|f| f.opcode == op::TEXT);
    (texts.map(Frame::json).collect(), code)
}

/// A reader that was cut off for being slow: an unbroken beginning, then why. How many events it got.
fn check_cut_off(texts: &[Value]) -> usize {
    let (error, events) = texts.split_last().unwrap();
    assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!("SLOW_CONSUMER")));
    assert!(events.iter().map(number).eq(0..events.len()), "an unbroken beginning");
    events.len()
}

/// Frames of a topic that drops: in order, each once, and missing ones are reported. (Received, reported).
fn check_dropping(frames: &[Value], expected: usize) -> (u64, u64) {
    let (infos, events): (Vec<_>, Vec<_>) = frames.iter().partition(|f| f["code"] == "MESSAGES_DROPPED");
    assert!(infos.iter().all(|i| i["count"].as_u64() > Some(0) && i["message"].is_string()), "{infos:?}");
    let told: u64 = infos.iter().map(|i| i["count"].as_u64().unwrap()).sum();
    let got: Vec<_> = events.iter().map(|e| number(e)).collect();
    assert!(got.windows(2).all(|w| w[0] < w[1]), "in order, each once");
    assert_eq!(got.len() as u64 + told, expected as u64, "everything arrived or was told of");
    (got.len() as u64, told)
}

#[test]
fn a_slow_consumer_is_notified_and_closed_and_the_others_get_everything() {
    let server = start(&[("limits.queue_messages", "16"), ("ws.write_timeout", "60s")]);
    let mut slow = narrow(&server);
    slow.subscribe("t");
    let mut readers: Vec<_> = (0..3).map(|_| Client::connect(server.addr())).collect();
    readers.iter_mut().for_each(|reader| drop(reader.subscribe("t")));
    let mut publisher = Client::connect(server.addr());
    let mut count = 0;
    // Until the slow one is gone, and 20 more.
    let mut after = 0;
    while after < 20 {
        assert!(count < 3000, "48 MB and nobody is slow");
        let ack = publisher.publish("t", payload(count));
        after += usize::from(ack["delivered"] == 3);
        count += 1;
        for reader in &mut readers {
            assert_eq!(number(&reader.hear_type("event")), count - 1);
        }
    }
    let (texts, code) = remains(&mut slow);
    assert_eq!(code, Some(1013));
    let received = check_cut_off(&texts);
    assert!(received < count - 20);
    for lost in [0, texts.len() / 2, texts.len() - 1] {
        let mut tampered = texts.clone();
        tampered.remove(lost);
        must_fail("a lost frame", || check_cut_off(&tampered));
    }
    assert_eq!(server.metric("fanfare_slow_consumers_total"), 1.0);
    assert_eq!(server.metric("fanfare_connections_closed_total{code=\"1013\"}"), 1.0);
    // Coming back with `since` it gets the rest.
    let since = json!({ "epoch": publisher.subscribe("t")["epoch"], "offset": count - 10 });
    let ack = publisher.call(json!({ "type": "unsubscribe", "topic": "t" }));
    assert_eq!(ack["type"], "ack");
    let ack = publisher.call(json!({ "type": "subscribe", "topic": "t", "since": since }));
    assert_eq!(ack["recovered"], true, "{ack}");
    for n in count - 10..count {
        assert_eq!(number(&publisher.hear_type("event")), n);
    }
}

#[test]
fn drop_oldest_counts_exactly_what_is_missing() {
    let settings = [
        ("limits.queue_messages", "16"),
        ("topics.backpressure", "drop_oldest"),
        ("ws.write_timeout", "60s"),
    ];
    let server = start(&settings);
    let mut slow = narrow(&server);
    slow.subscribe("t");
    let mut publisher = Client::connect(server.addr());
    let mut total = 0;
    for _ in 0..3 {
        let first = total;
        // Publishes until something was dropped, then lets it read everything.
        let before = server.stats()["messages"]["dropped"].as_u64().unwrap();
        eventually("something is dropped", Duration::from_secs(60), || {
            (0..50).for_each(|n| drop(publisher.publish("t", payload(total + n))));
            total += 50;
            (server.stats()["messages"]["dropped"].as_u64() > Some(before + 20)).then_some(())
        });
        publisher.publish("t", payload(total));
        total += 1;
        let mut frames = Vec::new();
        while frames.last().is_none_or(|f: &Value| f["type"] != "event" || number(f) != total - 1) {
            frames.push(slow.hear());
        }
        let (_, told) = check_dropping(&frames, total - first);
        let counted = server.stats()["messages"]["dropped"].as_u64().unwrap() - before;
        assert_eq!(told, counted, "told and counted");
        for lost in [0, frames.len() / 2, frames.iter().position(|f| f["type"] == "info").unwrap()] {
            let mut tampered = frames.clone();
            tampered.remove(lost);
            must_fail("a lost frame", || check_dropping(&tampered, total - first));
        }
    }
    assert_eq!(server.metric("fanfare_slow_consumers_total"), 0.0);
}

#[test]
fn the_topic_that_overflows_decides() {
    let rules = r#"[{"pattern":"loose*","backpressure":"drop_oldest"},{"pattern":"strict*","backpressure":"disconnect"}]"#;
    let settings = [("topics.rules", rules), ("limits.queue_messages", "16"), ("ws.write_timeout", "60s")];
    let server = start(&settings);
    let mut both = narrow(&server);
    let mut publisher = Client::connect(server.addr());
    let mut keeper = Client::connect(server.addr());
    for topic in ["loose", "strict"] {
        both.subscribe(topic);
    }
    // Loose events beyond any queue: allowed.
    eventually("loose events are dropped", Duration::from_secs(60), || {
        (0..50).for_each(|n| assert_eq!(publisher.publish("loose", payload(n))["delivered"], 1));
        (server.stats()["messages"]["dropped"].as_u64() > Some(100)).then_some(())
    });
    // Strict ones first take the loose ones' places, then the connection ends.
    keeper.subscribe("strict");
    let mut strict = 0;
    while publisher.publish("strict", payload(strict))["delivered"] == 2 {
        strict += 1;
        assert!(strict < 3000);
    }
    assert!(strict >= 15, "only {strict} strict events fitted: loose ones stood in the way");
    let (texts, code) = remains(&mut both);
    assert_eq!(code, Some(1013));
    assert_eq!(texts.last().unwrap()["code"], "SLOW_CONSUMER");
    for n in 0..=strict {
        assert_eq!(number(&keeper.hear_type("event")), n, "who reads gets everything");
    }
}

#[test]
fn json_rpc_reports_the_same() {
    let rules = r#"[{"pattern":"loose","backpressure":"drop_oldest"}]"#;
    let server =
        start(&[("limits.queue_messages", "8"), ("topics.rules", rules), ("ws.write_timeout", "60s")]);
    let mut slow = Raw::upgrade(Endpoint::from(server.addr()).narrow(), &Request::upgrade("/rpc"));
    assert_eq!(slow.hear()["method"], "session.welcome");
    for topic in ["loose", "strict"] {
        slow.say(&json!({ "jsonrpc": "2.0", "id": topic, "method": "topic.subscribe", "params": { "topic": topic } }));
        assert_eq!(slow.hear()["id"], topic);
    }
    let mut publisher = Client::connect(server.addr());
    let mut total = 0;
    eventually("something is dropped", Duration::from_secs(60), || {
        (0..50).for_each(|n| drop(publisher.publish("loose", payload(total + n))));
        total += 50;
        (server.stats()["messages"]["dropped"].as_u64() > Some(20)).then_some(())
    });
    let (mut events, mut told) = (0, 0);
    while events + told < total as u64 {
        let note = slow.hear();
        match note["method"].as_str() {
            Some("topic.event") => events += 1,
            Some("server.info") if note["params"]["code"] == "MESSAGES_DROPPED" => {
                told += note["params"]["count"].as_u64().unwrap();
            }
            _ => panic!("{note}"),
        }
    }
    assert!(told > 0 && events + told == total as u64);
    let strict = json!({ "type": "publish", "topic": "strict", "payload": payload(0) });
    eventually("it is cut off", PATIENCE, || {
        (publisher.call(strict.clone())["type"] == "error").then_some(())
    });
    let (texts, code) = remains(&mut slow);
    let last = texts.last().unwrap();
    assert_eq!((&last["method"], &last["params"]["code"]), (&json!("server.error"), &json!("SLOW_CONSUMER")));
    assert_eq!(code, Some(1013));
}

#[test]
fn a_message_larger_than_any_queue_reaches_readers() {
    let settings = [("limits.max_message_bytes", "16MiB"), ("topics.history_topic_bytes", "64MiB")];
    let server = start(&settings);
    let (mut raw, mut client) = (Raw::open(server.addr()), Client::connect(server.addr()));
    raw.subscribe("t");
    client.subscribe("t");
    for n in 1..=3 {
        let huge = format!("{n}{}", "y".repeat(8 << 20));
        client.publish("t", json!(huge));
        assert!(client.hear_type("event")["payload"] == huge.as_str(), "8 MiB through a queue of 1 MiB");
        assert_eq!(raw.hear_type("event")["offset"], n);
    }
}

#[test]
fn replies_are_never_lost_however_many_wait() {
    const PINGS: usize = 100_000;
    let server = start(&[("ws.write_timeout", "60s"), ("ws.read_timeout", "120s")]);
    let mut ws = narrow(&server);
    let pad = "p".repeat(100);
    let sent = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sent, mut writer) = (&sent, ws.stream.writer());
        writer.set_write_timeout(None).unwrap();
        scope.spawn(move || {
            for first in (0..PINGS).step_by(500) {
                let frames: Vec<u8> = (first..first + 500)
                    .flat_map(|n| {
                        Frame::text(json!({ "type": "ping", "request_id": format!("{n} {pad}") }).to_string())
                            .encode()
                    })
                    .collect();
                writer.write_all(&frames).unwrap();
                sent.store(first + 500, Ordering::SeqCst);
            }
        });
        // Nobody reads: the server stops to read, too, and the writer stands still.
        let mut last = (0, std::time::Instant::now());
        eventually("the server stops reading", Duration::from_secs(60), || {
            let now = sent.load(Ordering::SeqCst);
            if now != last.0 {
                last = (now, std::time::Instant::now());
            }
            (now > 0 && last.1.elapsed() > Duration::from_secs(1)).then_some(())
        });
        assert!(sent.load(Ordering::SeqCst) < PINGS, "everything was read though no answer could leave");
        let queued = server.metric("fanfare_outbox_bytes");
        assert!(queued < f64::from(2 << 20), "{queued} bytes are queued for one connection");
        Client::connect(server.addr()).call(json!({ "type": "ping" }));
        for n in 0..PINGS {
            let pong = ws.hear();
            assert_eq!(pong["type"], "pong");
            let id = pong["request_id"].as_str().unwrap();
            assert_eq!(id.split(' ').next(), Some(n.to_string().as_str()), "in order, none lost");
        }
    });
    ws.expect_alive();
}
