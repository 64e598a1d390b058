//! The rules of `protocol.md` 6 "Sessions", one by one.
//!
//! Longer than most: a rule is a test.

use super::*;
use crate::model::ErrorCode;
use proptest::prelude::*;
use std::collections::HashMap;

const LIMITS: SessionLimits = SessionLimits {
    ttl_ms: 86_400_000,
    detached_ttl_ms: 120_000,
    max: 1_000_000,
    max_data_bytes: 65_536,
    data_total_bytes: 1 << 28,
};
const T0: u64 = 1_700_000_000_000;
const KEY: [u8; 32] = [7; 32];
const GUESS: ResumeRefused = ResumeRefused { counted: true, unsealed: true, revoked: None };
const FOREIGN: ResumeRefused = ResumeRefused { unsealed: false, ..GUESS };
const GONE: ResumeRefused = ResumeRefused { counted: false, ..GUESS };

fn sessions() -> Sessions {
    Sessions::new(LIMITS, &KEY)
}

fn limited(change: impl FnOnce(&mut SessionLimits)) -> Sessions {
    let mut limits = LIMITS;
    change(&mut limits);
    Sessions::new(limits, &KEY)
}

fn resume(s: &Sessions, code: SessionCode, token: &str, now: u64) -> Result<Resumed, ResumeRefused> {
    s.resume(Resume { code: &code.to_string(), token, user: None }, now)
}

/// Opens a session and gives it a socket.
fn attached(s: &Sessions, addr: u64) -> Opened {
    let o = s.open(None, T0).unwrap();
    assert_eq!(s.attach(o.code, o.generation, ConnAddr(addr), T0), Attach::Attached { replaced: None });
    o
}

#[test]
fn a_resumed_session_is_the_same_one_with_a_new_token() {
    let s = sessions();
    let o = attached(&s, 1);
    s.set(o.code, "colour", "\"green\"", T0 + 5).unwrap();
    assert!(s.detach(o.code, ConnAddr(1), T0 + 10));
    let upper = o.code.to_string().to_uppercase();
    let r = s.resume(Resume { code: &upper, token: &o.token, user: None }, T0 + 20).unwrap();
    assert_eq!((r.code, r.previous), (o.code, None));
    assert_ne!(r.token, o.token);
    assert_eq!(s.get(r.code, "colour", T0 + 20).as_deref(), Some("\"green\""));
    let info = s.info(r.code, T0 + 21).unwrap();
    assert_eq!((info.created_at, info.last_seen), (T0, T0 + 20));
}

#[test]
fn guesses_are_refused_alike_and_hurt_nobody() {
    let s = sessions();
    let (one, two) = (s.open(None, T0).unwrap(), s.open(None, T0).unwrap());
    let wrong =
        format!("{}{}", &one.token[..one.token.len() - 1], if one.token.ends_with('A') { 'B' } else { 'A' });
    let unknown = Resume { code: "no-such-1", token: &one.token, user: None };
    assert_eq!(s.resume(unknown, T0).unwrap_err(), GUESS);
    assert_eq!(resume(&s, one.code, &wrong, T0).unwrap_err(), FOREIGN);
    assert_eq!(resume(&s, two.code, &one.token, T0).unwrap_err(), GUESS);
    assert_eq!(resume(&s, one.code, "", T0).unwrap_err(), FOREIGN);
    assert!(resume(&s, one.code, &one.token, T0).is_ok());
}

#[test]
fn a_sealed_token_of_a_session_that_is_gone_is_no_guess() {
    let s = sessions();
    let o = s.open(None, T0).unwrap();
    let after_restart = sessions();
    assert_eq!(resume(&after_restart, o.code, &o.token, T0).unwrap_err(), GONE);
    assert_eq!(resume(&s, o.code, &o.token, T0 + 120_000).unwrap_err(), GONE, "expired");
    s.end(o.code);
    assert_eq!(resume(&s, o.code, &o.token, T0).unwrap_err(), GONE, "ended");
}

#[test]
fn a_code_given_again_does_not_open_to_the_tokens_of_before() {
    let s = sessions();
    let o = s.open(None, T0).unwrap();
    s.end(o.code);
    let again = shard::Session::new(o.generation.life ^ 1, None, T0);
    assert!(s.insert_for_test(o.code, again, T0));
    assert_eq!(resume(&s, o.code, &o.token, T0).unwrap_err(), GONE);
    assert_eq!(s.attach(o.code, o.generation, ConnAddr(1), T0), Attach::Gone);
    assert_eq!(s.state(o.code, T0), SessionState::Detached, "the new one is untouched");
}

