//! A million detached sessions stay under 300 MB (`protocol.md` 6 and the design's memory target), measured as what the
//! process really grew by. A binary of its own, so that nothing else allocates meanwhile.

use fanfare_core::session::{SessionLimits, Sessions};

/// Resident bytes of this process.
#[cfg(target_os = "linux")]
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<usize>().ok()? * 4096)
}

#[cfg(target_os = "linux")]
#[test]
fn a_detached_session_costs_less_than_300_bytes() {
    let n: usize = if cfg!(debug_assertions) { 250_000 } else { 1_000_000 };
    let limits = SessionLimits {
        ttl_ms: 1000,
        detached_ttl_ms: 1000,
        max: 2 * n,
        max_data_bytes: 10,
        data_total_bytes: 0,
    };
    let before = resident().expect("statm");
    let sessions = Sessions::new(limits, &[1; 32]);
    let start = std::time::Instant::now();
    for _ in 0..n {
        sessions.open(None, 1).expect("room");
    }
    let each = (resident().expect("statm") - before) / n;
    println!("{n} detached sessions: {each} bytes each, {:?} per open", start.elapsed() / n as u32);
    assert_eq!(sessions.len(), n);
    assert!(each < 300, "{each} bytes each");
}
