//! The twins of the other tests: with something done wrongly on purpose, the model must say so.

use super::programs;
use fanfare_testkit::model::{Program, Sabotage, explore};
use std::sync::Arc;

fn caught(program: Program, sabotage: Sabotage, as_what: &str) {
    let program = Arc::new(program);
    match explore(&program, sabotage, 20_000) {
        Ok(outcome) => panic!("{sabotage:?} went unseen: {outcome:?}"),
        Err(f) => assert!(f.violation.0.contains(as_what), "{sabotage:?} was seen as {}", f.violation),
    }
}

#[test]
fn a_lost_batch_is_a_gap() {
    caught(programs::unsubscribe(), Sabotage::LosePost, "is missing");
}

#[test]
fn a_batch_posted_twice_is_a_repeat() {
    caught(programs::unsubscribe(), Sabotage::DoublePost, "or later");
}

#[test]
fn posts_in_the_wrong_order_are_seen() {
    caught(programs::unsubscribe(), Sabotage::ReversePosts, "is missing");
}

#[test]
fn a_join_merged_before_an_older_batch_is_seen() {
    caught(programs::unsubscribe(), Sabotage::LatePost, "is missing");
    caught(programs::sliced(), Sabotage::LatePost, "is missing");
}

#[test]
fn events_before_the_ack_are_seen() {
    caught(programs::sliced(), Sabotage::EventsBeforeReplies, "not subscribed");
}

#[test]
fn a_socket_that_is_never_written_again_is_seen() {
    caught(programs::drops(), Sabotage::DeafToWritable, "unfinished frame");
}

#[test]
fn a_socket_that_lies_about_its_bytes_is_seen() {
    caught(programs::drops(), Sabotage::LyingSocket, "broken frame");
}

#[test]
fn a_drop_counted_twice_is_seen() {
    caught(programs::drops(), Sabotage::OverstateDrops, "drops too many");
    caught(programs::dropped_and_left(), Sabotage::OverstateDrops, "drops too many");
    caught(programs::lost_replay("d"), Sabotage::OverstateDrops, "drops too many");
}

#[test]
fn an_excluded_event_that_comes_all_the_same_is_seen() {
    caught(programs::exclude(), Sabotage::ForgetExclude, "excluded");
}

#[test]
fn a_newest_event_that_is_missing_is_seen() {
    caught(programs::newest(2), Sabotage::AskForFewer, "is answered");
}

#[test]
fn a_connection_that_is_never_closed_is_seen() {
    caught(programs::sliced(), Sabotage::ForgetClose, "topics are left");
}
