//! Measures the registry's time for a small call and prints it; the bound is generous, to catch only gross regressions.

mod support;

use fanfare_rpc::{Outcome, dispatch};
use std::time::{Duration, Instant};

#[test]
fn an_echo_takes_microseconds() {
    let registry = support::registry();
    let mut caller = support::Fake::default();
    let text = support::request("test.echo", &format!(r#"{{"msg":"{}"}}"#, "x".repeat(120)));
    let mut out = Vec::with_capacity(1024);
    let rounds = if cfg!(debug_assertions) { 2_000 } else { 500_000 };
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..rounds {
            out.clear();
            assert!(matches!(dispatch(&registry, &mut caller, &text, 100, &mut out), Outcome::Answered));
        }
        best = best.min(start.elapsed() / rounds);
    }
    println!("test.echo with 120 bytes: {best:?} a call");
    assert!(best < Duration::from_micros(if cfg!(debug_assertions) { 500 } else { 20 }));
}