#[test]
fn the_previous_token_is_good_for_half_a_minute() {
    let s = sessions();
    let o = attached(&s, 1);
    resume(&s, o.code, &o.token, T0 + 1).unwrap();
    let retry = resume(&s, o.code, &o.token, T0 + 30_000).unwrap();
    let retry = resume(&s, o.code, &o.token, T0 + 59_999).map(|r| (r, retry)).unwrap();
    assert!(retry.0.generation.count > retry.1.generation.count, "each answer is newer");
    let late = resume(&s, o.code, &o.token, T0 + 59_999 + 30_000).unwrap_err();
    assert_eq!(late, ResumeRefused { revoked: Some(ConnAddr(1)), ..GUESS });
}

#[test]
fn an_older_token_ends_the_session() {
    let s = sessions();
    let first = attached(&s, 9);
    let second = resume(&s, first.code, &first.token, T0 + 1).unwrap();
    let third = resume(&s, first.code, &second.token, T0 + 2).unwrap();
    let refused = resume(&s, first.code, &first.token, T0 + 3).unwrap_err();
    assert_eq!(refused, ResumeRefused { revoked: Some(ConnAddr(9)), ..GUESS });
    assert_eq!(resume(&s, first.code, &third.token, T0 + 4).unwrap_err(), GONE);
    assert_eq!((s.state(first.code, T0 + 4), s.len()), (SessionState::Unknown, 0));
}

#[test]
fn the_newer_socket_wins_whichever_comes_first() {
    let s = sessions();
    let o = attached(&s, 1);
    let a = resume(&s, o.code, &o.token, T0 + 1).unwrap();
    let b = resume(&s, o.code, &o.token, T0 + 2).unwrap();
    assert_eq!((a.previous, b.previous), (Some(ConnAddr(1)), Some(ConnAddr(1))));
    let now = T0 + 3;
    assert_eq!(
        s.attach(o.code, b.generation, ConnAddr(3), now),
        Attach::Attached { replaced: Some(ConnAddr(1)) }
    );
    assert_eq!(s.attach(o.code, a.generation, ConnAddr(2), now), Attach::Superseded);
    assert_eq!(s.address(o.code), Some(ConnAddr(3)));
    assert!(!s.detach(o.code, ConnAddr(1), now), "the old socket's end does not take the new one's place");
    assert_eq!(s.state(o.code, now), SessionState::At(ConnAddr(3)));
}

#[test]
fn a_session_lives_as_long_as_its_kind() {
    let s = sessions();
    let bare = s.open(None, T0).unwrap();
    let kept = s.open(None, T0).unwrap();
    s.set(kept.code, "k", "1", T0).unwrap();
    let user = s.open(Some("u1"), T0).unwrap();
    let socket = attached(&s, 1);
    assert_eq!(s.sweep(T0 + 119_999, 100), 0);
    assert_eq!(s.sweep(T0 + 120_000, 100), 1);
    assert_eq!(s.state(bare.code, T0), SessionState::Unknown, "removed, not only hidden");
    for o in [&kept, &user] {
        assert_eq!(s.state(o.code, T0 + 86_399_999), SessionState::Detached);
    }
    assert_eq!(s.sweep(T0 + 86_400_000, 100), 2);
    assert_eq!(s.sweep(T0 + 1000 * 86_400_000, 100), 0, "a socket keeps its session");
    assert_eq!(s.state(socket.code, u64::MAX), SessionState::At(ConnAddr(1)));
}

#[test]
fn taking_the_last_value_away_makes_a_session_bare_again() {
    let s = sessions();
    let o = s.open(None, T0).unwrap();
    assert_eq!(s.set(o.code, "k", "[1]", T0).unwrap(), 4);
    assert_eq!(s.set(o.code, "k", "null", T0).unwrap(), 0);
    assert_eq!((s.get(o.code, "k", T0), s.all(o.code, T0)), (None, vec![]));
    assert_eq!(s.sweep(T0 + 120_000, 100), 1);
}

