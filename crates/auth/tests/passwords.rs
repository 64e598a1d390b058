//! The hasher's public interface: known hashes, the bound of its queue, and that it never blocks an async thread.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use fanfare_auth::password::{Busy, Cost, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Cheap, for tests of everything but the cost.
const CHEAP: Cost = Cost { memory_kib: 64, passes: 1 };
/// Slow enough that a queue builds up.
const SLOW: Cost = Cost { memory_kib: 19_456, passes: 4 };
const PASSWORD: &str = "correct horse battery staple";
/// Made by argon2-cffi 25 (the reference implementation).
const FOREIGN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$gy5SuVm5Z7Vw7keB9se9p87QGcomaseB/S2U1OhTsM0";
const FOREIGN_CHEAPER: &str =
    "$argon2id$v=19$m=8192,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$E00YDK579zCFKHdylDWWbt4Db/32fqyFEYPCGpqFXXw";

/// RFC 9106 section 5.3.
#[test]
fn rfc_9106_argon2id() {
    let mut params = ParamsBuilder::new();
    params.m_cost(32).t_cost(3).p_cost(4).data(AssociatedData::new(&[4; 12]).unwrap());
    let argon =
        Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params.build().unwrap())
            .unwrap();
    let mut tag = [0; 32];
    argon.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
    let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(tag, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
}

#[tokio::test]
async fn hashes_of_the_reference_implementation_are_verified() {
    let hasher = Hasher::new(1, 32);
    for (phc, rehash) in [(FOREIGN, false), (FOREIGN_CHEAPER, true)] {
        let right = hasher.verify(PASSWORD.into(), Some(phc.into())).await.unwrap();
        assert!(right.ok && right.rehash == rehash, "{phc}");
        let wrong = hasher.verify(format!("{PASSWORD} "), Some(phc.into())).await.unwrap();
        assert!(!wrong.ok && !wrong.rehash);
    }
}

#[tokio::test]
async fn a_hash_is_salted_and_verifies() {
    let hasher = Hasher::new(2, 32);
    let (a, b) = tokio::join!(hasher.hash(PASSWORD.into()), hasher.hash(PASSWORD.into()));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && a != b);
    let found = hasher.verify(PASSWORD.into(), Some(a)).await.unwrap();
    assert!(found.ok && !found.rehash);
}

#[tokio::test]
async fn no_account_and_garbage_never_match() {
    let hasher = Hasher::with_cost(1, 32, CHEAP).unwrap();
    for phc in [
        None,
        Some(""),
        Some("$argon2id$"),
        Some("plain"),
        Some("$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA"),
    ] {
        for password in ["", PASSWORD, "\0"] {
            let found = hasher.verify(password.into(), phc.map(Into::into)).await.unwrap();
            assert!(!found.ok && !found.rehash, "{phc:?}");
        }
    }
    assert!(Hasher::with_cost(1, 32, Cost { memory_kib: 1, passes: 1 }).is_err());
    assert!(Hasher::with_cost(1, 32, Cost { memory_kib: 64, passes: 0 }).is_err());
}

/// A name without an account must not be rejected sooner. Medians, because other tests run in parallel.
#[tokio::test]
async fn an_unknown_account_takes_as_long_as_a_known_one() {
    let hasher = Hasher::new(1, 32);
    let mut took = [vec![], vec![]];
    for _ in 0..9 {
        for (phc, took) in [Some(FOREIGN), None].into_iter().zip(&mut took) {
            let begun = Instant::now();
            assert!(!hasher.verify("wrong".into(), phc.map(Into::into)).await.unwrap().ok);
            took.push(begun.elapsed());
        }
    }
    let [known, unknown] = took.map(|mut all| {
        all.sort();
        all[all.len() / 2].as_secs_f64()
    });
    assert!((0.5..2.0).contains(&(unknown / known)), "{unknown} {known}");
}

/// One running and two in the queue: of ten at once at least seven are refused, and at once.
#[tokio::test]
async fn the_queue_is_bounded() {
    let hasher = Hasher::with_cost(1, 2, SLOW).unwrap();
    let begun = Instant::now();
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let hasher = hasher.clone();
            tokio::spawn(async move { (hasher.hash(PASSWORD.into()).await, begun.elapsed()) })
        })
        .collect();
    let (mut done, mut busy) = (vec![], vec![]);
    for task in tasks {
        match task.await.unwrap() {
            (Ok(_), took) => done.push(took),
            (Err(Busy), took) => busy.push(took),
        }
    }
    assert!((2..=3).contains(&done.len()), "{done:?}");
    assert!(busy.iter().max() < done.iter().min(), "refused callers do not wait: {busy:?} {done:?}");
    assert!(hasher.hash(PASSWORD.into()).await.is_ok(), "and later it works again");
}

/// On a runtime with one thread, a timer keeps its time while passwords are hashed.
#[tokio::test(flavor = "current_thread")]
async fn the_async_thread_is_not_blocked() {
    let hasher = Hasher::with_cost(2, 32, SLOW).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let ticks = Arc::new(AtomicU32::new(0));
    let (stop, count) = (Arc::clone(&over), Arc::clone(&ticks));
    let ticker = tokio::spawn(async move {
        while !stop.load(SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
            count.fetch_add(1, SeqCst);
        }
    });
    for _ in 0..5 {
        hasher.hash(PASSWORD.into()).await.unwrap();
    }
    over.store(true, SeqCst);
    ticker.await.unwrap();
    // A blocked thread would have ticked about once per hash.
    assert!(ticks.load(SeqCst) >= 25, "{ticks:?}");
}

/// A login whose client has disconnected costs nothing: its job is skipped after the running one.
#[tokio::test]
async fn jobs_of_dropped_callers_are_skipped() {
    let hasher = Hasher::with_cost(1, 32, SLOW).unwrap();
    let one = {
        let begun = Instant::now();
        hasher.hash(PASSWORD.into()).await.unwrap();
        begun.elapsed()
    };
    for _ in 0..30 {
        let gone = tokio::time::timeout(Duration::ZERO, hasher.hash(PASSWORD.into())).await;
        assert!(gone.is_err());
    }
    let begun = Instant::now();
    hasher.hash(PASSWORD.into()).await.unwrap();
    assert!(begun.elapsed() < one * 10, "{:?} for one, {:?} behind thirty that left", one, begun.elapsed());
}
