//! Topics that follow a log: every schedule of small programs, random schedules of larger ones, and each fault's twin that the
//! oracle must name. `f` is the topic that follows; it disconnects slow readers.

use crate::random::play;
use fanfare_core::hub::QueueLimits;
use fanfare_testkit::model::Command::*;
use fanfare_testkit::model::{Command, ConnSpec, Fault, Program, Reached, Sabotage, explore};
use proptest::prelude::*;
use std::sync::Arc;

/// States of one program at most; a program with more is too large for this test.
const STATES: usize = 300_000;

fn all(program: Program) -> Reached {
    let faults = program.faults.clone();
    match explore(&Arc::new(program), Sabotage::None, STATES) {
        Ok(outcome) => {
            println!("{faults:?}: {outcome:?}");
            assert!(outcome.complete, "{faults:?}: more than {STATES} states");
            assert!(outcome.reached.events > 0, "nobody is sent anything");
            outcome.reached
        }
        Err(f) => panic!("{faults:?}: {} after {} schedules: {:?}", f.violation, f.after, f.schedule),
    }
}

/// A subscriber, and two events.
fn two_events(faults: &[Fault]) -> Program {
    let reader = ConnSpec::quick(0, 0, &[Subscribe("f")]);
    Program::new(1, vec![reader]).outside(&[Publish("f"), Publish("f")]).faults(faults)
}

/// A subscriber, and a later one that resumes from before.
fn resumes(back: u64, faults: &[Fault]) -> Program {
    let reader = ConnSpec::quick(0, 0, &[Subscribe("f")]);
    let late = ConnSpec::quick(0, 1, &[Since("f", back)]);
    Program::new(1, vec![reader, late]).outside(&[Publish("f"), Publish("f")]).faults(faults)
}

#[test]
fn events_arrive_and_subscriptions_wait_until_the_log_is_known() {
    all(two_events(&[]));
    let both = [
        ConnSpec::quick(0, 0, &[Subscribe("f"), Unsubscribe("f"), Subscribe("f")]),
        ConnSpec::quick(1, 1, &[Subscribe("f")]),
    ];
    all(Program::new(2, both.to_vec()).outside(&[Publish("f")]));
    let leaves = [
        ConnSpec::quick(0, 0, &[Subscribe("f"), Close]),
        ConnSpec::quick(0, 1, &[Publish("f"), Subscribe("f")]),
    ];
    all(Program::new(1, leaves.to_vec()));
}

#[test]
fn what_is_lost_is_read() {
    all(two_events(&[Fault::Lose]));
    all(two_events(&[Fault::Lose, Fault::Lose]));
}

#[test]
fn what_comes_twice_or_in_another_order_enters_once_and_in_order() {
    all(two_events(&[Fault::Repeat]));
    all(two_events(&[Fault::Reorder, Fault::Repeat]));
}

#[test]
fn a_log_that_continues_in_a_new_epoch_loses_nothing() {
    let reached = all(two_events(&[Fault::NewEpoch(0)]));
    assert_eq!(reached.moves, 0);
    all(resumes(1, &[Fault::NewEpoch(0)]));
}

#[test]
fn a_log_that_has_lost_events_says_so() {
    assert!(all(two_events(&[Fault::NewEpoch(1)])).moves > 0);
    assert!(all(two_events(&[Fault::OtherLog])).moves > 0);
    assert!(all(two_events(&[Fault::Lose, Fault::Trim(0)])).moves > 0);
}

#[test]
fn late_answers_change_nothing() {
    all(two_events(&[Fault::Late, Fault::NewEpoch(0)]));
    all(two_events(&[Fault::Lose, Fault::Late]));
}

#[test]
fn an_upstream_that_is_away_refuses_those_who_need_it() {
    all(two_events(&[Fault::Away]));
    all(two_events(&[Fault::Lose, Fault::Away]));
}

#[test]
fn what_is_older_than_the_tail_is_read_and_joins_without_a_seam() {
    all(resumes(1, &[]));
    all(resumes(2, &[]).history(1));
    all(resumes(2, &[Fault::Away]).history(1));
}

#[test]
fn what_can_not_be_read_any_more_is_not_recovered() {
    all(resumes(2, &[Fault::Trim(0)]).history(0));
}

/// A subscriber, and a later one with the newest events first.
fn last(count: u32, faults: &[Fault]) -> Program {
    let reader = ConnSpec::quick(0, 0, &[Subscribe("f")]);
    let late = ConnSpec::quick(0, 1, &[Last("f", count)]);
    Program::new(1, vec![reader, late]).outside(&[Publish("f"), Publish("f")]).faults(faults)
}

#[test]
fn the_newest_events_come_first_from_the_tail_and_from_the_log() {
    all(last(1, &[]));
    all(last(2, &[]).history(1));
    all(last(3, &[Fault::Lose]).history(0));
    all(last(2, &[Fault::Away]).history(1));
    all(last(2, &[Fault::NewEpoch(0)]).history(1));
}

