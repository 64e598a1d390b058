//! The generator against a small server of the typed dialect that makes one kind of mistake: each must be reported as
//! such.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use clap::{Args as _, FromArgMatches as _};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::BenchArgs;
use super::report::Report;

/// The mistake the server makes with every fifth publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    Lose,
    Repeat,
    /// Delivers it after the next one.
    Swap,
    /// Responds with an error, delivers nothing.
    Refuse,
    /// Ends the publisher's connection.
    HangUp,
}

struct Fake {
    mistake: Mistake,
    subscribers: Mutex<HashMap<String, Vec<mpsc::UnboundedSender<String>>>>,
    published: AtomicU64,
    held_back: Mutex<Option<(String, String)>>,
}

impl Fake {
    /// Serves on a thread of its own until the test process ends.
    fn start(mistake: Mistake) -> SocketAddrV4 {
        let fake = Arc::new(Self {
            mistake,
            subscribers: Mutex::default(),
            published: AtomicU64::new(0),
            held_back: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("bound to IPv4") };
        std::thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    tokio::spawn(Arc::clone(&fake).serve(socket));
                }
            });
        });
        address
    }

    async fn serve(self: Arc<Self>, socket: TcpStream) {
        let mut path = String::new();
        #[allow(clippy::result_large_err, reason = "the signature is the library's")]
        let callback = |request: &Request, response: Response| {
            path = request.uri().path().to_owned();
            Ok(response)
        };
        // Connections that only probe the port end here.
        let Ok(socket) = accept_hdr_async(socket, callback).await else { return };
        let (mut sink, mut stream) = socket.split();
        let (out, mut frames) = mpsc::unbounded_channel::<String>();
        let welcome = if path == "/rpc" {
            json!({"jsonrpc":"2.0","method":"session.welcome","params":{}})
        } else {
            json!({"type":"welcome"})
        };
        out.send(welcome.to_string()).unwrap();
        loop {
            tokio::select! {
                Some(frame) = frames.recv() => {
                    if sink.send(Message::text(frame)).await.is_err() {
                        return;
                    }
                }
                message = stream.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        if !self.command(&serde_json::from_str(&text).unwrap(), &out) {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
            }
        }
    }

    /// Handles a command; returns whether the connection continues.
    fn command(&self, frame: &Value, out: &mpsc::UnboundedSender<String>) -> bool {
        let topic = frame["topic"].as_str().unwrap_or_default();
        let reply = match frame["type"].as_str() {
            Some("subscribe") => {
                self.subscribers.lock().unwrap().entry(topic.into()).or_default().push(out.clone());
                json!({"type":"ack","for":"subscribe","topic":topic,"epoch":"e","offset":0})
            }
            Some("publish") => {
                let fifth = self.published.fetch_add(1, Ordering::Relaxed) % 5 == 4;
                match self.mistake {
                    Mistake::HangUp if fifth => return false,
                    Mistake::Refuse if fifth => {
                        json!({"type":"error","code":"RATE_LIMITED","message":"slow down"})
                    }
                    mistake => {
                        self.publish(topic, &frame["payload"], if fifth { mistake } else { Mistake::None });
                        json!({"type":"ack","for":"publish","topic":topic,"id":"i","offset":1,"delivered":1})
                    }
                }
            }
            Some("ping") => json!({"type":"pong","timestamp":"now","request_id":frame["request_id"]}),
            _ => json!({"jsonrpc":"2.0","id":frame["id"],"result":{"msg":frame["params"]["msg"]}}),
        };
        out.send(reply.to_string()).is_ok()
    }

    fn publish(&self, topic: &str, payload: &Value, mistake: Mistake) {
        let event =
            json!({"type":"event","topic":topic,"id":"i","offset":1,"payload":payload,"timestamp":"now"});
        match mistake {
            Mistake::Lose => return,
            Mistake::Swap => {
                *self.held_back.lock().unwrap() = Some((topic.into(), event.to_string()));
                return;
            }
            Mistake::Repeat => self.deliver(topic, &event.to_string()),
            _ => {}
        }
        self.deliver(topic, &event.to_string());
        if let Some((topic, event)) = self.held_back.lock().unwrap().take() {
            self.deliver(&topic, &event);
        }
    }

    fn deliver(&self, topic: &str, event: &str) {
        for subscriber in self.subscribers.lock().unwrap().get(topic).into_iter().flatten() {
            // A disconnected subscriber misses nothing.
            let _ = subscriber.send(event.to_owned());
        }
    }
}

/// Runs one mode against a server in this process.
fn bench(words: &str, address: SocketAddrV4) -> Result<Report, String> {
    let own = std::process::id();
    let line = format!("{words} --address {address} --pid {own}");
    let command = BenchArgs::augment_args(clap::Command::new("bench").no_binary_name(true));
    let args = BenchArgs::from_arg_matches(&command.get_matches_from(line.split_whitespace())).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    super::measure(&args.mode, &stop).map(|report| report.expect("every mode but sink has a report"))
}

