//! When keys are fetched, trusted and dropped: on a stopped clock, with a closure as the key server.

use super::{IssuerError, Key, Kind, Source};
use ed25519_dalek::SigningKey;
use fanfare_e2ee::b64;
use hyper::body::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

#[derive(Default)]
struct Server {
    /// The set's key ids; `None` is an outage.
    kids: Option<Vec<&'static str>>,
    takes: Duration,
    began: Vec<Instant>,
    most_at_once: usize,
    at_once: usize,
}

type Shared = Arc<Mutex<Server>>;

fn set(kids: &[&str]) -> Bytes {
    let keys: Vec<_> = kids
        .iter()
        .map(|kid| {
            let mut seed = [0; 32];
            seed[..kid.len()].copy_from_slice(kid.as_bytes());
            let x = b64::encode(SigningKey::from_bytes(&seed).verifying_key().as_bytes());
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA"})
        })
        .collect();
    json!({"keys": keys}).to_string().into()
}

fn served(kids: &[&'static str]) -> (Source, Shared) {
    let server = Shared::default();
    server.lock().kids = Some(kids.to_vec());
    let there = Arc::clone(&server);
    let source = Source::new(Arc::new(move || {
        let there = Arc::clone(&there);
        Box::pin(async move {
            let takes = {
                let mut server = there.lock();
                server.began.push(Instant::now());
                server.at_once += 1;
                server.most_at_once = server.most_at_once.max(server.at_once);
                server.takes
            };
            sleep(takes).await;
            let mut server = there.lock();
            server.at_once -= 1;
            server.kids.as_deref().map(set).ok_or_else(|| "down".into())
        })
    }));
    (source, server)
}

async fn find(source: &Source, kid: &str) -> Result<usize, IssuerError> {
    source.find(Some(kid), Kind::EdDsa).await.map(|keys: Vec<Key>| keys.len())
}

fn fetches(server: &Shared) -> usize {
    server.lock().began.len()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_it_is_needed_and_then_once() {
    let (source, server) = served(&["a"]);
    advance(Duration::from_secs(100)).await;
    assert_eq!(fetches(&server), 0);
    server.lock().takes = Duration::from_secs(1);
    let all = (0..50).map(|_| find(&source, "a"));
    for found in futures(all).await {
        assert_eq!(found, Ok(1));
    }
    assert_eq!((fetches(&server), server.lock().most_at_once), (1, 1), "50 callers share one fetch");
}

/// Runs all of them concurrently.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(move |cx| {
        for (one, done) in &mut all {
            if done.is_none()
                && let std::task::Poll::Ready(value) = one.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if all.iter().all(|(_, done)| done.is_some()) {
            return std::task::Poll::Ready(all.iter_mut().filter_map(|(_, done)| done.take()).collect());
        }
        std::task::Poll::Pending
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_and_fetches_are_limited_to_one_per_5_s() {
    let (source, server) = served(&["a"]);
    assert_eq!(find(&source, "a").await, Ok(1));
    server.lock().kids = Some(vec!["a", "b"]);
    for _ in 0..49 {
        advance(Duration::from_millis(100)).await;
        assert_eq!(find(&source, "b").await, Ok(0), "not within 5 s of the last fetch");
    }
    assert_eq!(fetches(&server), 1);
    advance(Duration::from_millis(100)).await;
    assert_eq!(find(&source, "b").await, Ok(1));
    for n in 0..1000 {
        advance(Duration::from_millis(100)).await;
        assert_eq!(find(&source, &format!("made-up-{n}")).await, Ok(0));
    }
    let began = server.lock().began.clone();
    assert!(began.windows(2).all(|two| two[1] - two[0] >= Duration::from_secs(5)), "{began:?}");
    assert!(began.len() <= 2 + 20);
}

/// For any request rate and any latency of the key server.
#[tokio::test(start_paused = true)]
async fn a_withdrawn_key_dies_within_20_s() {
    for (takes, every) in [(0, 100), (0, 4900), (0, 19_000), (2900, 100), (2900, 6000), (2900, 16_000)] {
        let (source, server) = served(&["a", "b"]);
        server.lock().takes = Duration::from_millis(takes);
        assert_eq!(find(&source, "a").await, Ok(1));
        server.lock().kids = Some(vec!["b"]);
        let withdrawn = Instant::now();
        loop {
            advance(Duration::from_millis(every)).await;
            let asked = withdrawn.elapsed();
            if find(&source, "a").await == Ok(0) {
                break;
            }
            assert!(asked < Duration::from_secs(20), "still valid after {asked:?} ({takes}, {every})");
        }
        assert_eq!(find(&source, "b").await, Ok(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_in_use_is_refreshed_in_advance_and_no_caller_waits() {
    let (source, server) = served(&["a"]);
    assert_eq!(find(&source, "a").await, Ok(1));
    server.lock().takes = Duration::from_secs(2);
    for _ in 0..600 {
        advance(Duration::from_millis(100)).await;
        let before = Instant::now();
        assert_eq!(find(&source, "a").await, Ok(1));
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
    assert!((4..=7).contains(&fetches(&server)), "about every ten seconds: {}", fetches(&server));
}

#[tokio::test(start_paused = true)]
async fn known_keys_stay_valid_for_an_hour_of_outage() {
    let (source, server) = served(&["a"]);
    assert_eq!(find(&source, "a").await, Ok(1));
    server.lock().kids = None;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3595) {
        advance(Duration::from_secs(7)).await;
        let expected = if began.elapsed() < Duration::from_secs(3600) { Ok(1) } else { break };
        assert_eq!(find(&source, "a").await, expected, "{:?}", began.elapsed());
        assert_eq!(find(&source, "b").await, Err(IssuerError::Unavailable), "unknown keys cannot be checked");
    }
    advance(Duration::from_secs(10)).await;
    assert_eq!(find(&source, "a").await, Err(IssuerError::Unavailable));
    server.lock().kids = Some(vec!["a"]);
    advance(Duration::from_secs(5)).await;
    assert_eq!(find(&source, "a").await, Ok(1), "recovers unaided");
}

#[tokio::test(start_paused = true)]
async fn down_at_the_start_then_up() {
    let (source, server) = served(&["a"]);
    server.lock().kids = None;
    assert_eq!(find(&source, "a").await, Err(IssuerError::Unavailable));
    server.lock().kids = Some(vec!["a"]);
    advance(Duration::from_secs(1)).await;
    assert_eq!(find(&source, "a").await, Err(IssuerError::Unavailable));
    assert_eq!(fetches(&server), 1);
    advance(Duration::from_secs(4)).await;
    assert_eq!(find(&source, "a").await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_caller_does_not_stop_the_fetch() {
    let (source, server) = served(&["a"]);
    server.lock().takes = Duration::from_secs(2);
    let gone = tokio::time::timeout(Duration::from_secs(1), find(&source, "a")).await;
    assert!(gone.is_err());
    assert_eq!(find(&source, "a").await, Ok(1));
    assert_eq!(fetches(&server), 1);
}

#[tokio::test(start_paused = true)]
async fn an_emptied_set_withdraws_all_and_garbage_withdraws_none() {
    for (body, left) in
        [(r#"{"keys":[]}"#, Ok(0)), ("<html>", Ok(1)), ("{}", Ok(1)), (r#"{"keys":{}}"#, Ok(1))]
    {
        let bodies = Mutex::new(vec![Bytes::from(body), set(&["a"])]);
        let source = Source::new(Arc::new(move || {
            let body = bodies.lock().pop().ok_or_else(|| "no more".to_owned());
            Box::pin(async move { body })
        }));
        assert_eq!(find(&source, "a").await, Ok(1));
        advance(Duration::from_secs(16)).await;
        assert_eq!(find(&source, "a").await, left, "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_kid_exactly_one_key_must_match() {
    let (one, _) = served(&["a"]);
    assert_eq!(one.find(None, Kind::EdDsa).await.map(|keys| keys.len()), Ok(1));
    assert_eq!(
        one.find(Some("a"), Kind::Es256).await.map(|keys| keys.len()),
        Ok(0),
        "the key decides the algorithm"
    );
    let (two, _) = served(&["a", "b"]);
    assert_eq!(two.find(None, Kind::EdDsa).await.map(|keys| keys.len()), Ok(0));
}

/// Issue 10, entry 1: no name in an issuer's document has a special meaning, and depth is bounded.
#[test]
fn a_key_set_has_no_magic_names_and_a_bound_of_depth() {
    let valid = String::from_utf8(set(&["a"]).to_vec()).unwrap();
    assert_eq!(super::parse(valid.as_bytes()).unwrap().len(), 1);
    let keys = serde_json::from_str::<serde_json::Value>(&valid).unwrap()["keys"].to_string();
    let magic = json!({ "keys": { "$serde_json::private::RawValue": keys } }).to_string();
    assert!(super::parse(magic.as_bytes()).is_none());
    let magic = json!({ "keys": [{ "$serde_json::private::RawValue": valid }] }).to_string();
    assert!(super::parse(magic.as_bytes()).unwrap().is_empty());
    let deep = |n: usize| format!(r#"{{"keys":[],"x":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(super::parse(deep(100).as_bytes()).is_some());
    assert!(super::parse(deep(100_000).as_bytes()).is_none());
}
