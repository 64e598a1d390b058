//! Every schedule of each small program.

use super::programs;
use fanfare_testkit::model::{Program, Reached, Sabotage, explore};
use std::sync::Arc;
use std::time::Instant;

/// States of one program at most; a program with more is too large for this test.
const STATES: usize = 200_000;

fn all(name: &str, program: Program) -> Reached {
    let started = Instant::now();
    match explore(&Arc::new(program), Sabotage::None, STATES) {
        Ok(outcome) => {
            println!("{name}: {outcome:?} in {:?}", started.elapsed());
            assert!(outcome.complete, "{name} has more than {STATES} states");
            assert!(outcome.reached.events > 0, "{name}: nobody hears anything");
            outcome.reached
        }
        Err(f) => panic!("{name}: {} after {} schedules: {:?}", f.violation, f.after, f.schedule),
    }
}

#[test]
fn an_unsubscribe_is_silent_and_whole() {
    all("unsubscribe", programs::unsubscribe());
}

#[test]
fn a_sender_that_leaves_hears_itself_first() {
    all("leave", programs::leave());
}

#[test]
fn three_join_and_leave_between_slices() {
    all("sliced", programs::sliced());
}

#[test]
fn a_deletion_comes_after_the_events_and_before_the_next_life() {
    assert!(all("delete", programs::delete()).deletions > 0);
    assert!(all("delete at home", programs::delete_at_home()).deletions > 0);
}

#[test]
fn own_events_are_excluded_and_counted() {
    all("exclude", programs::exclude());
}

#[test]
fn a_replay_joins_without_a_seam() {
    all("replay", programs::replay());
    assert!(all("slow replay", programs::slow_replay()).deletions > 0);
}

#[test]
fn the_newest_events_come_first_and_join_without_a_seam() {
    all("newest", programs::newest(1));
    all("more than there are", programs::newest(5));
}

#[test]
fn a_short_history_moves_past_a_replay() {
    assert!(all("lost replay, strict", programs::lost_replay("s")).slow > 0);
    assert!(all("lost replay, loose", programs::lost_replay("d")).drops > 0);
}

#[test]
fn a_strict_queue_overflows_and_ends_the_connection() {
    assert!(all("overflow", programs::overflow()).slow > 0);
}

#[test]
fn a_loose_queue_drops_and_tells() {
    assert!(all("drops", programs::drops()).drops > 0);
    assert!(all("dropped and left", programs::dropped_and_left()).drops > 0);
}

#[test]
fn a_batch_larger_than_the_queue_is_no_overflow_where_the_socket_takes_it() {
    for topic in ["s", "d"] {
        let reached = all("large batch", programs::large_batch(topic));
        assert_eq!((reached.slow, reached.drops), (0, 0));
    }
}

#[test]
fn both_policies_on_one_connection() {
    let reached = all("mixed", programs::mixed());
    assert!(reached.slow > 0 && reached.drops > 0);
}

#[test]
fn a_broken_socket_leaves_nothing() {
    all("broken", programs::broken());
}