fn figure(report: &Report, name: &str) -> f64 {
    report.figures[name].as_f64().unwrap_or_else(|| panic!("{name}: {:?}", report.figures[name]))
}

/// One topic, so that the order of its messages is the order of the publishes. A multiple of five messages each phase.
const ONE_TOPIC: &str = "fanout --subscribers 4 --rate 100 --warm 0.1 --seconds 0.5";

#[test]
fn a_faultless_server_gets_a_faultless_report() {
    let address = Fake::start(Mistake::None);
    for words in [
        "fanout --topics 3 --subscribers 4 --publishers 2 --rate 300 --warm 0.1 --seconds 0.3",
        "topics --topics 20 --subscribers 2 --publishers 3 --rate 500 --warm 0.1 --seconds 0.2",
        "maxrate --subscribers 5 --window 8 --warm 0.05 --seconds 0.1",
    ] {
        let report = bench(words, address).unwrap();
        assert!(!report.faulty, "{words}: {:?}", report.figures);
        let (expected, received) = (figure(&report, "expected"), figure(&report, "received"));
        assert!(expected > 0.0 && received == expected, "{words}: {:?}", report.figures);
        assert!(
            figure(&report, "cpu_s_per_million") > 0.0 && figure(&report, "wire_bytes_per_delivery") > 128.0
        );
        let (p50, p99, max) =
            (figure(&report, "p50_us"), figure(&report, "p99_us"), figure(&report, "max_us"));
        assert!(p50 > 0.0 && p50 <= p99 && p99 <= max, "{words}: {:?}", report.figures);
    }
    let fan =
        bench("fanout --topics 3 --subscribers 4 --rate 300 --warm 0.1 --seconds 0.3", address).unwrap();
    assert_eq!(figure(&fan, "expected"), 90.0 * 4.0);
}

#[test]
fn requests_and_idle_connections_are_measured() {
    let address = Fake::start(Mistake::None);
    for (words, mode) in [
        ("echo --connections 3 --depth 4 --warm 0.05 --seconds 0.1", "echo"),
        ("echo --rpc --connections 3 --warm 0.05 --seconds 0.1", "rpc"),
    ] {
        let report = bench(words, address).unwrap();
        assert!(!report.faulty && figure(&report, "requests_per_s") > 0.0, "{words}: {:?}", report.figures);
        assert_eq!(report.figures["mode"], mode);
    }
    let report = bench("idle --connections 50 --topics 7 --hold 0.01", address).unwrap();
    assert_eq!((figure(&report, "connections"), report.faulty), (50.0, false));
}

#[test]
fn lost_messages_are_counted() {
    let report = bench(ONE_TOPIC, Fake::start(Mistake::Lose)).unwrap();
    let count = |name| figure(&report, name);
    assert_eq!((count("expected"), count("received"), count("lost")), (200.0, 160.0, 40.0));
    assert_eq!((count("repeated"), count("reordered"), report.faulty), (0.0, 0.0, true));
}

#[test]
fn repeated_messages_are_counted_once_as_received() {
    let report = bench(ONE_TOPIC, Fake::start(Mistake::Repeat)).unwrap();
    let count = |name| figure(&report, name);
    assert_eq!((count("received"), count("lost"), report.faulty), (200.0, 0.0, true));
    // The last repeat may arrive after the last delivery that was awaited.
    assert!((36.0..=40.0).contains(&count("repeated")), "{:?}", report.figures);
}

#[test]
fn reordered_messages_are_not_lost_ones() {
    // Every fifth publish is held back until the next; after 13 of warm-up no phase ends with one.
    let report =
        bench("fanout --subscribers 4 --rate 100 --warm 0.13 --seconds 0.5", Fake::start(Mistake::Swap))
            .unwrap();
    let count = |name| figure(&report, name);
    assert_eq!((count("received"), count("lost"), count("reordered")), (200.0, 0.0, 40.0));
    assert_eq!((count("repeated"), report.faulty), (0.0, true));
}

#[test]
fn refusals_and_broken_connections_make_a_run_faulty() {
    let report = bench(ONE_TOPIC, Fake::start(Mistake::Refuse)).unwrap();
    assert_eq!((figure(&report, "refused"), figure(&report, "lost")), (10.0, 40.0));
    assert!(report.faulty);

    let report = bench(ONE_TOPIC, Fake::start(Mistake::HangUp)).unwrap();
    assert_eq!((figure(&report, "errors"), report.faulty), (1.0, true));
    assert!(
        report.figures["first_error"].as_str().is_some_and(|reason| !reason.is_empty()),
        "{:?}",
        report.figures
    );
}

#[test]
fn a_signal_ends_a_run() {
    let address = Fake::start(Mistake::None);
    let command = BenchArgs::augment_args(clap::Command::new("bench").no_binary_name(true));
    let line = format!("echo --seconds 600 --address {address} --pid {}", std::process::id());
    let args = BenchArgs::from_arg_matches(&command.get_matches_from(line.split(' '))).unwrap();
    let stop = Arc::new(AtomicBool::new(true));
    assert_eq!(super::measure(&args.mode, &stop).err().as_deref(), Some("interrupted"));
}
