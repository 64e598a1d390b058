//! Small programs, every schedule of each.

use fanfare_testkit::model::Command::*;
use fanfare_testkit::model::{ConnSpec, Program, Sabotage, explore};
use std::sync::Arc;
use std::time::Instant;

/// States of one program at most; `MODEL_STATES` changes it.
const STATES: usize = 200_000;

fn all(name: &str, program: Program) {
    let limit = std::env::var("MODEL_STATES").ok().and_then(|n| n.parse().ok()).unwrap_or(STATES);
    let started = Instant::now();
    match explore(&Arc::new(program), Sabotage::None, limit) {
        Ok(o) => println!("{name}: {o:?} in {:?}", started.elapsed()),
        Err(f) => panic!("{name}: {} after {} schedules: {:#?}", f.violation, f.after, f.schedule),
    }
}

#[test]
fn an_unsubscribe_is_silent_and_whole() {
    let hearer = ConnSpec::quick(0, 0, &[Subscribe("s"), Unsubscribe("s")]);
    let sender = ConnSpec::quick(1, 1, &[Subscribe("s"), Publish("s"), Publish("s")]);
    all("unsubscribe", Program::new(2, vec![hearer, sender]));
}

#[test]
fn a_sender_that_leaves_hears_itself_first() {
    let sender = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Unsubscribe("s"), Subscribe("s")]);
    let other = ConnSpec::quick(1, 2, &[Subscribe("s"), Publish("s")]);
    all("leave", Program::new(2, vec![sender, other]));
}

#[test]
fn two_on_a_shard_join_and_leave_while_it_flushes() {
    let a = ConnSpec::quick(0, 0, &[Subscribe("s"), Unsubscribe("s"), Subscribe("s")]);
    let b = ConnSpec::quick(0, 1, &[Subscribe("s"), Publish("s")]);
    let c = ConnSpec::quick(0, 0, &[Subscribe("s"), Close]);
    all("one shard", Program::new(1, vec![a, b, c]).outside(&[Publish("s")]));
}

#[test]
fn a_deletion_comes_after_the_events_and_before_the_next_life() {
    let hearer = ConnSpec::quick(0, 0, &[Subscribe("s"), Unsubscribe("s"), Subscribe("s")]);
    let sender = ConnSpec::quick(1, 1, &[Subscribe("s"), Publish("s")]);
    all("delete", Program::new(2, vec![hearer, sender]).outside(&[Delete("s")]));
}

#[test]
fn a_deletion_between_two_on_a_shard() {
    let a = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Subscribe("s")]);
    let b = ConnSpec::quick(0, 1, &[Subscribe("s"), Delete("s"), Unsubscribe("s")]);
    let c = ConnSpec::quick(0, 0, &[Subscribe("s"), Close]);
    all("delete on a shard", Program::new(1, vec![a, b, c]));
}

#[test]
fn own_events_are_excluded_and_counted() {
    let a =
        ConnSpec::quick(0, 0, &[Subscribe("s"), PublishExcluded("s"), Publish("s"), PublishExcluded("s")]);
    let b = ConnSpec::quick(0, 0, &[Subscribe("s")]);
    all("exclude", Program::new(1, vec![a, b]).outside(&[Delete("s"), Make("s")]));
}

#[test]
fn a_replay_joins_without_a_seam() {
    let sender = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Publish("s")]);
    let late = ConnSpec::quick(1, 1, &[Since("s", 1), Unsubscribe("s")]);
    all("replay", Program::new(2, vec![sender, late]));
}

#[test]
fn a_replay_to_a_full_socket() {
    let sender = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Publish("s")]);
    let late = ConnSpec::slow(0, 1, (30, 1, 25), &[Since("s", 2)]);
    all("slow replay", Program::new(1, vec![sender, late]).outside(&[Publish("s"), Delete("s")]));
}

#[test]
fn a_short_history_moves_past_a_replay() {
    for topic in ["s", "d"] {
        let sender = ConnSpec::quick(0, 0, &[Subscribe(topic), Publish(topic), Publish(topic)]);
        let late = ConnSpec::slow(0, 1, (32, 1, 25), &[Since(topic, 2)]);
        all("lost replay", Program::new(1, vec![sender, late]).history(2).outside(&[Publish(topic); 3]));
    }
}

#[test]
fn a_strict_queue_overflows_and_ends_the_connection() {
    let slow = ConnSpec::slow(0, 1, (22, 1, 12), &[Subscribe("s"), Unsubscribe("s")]);
    let sender = ConnSpec::quick(1, 0, &[Publish("s"), Publish("s"), Publish("s")]);
    all("overflow", Program::new(2, vec![slow, sender]).queue(1).outside(&[Make("s")]));
}

#[test]
fn a_loose_queue_drops_and_tells() {
    let slow = ConnSpec::slow(0, 1, (22, 2, 7), &[Subscribe("d")]);
    let sender =
        ConnSpec::quick(0, 0, &[Subscribe("d"), Publish("d"), Publish("d"), Publish("d"), Publish("d")]);
    all("drops", Program::new(1, vec![slow, sender]).queue(1));
}

#[test]
fn both_policies_on_one_connection() {
    let slow = ConnSpec::slow(0, 0, (46, 1, 9), &[Subscribe("d"), Subscribe("s"), Unsubscribe("d")]);
    let sender = ConnSpec::quick(1, 0, &[Publish("d"), Publish("s"), Publish("d"), Publish("s")]);
    all("mixed", Program::new(2, vec![slow, sender]).queue(2).outside(&[Make("s"), Make("d")]));
}

#[test]
fn a_broken_socket_leaves_nothing() {
    let slow = ConnSpec::slow(0, 0, (22, 1, 9), &[Subscribe("d"), Break]);
    let sender = ConnSpec::quick(0, 0, &[Subscribe("d"), Publish("d"), Publish("d"), Publish("d")]);
    all("broken", Program::new(1, vec![slow, sender]).queue(1));
}