#[test]
fn of_the_newest_events_those_come_that_the_log_still_has() {
    all(last(2, &[Fault::Trim(1)]).history(0));
    all(last(2, &[Fault::Trim(0)]).history(1));
    assert!(all(last(2, &[Fault::NewEpoch(1)]).history(0)).moves > 0);
    assert!(all(last(2, &[Fault::OtherLog])).moves > 0);
}

#[test]
fn newest_events_that_are_missing_are_seen() {
    caught(last(2, &[]), Sabotage::AskForFewer, &["is answered"]);
    caught(last(2, &[]).history(1), Sabotage::SkipFirst, &["is answered"]);
}

/// Which of the events it falsifies is seen first depends on the schedule, so there may be several names for it.
fn caught(program: Program, sabotage: Sabotage, as_what: &[&str]) {
    match explore(&Arc::new(program), sabotage, 50_000) {
        Ok(outcome) => panic!("{sabotage:?} went unseen: {outcome:?}"),
        Err(f) => {
            let named = as_what.iter().any(|what| f.violation.0.contains(what));
            assert!(named, "{sabotage:?} was seen as {}", f.violation);
        }
    }
}

#[test]
fn another_event_than_the_logs_is_seen() {
    caught(two_events(&[]), Sabotage::WrongArrival, &["the log has"]);
}

#[test]
fn an_event_that_is_lost_without_a_hole_is_seen() {
    caught(two_events(&[Fault::Lose]), Sabotage::LoseSilently, &["the log has"]);
}

#[test]
fn an_event_that_comes_twice_as_two_is_seen() {
    caught(two_events(&[Fault::Repeat]), Sabotage::RepeatAsNew, &["the log has", "offset: 3"]);
}

#[test]
fn events_that_changed_places_in_the_log_are_seen() {
    caught(two_events(&[Fault::Reorder]), Sabotage::ReorderOffsets, &["the log has"]);
}

#[test]
fn a_new_epoch_that_is_hidden_is_seen() {
    caught(
        two_events(&[Fault::NewEpoch(1)]),
        Sabotage::HideEpoch,
        &["is missing", "the log has", "no such event", "not told that f continued"],
    );
}

#[test]
fn an_old_answer_that_is_taken_for_a_new_one_is_seen() {
    caught(two_events(&[Fault::NewEpoch(0)]), Sabotage::OldAnswers, &["is missing", "without a cause"]);
}

const TOPICS: [&str; 4] = ["f", "f", "fine", "s"];

fn command() -> impl Strategy<Value = Command> {
    let topic = prop::sample::select(&TOPICS[..]);
    (topic, 0..22u8, 0..5u64).prop_map(|(topic, kind, back)| match kind {
        0..=4 => Command::Subscribe(topic),
        5..=8 => Command::Since(topic, back),
        9..=11 => Command::Unsubscribe(topic),
        12..=17 => Command::Publish(topic),
        18 => Command::Close,
        19 | 20 => Command::Last(topic, back as u32 + 1),
        _ => Command::Break,
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    (0..14u8, 0..3u64).prop_map(|(kind, n)| match kind {
        0..=2 => Fault::Lose,
        3 | 4 => Fault::Repeat,
        5 | 6 => Fault::Reorder,
        7 => Fault::NewEpoch(n),
        8 => Fault::OtherLog,
        9 => Fault::Trim(n),
        10 | 11 => Fault::Late,
        _ => Fault::Away,
    })
}

fn program() -> impl Strategy<Value = Program> {
    let sizes = prop_oneof![3 => Just((1 << 30, 0)), 1 => (0..80usize, 0..12usize)];
    let conn = (0..2usize, 0..4u8, sizes, 1..40usize, prop::collection::vec(command(), 1..10)).prop_map(
        |(shard, variant, (room, reads), read_bytes, commands)| ConnSpec {
            shard,
            variant,
            room,
            reads,
            read_bytes,
            commands,
        },
    );
    let outside = prop::collection::vec(prop::sample::select(&TOPICS[..]).prop_map(Command::Publish), 0..12);
    let faults = prop::collection::vec(fault(), 0..8);
    let bounds = (2..6usize, 0..5usize, 1..4usize, any::<bool>());
    (bounds, prop::collection::vec(conn, 1..5), outside, faults).prop_map(
        |((messages, history, budget, eager_pull), conns, outside, faults)| Program {
            shards: 2,
            queue: QueueLimits { messages, bytes: 1 << 16 },
            history,
            budget,
            eager_pull,
            loose: false,
            conns,
            outside,
            faults,
        },
    )
}

#[test]
fn any_program_with_any_faults_on_any_schedule() {
    let reached = play(program(), 250);
    assert!(reached.events > 0 && reached.moves > 0 && reached.slow > 0, "{reached:?}");
}
