//! The oracle on streams made by hand: how many drops a client may be told of.

use fanfare_testkit::model::{Expect, Life, Logged, Stream, TextEncoder, Truth, Turn, judge};
use std::ops::RangeInclusive;

/// The loose topic's log has so many events.
const EVENTS: u64 = 8;

/// A subscription from the first event on, with its replay if `replaying`.
fn subscribed(replaying: bool) -> Turn {
    let head = if replaying { EVENTS } else { 0 };
    Turn::Hear { topic: "d", life: 0, after: 0, head, replaying }
}

fn left(head: RangeInclusive<u64>) -> Turn {
    Turn::Silence("d", head)
}

/// Judges the frames of a client; each `A` answers the next of `turns`.
fn verdict(frames: &[&str], turns: Vec<Turn>) -> Result<(), String> {
    let mut truth = Truth::new(EVENTS as usize);
    let log = (1..=EVENTS).map(|n| Logged { payload: n.to_string(), excluded: None }).collect();
    truth.lives.push(Life { log, ..Life::default() });
    let mut bytes = Vec::new();
    frames.iter().for_each(|text| TextEncoder(0).frame(text, &mut bytes));
    let expects: Vec<_> = turns.into_iter().map(|turn| Expect { text: "A".to_owned(), turn }).collect();
    let stream = Stream {
        conn: 0,
        variant: 0,
        bytes: &bytes,
        expects: &expects,
        ended: None,
        cut_off: false,
        may_lose: true,
    };
    judge(&stream, &truth).map(drop).map_err(|v| v.0)
}

#[track_caller]
fn refused(verdict: Result<(), String>, why: &str) {
    assert!(verdict.as_ref().is_err_and(|text| text.contains(why)), "{verdict:?}");
}

#[test]
fn what_was_dropped_before_an_unsubscribe_is_told_exactly() {
    let told = |count: u64| {
        verdict(&["A", "E|d|1|1", &format!("M|{count}"), "A"], vec![subscribed(false), left(4..=4)])
    };
    assert_eq!(told(3), Ok(()));
    refused(told(2), "offset 4 of d is missing");
    refused(told(4), "told of 1 drops too many");
}

#[test]
fn where_the_head_is_known_within_bounds_so_are_the_drops() {
    let told = |count: u64| {
        verdict(&["A", "E|d|1|1", &format!("M|{count}"), "A"], vec![subscribed(false), left(3..=5)])
    };
    refused(told(1), "offset 3 of d is missing");
    (2..=4).for_each(|count| assert_eq!(told(count), Ok(()), "{count}"));
    refused(told(5), "told of 1 drops too many");
}

#[test]
fn an_unsubscribe_cuts_a_replay_and_what_the_history_lost_of_it_was_told() {
    let told = |count: u64| {
        verdict(&["A", "E|d|1|1", &format!("M|{count}"), "A"], vec![subscribed(true), left(EVENTS..=EVENTS)])
    };
    (1..EVENTS).for_each(|count| assert_eq!(told(count), Ok(()), "{count}"));
    refused(told(EVENTS), "told of 1 drops too many");
}

#[test]
fn what_may_have_been_dropped_before_excuses_no_later_report() {
    let turns = vec![subscribed(false), left(0..=EVENTS), subscribed(false)];
    let all = (1..=EVENTS).map(|n| format!("E|d|{n}|{n}"));
    let frames: Vec<String> = ["A", "A", "A", "M|1"].map(str::to_owned).into_iter().chain(all).collect();
    let frames: Vec<&str> = frames.iter().map(String::as_str).collect();
    refused(verdict(&frames, turns), "told of 1 drops too many");
}

#[test]
fn an_event_from_after_the_unsubscribe_is_seen() {
    let frames = ["A", "E|d|1|1", "E|d|2|2", "A"];
    assert_eq!(verdict(&frames, vec![subscribed(false), left(1..=2)]), Ok(()));
    refused(verdict(&frames, vec![subscribed(false), left(1..=1)]), "an event from after the end");
}