#[test]
fn a_use_renews_the_time_to_live() {
    let s = sessions();
    let o = s.open(None, T0).unwrap();
    s.touch(o.code, T0 + 119_999);
    assert_eq!(s.sweep(T0 + 120_001, 100), 0);
    assert_eq!(s.sweep(T0 + 239_999, 100), 1);
}

#[test]
fn a_sweep_looks_at_no_more_than_it_may_and_goes_on_later() {
    let s = sessions();
    for _ in 0..1000 {
        s.open(None, T0).unwrap();
    }
    let mut removed = vec![];
    while !s.is_empty() {
        removed.push(s.sweep(T0 + 120_000, 100));
    }
    assert!(removed.iter().all(|n| *n <= 100) && removed.len() < 30, "{removed:?}");
}

#[test]
fn at_the_limit_the_oldest_without_a_socket_goes_first() {
    let s = limited(|l| l.max = 4);
    let socket = attached(&s, 1);
    let kept = s.open(None, T0 + 1).unwrap();
    s.set(kept.code, "k", "1", T0 + 1).unwrap();
    let younger = s.open(None, T0 + 2).unwrap();
    let youngest = s.open(None, T0 + 3).unwrap();
    s.touch(younger.code, T0 + 4);
    let mut alive = vec![socket.code, kept.code, younger.code, youngest.code];
    for gone in [kept.code, youngest.code, younger.code] {
        let next = s.open(None, T0 + 5).unwrap();
        assert_eq!(
            s.attach(next.code, next.generation, ConnAddr(2), T0 + 5),
            Attach::Attached { replaced: None }
        );
        alive.retain(|c| *c != gone);
        assert_eq!(s.state(gone, T0 + 5), SessionState::Unknown);
        assert!(alive.iter().all(|c| s.state(*c, T0 + 5) != SessionState::Unknown));
        assert_eq!(s.len(), 4);
    }
    let refused = s.open(None, T0 + 6).unwrap_err();
    assert_eq!(refused.code, ErrorCode::LimitExceeded);
    assert_eq!(s.len(), 4);
}

#[test]
fn data_is_bounded_and_refusals_change_nothing() {
    let s = limited(|l| l.max_data_bytes = 20);
    let o = s.open(None, T0).unwrap();
    assert_eq!(s.set(o.code, "key", "\"0123456789\"", T0).unwrap(), 15);
    let refused = s.set(o.code, "more", "\"0123\"", T0).unwrap_err();
    assert_eq!(refused.code, ErrorCode::LimitExceeded);
    assert!(refused.message.contains("session.max_data_bytes"));
    assert_eq!(s.all(o.code, T0), vec![("key".into(), "\"0123456789\"".into())]);
    let empty = s.open(None, T0).unwrap();
    assert!(s.set(empty.code, "k", "\"01234567890123456789\"", T0).is_err());
    assert_eq!(s.sweep(T0 + 120_000, 100), 1, "a refused value did not make the session one with data");
    s.end(o.code);
    assert_eq!(s.set(o.code, "k", "1", T0).unwrap_err().code, ErrorCode::NotFound);
}

#[test]
fn a_login_gives_a_new_code_and_keeps_the_rest() {
    let s = sessions();
    let before = attached(&s, 5);
    s.set(before.code, "k", "1", T0).unwrap();
    let after = s.renew(before.code, "user-1", T0 + 1).unwrap();
    assert_ne!(after.code, before.code);
    assert_eq!(s.state(before.code, T0 + 1), SessionState::Unknown);
    assert_eq!(s.state(after.code, T0 + 1), SessionState::At(ConnAddr(5)));
    assert_eq!(s.get(after.code, "k", T0 + 1).as_deref(), Some("1"));
    assert_eq!(resume(&s, before.code, &before.token, T0 + 2).unwrap_err(), GONE);
    let r = resume(&s, after.code, &after.token, T0 + 2).unwrap();
    assert_eq!(r.user.as_deref(), Some("user-1"));
    assert_eq!(s.len(), 1);
    assert_eq!(s.renew(before.code, "user-1", T0 + 2).unwrap_err().code, ErrorCode::NotFound);
}

#[test]
fn another_users_credential_does_not_open_a_users_session() {
    let s = sessions();
    let o = s.open(Some("alice"), T0).unwrap();
    let code = o.code.to_string();
    let ask = |user| s.resume(Resume { code: &code, token: &o.token, user }, T0);
    assert_eq!(ask(Some("bob")).unwrap_err(), GUESS);
    assert!(ask(Some("alice")).is_ok());
    assert!(ask(None).is_ok(), "the previous token, without another credential");
    assert_eq!(s.open(Some(&"u".repeat(256)), T0).unwrap_err().code, ErrorCode::Internal);
}

