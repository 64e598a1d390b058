//! Larger programs on random schedules.

use fanfare_core::hub::QueueLimits;
use fanfare_testkit::model::{Command, ConnSpec, Program, Reached, Sabotage, replay};
use fanfare_testkit::soak;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::sync::Arc;

const TOPICS: [&str; 4] = ["s", "d", "strict", "drop"];

fn command() -> impl Strategy<Value = Command> {
    let topic = prop::sample::select(&TOPICS[..]);
    (topic, 0..28u8, 0..5u64).prop_map(|(topic, kind, back)| match kind {
        0..=4 => Command::Subscribe(topic),
        5..=7 => Command::Since(topic, back),
        8..=10 => Command::Unsubscribe(topic),
        11..=17 => Command::Publish(topic),
        18..=21 => Command::PublishExcluded(topic),
        22 => Command::Delete(topic),
        23 => Command::Make(topic),
        24 => Command::Close,
        25 | 26 => Command::Last(topic, back as u32 + 1),
        _ if back == 0 => Command::Break,
        _ if back == 1 => Command::Bye,
        _ => Command::Publish(topic),
    })
}

fn outside() -> impl Strategy<Value = Command> {
    let topic = prop::sample::select(&TOPICS[..]);
    (topic, 0..6u8).prop_map(|(topic, kind)| match kind {
        0 => Command::Delete(topic),
        1 => Command::Make(topic),
        _ => Command::Publish(topic),
    })
}

fn conn() -> impl Strategy<Value = ConnSpec> {
    let sizes = prop_oneof![Just((1 << 30, 0)), (0..80usize, 0..12usize)];
    (0..3usize, 0..4u8, sizes, 1..40usize, prop::collection::vec(command(), 1..14)).prop_map(
        |(shard, variant, (room, reads), read_bytes, commands)| ConnSpec {
            shard,
            variant,
            room,
            reads,
            read_bytes,
            commands,
        },
    )
}

fn program() -> impl Strategy<Value = Program> {
    let bounds = (1..6usize, prop_oneof![Just(1 << 16), 20..120usize], 0..5usize, 1..4usize);
    let conns = prop::collection::vec(conn(), 1..6);
    (bounds, any::<bool>(), any::<bool>(), conns, prop::collection::vec(outside(), 0..10)).prop_map(
        |((messages, bytes, history, budget), eager_pull, loose, conns, outside)| Program {
            shards: 3,
            queue: QueueLimits { messages, bytes },
            history,
            budget,
            eager_pull,
            loose,
            conns,
            outside,
            faults: Vec::new(),
        },
    )
}

/// Programs in a run, and in a soak run.
const CASES: [u32; 2] = [3000, 400_000];

/// Plays random programs on random schedules of less than `picks` choices, and says what was reached. It panics where the oracle finds
/// a violation, with the smallest program that shows it.
pub(crate) fn play(programs: impl Strategy<Value = Program>, picks: usize) -> Reached {
    let cases = soak::pick(CASES[0], CASES[1]);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    };
    let reached = RefCell::new(Reached::default());
    let inputs = (programs, prop::collection::vec(0..64usize, 0..picks));
    let result = TestRunner::new(config).run(&inputs, |(program, picks)| {
        let played = replay(&Arc::new(program), Sabotage::None, picks);
        *reached.borrow_mut() +=
            played.map_err(|f| TestCaseError::fail(format!("{} by {:?}", f.violation, f.schedule)))?;
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
    let reached = reached.into_inner();
    println!("{reached:?}");
    reached
}

#[test]
fn any_program_on_any_schedule() {
    let reached = play(program(), 200);
    assert!(
        reached.events > 0 && reached.deletions > 0 && reached.drops > 0 && reached.slow > 0,
        "{reached:?}"
    );
}
