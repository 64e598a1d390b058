use super::{CAPACITY, LoginGuard};
use std::net::{IpAddr, Ipv6Addr};

const T: u64 = 1_780_000_000_000;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn fail(guard: &LoginGuard, times: usize, ip: IpAddr, at: u64) {
    for _ in 0..times {
        guard.failed("alice", ip, at);
    }
}

#[test]
fn five_are_free_then_one_second_doubling_to_fifteen_minutes() {
    let (guard, here) = (LoginGuard::new(), ip("192.0.2.1"));
    fail(&guard, 4, here, T);
    assert_eq!(guard.check("alice", here, T), Ok(()));
    let mut now = T;
    for expected in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
        guard.failed("alice", here, now);
        assert_eq!(guard.check("alice", here, now), Err(expected * 1000));
        assert_eq!(guard.check("alice", here, now + expected * 1000 - 1), Err(1));
        now += expected * 1000;
        assert_eq!(guard.check("alice", here, now), Ok(()));
    }
}

#[test]
fn it_is_per_account_and_network() {
    let (guard, here) = (LoginGuard::new(), ip("2001:db8::1"));
    fail(&guard, 6, here, T);
    assert!(guard.check("alice", ip("2001:db8::ffff"), T).is_err(), "the same /64");
    assert_eq!(guard.check("alice", ip("2001:db8:0:1::1"), T), Ok(()));
    assert_eq!(guard.check("bob", here, T), Ok(()));
    fail(&guard, 6, ip("192.0.2.1"), T);
    assert!(guard.check("alice", ip("::ffff:192.0.2.1"), T).is_err(), "IPv4 mapped into IPv6 is IPv4");
    assert_eq!(guard.check("alice", ip("192.0.2.2"), T), Ok(()));
}

#[test]
fn success_and_time_forgive() {
    let (guard, here) = (LoginGuard::new(), ip("192.0.2.1"));
    fail(&guard, 9, here, T);
    guard.succeeded("alice", here, T);
    assert_eq!(guard.check("alice", here, T), Ok(()));
    fail(&guard, 6, here, T);
    assert!(guard.check("alice", here, T).is_err(), "known is not above the law");
    guard.failed("alice", here, T + 3_600_000);
    assert_eq!(
        guard.check("alice", here, T + 3_600_000),
        Ok(()),
        "an hour later it is the first failure again"
    );
}

#[test]
fn many_networks_slow_all_but_the_known_ones() {
    let (guard, home) = (LoginGuard::new(), ip("198.51.100.7"));
    guard.succeeded("alice", home, T);
    for n in 0..60u128 {
        guard.failed("alice", IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | n << 64)), T);
    }
    let stranger = ip("203.0.113.9");
    assert_eq!(guard.check("alice", stranger, T), Err(30_000), "never longer than half a minute");
    assert_eq!(guard.check("alice", home, T), Ok(()));
    assert_eq!(guard.check("bob", stranger, T), Ok(()));
    assert_eq!(guard.check("alice", stranger, T + 30_000), Ok(()));
}

#[test]
fn memory_is_bounded_and_the_newest_stay() {
    let (guard, here) = (LoginGuard::new(), ip("192.0.2.1"));
    for n in 0..(CAPACITY as u64) {
        guard.failed(&format!("user{n}"), here, T + n);
    }
    fail(&guard, 6, here, T + CAPACITY as u64);
    assert!(guard.counts.lock().len() <= CAPACITY);
    assert!(guard.check("alice", here, T + CAPACITY as u64).is_err());
}

#[test]
fn a_clock_set_back_does_no_harm() {
    let (guard, here) = (LoginGuard::new(), ip("192.0.2.1"));
    fail(&guard, 6, here, T);
    assert!(guard.check("alice", here, T - 1000).is_err());
    guard.failed("alice", here, T - 5000);
    assert_eq!(guard.check("alice", here, T), Ok(()));
}