#[test]
fn a_token_is_not_good_for_ever() {
    let s = sessions();
    let o = attached(&s, 1);
    let month = 30 * 86_400_000;
    assert_eq!(resume(&s, o.code, &o.token, T0 + month).unwrap_err(), GUESS);
    assert!(resume(&s, o.code, &o.token, T0 + month - 1).is_ok());
}

/// Sockets come and go on other threads while resumes happen: at the end the newest generation has the socket, and no
/// other ever displaced it.
#[test]
fn races_of_attach_and_detach_leave_the_newest_socket() {
    for _ in 0..200 {
        let s = sessions();
        let o = attached(&s, 1000);
        let resumed: Vec<Resumed> = (0..4).map(|_| resume(&s, o.code, &o.token, T0).unwrap()).collect();
        let newest = resumed.len() - 1;
        std::thread::scope(|scope| {
            scope.spawn(|| s.detach(o.code, ConnAddr(1000), T0));
            for (n, r) in resumed.iter().enumerate() {
                let s = &s;
                scope.spawn(move || {
                    let outcome = s.attach(r.code, r.generation, ConnAddr(n as u64), T0);
                    if n == newest {
                        assert!(matches!(outcome, Attach::Attached { .. }));
                    } else {
                        assert_eq!(outcome, Attach::Superseded);
                        s.detach(r.code, ConnAddr(n as u64), T0);
                    }
                });
            }
        });
        assert_eq!(s.address(o.code), Some(ConnAddr(newest as u64)));
    }
}

/// Threads open at the limit, attach, detach and sweep: the count stays right.
#[test]
fn the_count_stays_right_under_threads() {
    let s = limited(|l| l.max = 50);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let s = &s;
            scope.spawn(move || {
                for n in 0..500 {
                    let now = T0 + n * 1000;
                    if let Ok(o) = s.open(None, now) {
                        s.attach(o.code, o.generation, ConnAddr(thread), now);
                        s.detach(o.code, ConnAddr(thread), now);
                        if n % 7 == 0 {
                            s.end(o.code);
                        }
                    }
                    s.sweep(now, 10);
                }
            });
        }
    });
    assert!(s.len() <= 50);
    while s.sweep(u64::MAX, 1000) > 0 {}
    assert_eq!(s.len(), 0, "every session was counted in once and out once");
}

#[derive(Clone, Debug)]
enum Step {
    Open,
    Resume(usize),
    Attach(usize),
    Detach(usize),
    Set(usize),
    Wait(u64),
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Open),
        (0..8usize).prop_map(Step::Resume),
        (0..8usize).prop_map(Step::Attach),
        (0..8usize).prop_map(Step::Detach),
        (0..8usize).prop_map(Step::Set),
        (0..100_000u64).prop_map(Step::Wait),
        Just(Step::Sweep),
    ];
    proptest::collection::vec(step, 1..80)
}

/// What a client remembers of its session.
struct Client {
    code: SessionCode,
    generation: Generation,
    token: String,
    addr: Option<ConnAddr>,
    has_data: bool,
    used: u64,
}

