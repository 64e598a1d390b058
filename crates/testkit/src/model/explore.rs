//! Walks the schedules of a program.
//!
//! A depth-first walk over states: where two schedules lead to the same state with the same past, one of them goes on.
//! A world cannot be copied, so each schedule is played from the start.

use super::oracle::Reached;
use super::program::{Program, Sabotage, Step};
use super::world::World;
use super::{Violation, wrong};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a walk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Schedules played to their end, each with another end or another past.
    pub schedules: u64,
    /// Schedules left where they met a state that was seen before.
    pub met: u64,
    /// Different states.
    pub states: usize,
    /// Steps of the longest schedule.
    pub longest: usize,
    /// What clients got in all of them.
    pub reached: Reached,
    /// Every schedule was walked; else the limit was reached.
    pub complete: bool,
}

/// A schedule that broke the contract.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its steps; with [`replay`] they fail again.
    pub schedule: Vec<Step>,
    /// What is wrong.
    pub violation: Violation,
    /// Schedules played before.
    pub after: u64,
}

struct Node {
    todo: Vec<Step>,
    chosen: Step,
}

/// Plays the schedules of a program until all are done, one fails, or `limit` states were seen.
///
/// # Errors
/// The first schedule that breaks the contract.
pub fn explore(program: &Arc<Program>, sabotage: Sabotage, limit: usize) -> Result<Outcome, Box<Failure>> {
    let mut stack: Vec<Node> = Vec::new();
    let mut seen = HashSet::new();
    let mut outcome = Outcome::default();
    loop {
        match guarded(|| descend(program, sabotage, &mut seen, &mut stack)) {
            Ok(Some(reached)) => {
                outcome.schedules += 1;
                outcome.reached += reached;
            }
            Ok(None) => outcome.met += 1,
            Err(violation) => {
                let schedule = stack.iter().map(|n| n.chosen).collect();
                return Err(Box::new(Failure { schedule, violation, after: outcome.schedules }));
            }
        }
        outcome.longest = outcome.longest.max(stack.len());
        outcome.states = seen.len();
        while let Some(node) = stack.last_mut() {
            if let Some(next) = node.todo.pop() {
                node.chosen = next;
                break;
            }
            stack.pop();
        }
        outcome.complete = stack.is_empty();
        if outcome.complete || outcome.states >= limit {
            return Ok(outcome);
        }
    }
}

/// Plays the stack's steps, then goes on to an end. Nothing when a known state came before it.
fn descend(
    program: &Arc<Program>,
    sabotage: Sabotage,
    seen: &mut HashSet<u64>,
    stack: &mut Vec<Node>,
) -> Result<Option<Reached>, Violation> {
    let mut world = World::new(program, sabotage);
    for node in stack.iter() {
        world.step(node.chosen)?;
    }
    while seen.insert(world.fingerprint()) {
        let mut todo = world.enabled();
        todo.reverse();
        let Some(chosen) = todo.pop() else { return world.finish().map(Some) };
        stack.push(Node { todo, chosen });
        world.step(chosen)?;
    }
    Ok(None)
}

/// Plays one schedule: each number picks among the steps that are possible then.
///
/// # Errors
/// What breaks the contract, with the steps that led there.
pub fn replay(
    program: &Arc<Program>,
    sabotage: Sabotage,
    picks: impl IntoIterator<Item = usize>,
) -> Result<Reached, Box<Failure>> {
    let mut schedule = Vec::new();
    let played = guarded(|| {
        let mut world = World::new(program, sabotage);
        for pick in picks {
            let enabled = world.enabled();
            if enabled.is_empty() {
                break;
            }
            let step = enabled[pick % enabled.len()];
            schedule.push(step);
            world.step(step)?;
        }
        world.finish()
    });
    match played {
        Ok(reached) => Ok(reached),
        Err(violation) => Err(Box::new(Failure { schedule, violation, after: 0 })),
    }
}

/// A panic is a finding too.
fn guarded<T>(play: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        wrong(format!("panic: {}", text.unwrap_or_default()))
    })
}