proptest! {
    /// A client that always uses its newest token is never refused before its time, and always after.
    #[test]
    fn an_honest_client_keeps_its_session_for_exactly_its_time(steps in steps()) {
        let s = sessions();
        let (mut now, mut next_addr) = (T0, 0u64);
        let mut clients: Vec<Client> = vec![];
        for step in steps {
            now += 1;
            match step {
                Step::Open => {
                    let o = s.open(None, now).unwrap();
                    clients.push(Client { code: o.code, generation: o.generation, token: o.token, addr: None, has_data: false, used: now });
                }
                Step::Wait(ms) => now += ms,
                Step::Sweep => { s.sweep(now, 64); }
                Step::Resume(i) | Step::Attach(i) | Step::Detach(i) | Step::Set(i) => {
                    if clients.is_empty() { continue; }
                    let i = i % clients.len();
                    let c = &mut clients[i];
                    let ttl = if c.has_data { LIMITS.ttl_ms } else { LIMITS.detached_ttl_ms };
                    let alive = c.addr.is_some() || now - c.used < ttl;
                    prop_assert_eq!(alive, s.state(c.code, now) != SessionState::Unknown);
                    if !alive { clients.swap_remove(i); continue; }
                    match step {
                        Step::Resume(_) => {
                            let r = resume(&s, c.code, &c.token, now);
                            prop_assert!(r.is_ok());
                            let r = r.unwrap();
                            prop_assert_eq!(r.previous, c.addr);
                            (c.generation, c.token) = (r.generation, r.token);
                        }
                        Step::Attach(_) => {
                            next_addr += 1;
                            let attached = s.attach(c.code, c.generation, ConnAddr(next_addr), now);
                            prop_assert_eq!(attached, Attach::Attached { replaced: c.addr });
                            c.addr = Some(ConnAddr(next_addr));
                        }
                        Step::Detach(_) => if let Some(addr) = c.addr.take() {
                            prop_assert!(s.detach(c.code, addr, now));
                        } else { continue },
                        _ => { s.set(c.code, "k", "1", now).unwrap(); c.has_data = true; }
                    }
                    c.used = now;
                }
            }
        }
        let by_code: HashMap<_, _> = clients.iter().map(|c| (c.code, c.addr)).collect();
        prop_assert_eq!(by_code.len(), clients.len(), "no two sessions have one code");
        for (code, addr) in by_code { prop_assert_eq!(s.address(code), addr); }
    }
}

#[test]
fn all_data_together_is_bounded_and_the_detached_strangers_goes_first() {
    let s = limited(|l| l.data_total_bytes = 10_000);
    let value = format!("\"{}\"", "x".repeat(2_000));
    let fill = |o: &Opened, now| s.set(o.code, "k", &value, now);
    let kept = |o: &Opened| s.get(o.code, "k", T0 + 9).is_some();
    let (old, young, live) = (attached(&s, 1), attached(&s, 2), attached(&s, 3));
    [&old, &young, &live].iter().for_each(|o| assert!(fill(o, T0).is_ok()));
    let user = s.open(Some("7"), T0).unwrap();
    assert!(fill(&user, T0).is_ok());
    assert!(s.detach(old.code, ConnAddr(1), T0 + 1) && s.detach(young.code, ConnAddr(2), T0 + 2));
    let more = attached(&s, 4);
    assert!(fill(&more, T0 + 3).is_ok());
    assert_eq!((kept(&old), kept(&young), kept(&live), kept(&user)), (false, true, true, true));
    assert!(s.info(old.code, T0 + 3).is_some(), "the session stays, without its data");
    let another = attached(&s, 5);
    assert!(fill(&another, T0 + 4).is_ok() && !kept(&young));
    // Nothing is left that may go for a stranger: a user's data never does.
    let refused = fill(&attached(&s, 6), T0 + 5).unwrap_err();
    assert_eq!(refused.code, ErrorCode::LimitExceeded);
    assert!(kept(&live) && kept(&more) && kept(&another) && kept(&user));
    // For a user that of strangers with a socket goes, too, and then that of users without one.
    let users: Vec<_> = (0..4).map(|n| s.open(Some(&format!("u{n}")), T0 + 6).unwrap()).collect();
    users.iter().for_each(|o| assert!(fill(o, T0 + 7).is_ok()));
    assert!(!kept(&user), "the oldest of the users without a socket");
    assert!(users.iter().all(kept));
    assert!(!kept(&live) && !kept(&more) && !kept(&another));
    assert!(s.totals.all() <= 10_000 && s.totals.strangers() == 0);
    users.iter().for_each(|o| assert!(s.end(o.code).is_none()));
    assert_eq!(s.totals.all(), 0, "what is gone counts no more");
}

#[test]
fn data_that_is_given_a_user_is_no_strangers_any_more() {
    let s = limited(|l| l.data_total_bytes = 3_000);
    let value = format!("\"{}\"", "x".repeat(2_000));
    let o = attached(&s, 1);
    s.set(o.code, "k", &value, T0).unwrap();
    let renewed = s.renew(o.code, "7", T0).unwrap();
    assert!(s.detach(renewed.code, ConnAddr(1), T0));
    assert!(s.set(attached(&s, 2).code, "k", &value, T0).is_err(), "a stranger takes nothing from it");
    assert!(s.get(renewed.code, "k", T0).is_some());
}
