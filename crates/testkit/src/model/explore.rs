//! Walks the schedules of a program.
//!
//! A depth-first walk with sleep sets: of schedules that differ only in the order of independent neighbours one is
//! walked. Two steps depend on each other when they are of the same shard, when both touch topics, or when one touches
//! topics (and so may post) and the other takes an inbox. A world cannot be copied, so each schedule is played from the
//! start.

use super::program::{Program, Sabotage, Step};
use super::world::World;
use super::{Violation, wrong};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a walk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Schedules played to their end.
    pub schedules: u64,
    /// Schedules left because another order of the same was played.
    pub cut: u64,
    /// Steps of the longest.
    pub longest: usize,
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
    asleep: Vec<Step>,
    chosen: Step,
}

struct Dependence {
    shard_of: Vec<usize>,
    replays: bool,
}

impl Dependence {
    fn of(program: &Program) -> Self {
        Self { shard_of: program.conns.iter().map(|c| c.shard).collect(), replays: program.replays() }
    }

    fn shard(&self, step: Step) -> Option<usize> {
        match step {
            Step::Command(c) | Step::Read(c) | Step::Writable(c) | Step::Reap(c) => Some(self.shard_of[c]),
            Step::EndTurn(s) | Step::Take(s) | Step::Run(s) => Some(s),
            Step::Outside => None,
        }
    }

    fn touches_topics(&self, step: Step) -> bool {
        match step {
            Step::Command(_) | Step::Outside | Step::EndTurn(_) | Step::Reap(_) => true,
            Step::Run(_) | Step::Writable(_) => self.replays,
            Step::Take(_) | Step::Read(_) => false,
        }
    }

    fn independent(&self, a: Step, b: Step) -> bool {
        let topics = (self.touches_topics(a), self.touches_topics(b));
        let takes = matches!(a, Step::Take(_)) && topics.1 || matches!(b, Step::Take(_)) && topics.0;
        self.shard(a) != self.shard(b) && topics != (true, true) && !takes
    }
}

/// Plays the schedules of a program until all are done, one fails, or `limit` are played.
///
/// # Errors
/// The first schedule that breaks the contract.
pub fn explore(program: &Arc<Program>, sabotage: Sabotage, limit: u64) -> Result<Outcome, Box<Failure>> {
    let dependence = Dependence::of(program);
    let mut stack: Vec<Node> = Vec::new();
    let mut outcome = Outcome::default();
    loop {
        let played = guarded(|| descend(program, sabotage, &dependence, &mut stack));
        match played {
            Ok(true) => outcome.schedules += 1,
            Ok(false) => outcome.cut += 1,
            Err(violation) => {
                let schedule = stack.iter().map(|n| n.chosen).collect();
                return Err(Box::new(Failure { schedule, violation, after: outcome.schedules }));
            }
        }
        outcome.longest = outcome.longest.max(stack.len());
        while let Some(node) = stack.last_mut() {
            node.asleep.push(node.chosen);
            if let Some(next) = node.todo.pop() {
                node.chosen = next;
                break;
            }
            stack.pop();
        }
        outcome.complete = stack.is_empty();
        if outcome.complete || outcome.schedules >= limit {
            return Ok(outcome);
        }
    }
}

/// Plays the stack's steps, then goes on to an end. Says whether it was reached.
fn descend(
    program: &Arc<Program>,
    sabotage: Sabotage,
    dependence: &Dependence,
    stack: &mut Vec<Node>,
) -> Result<bool, Violation> {
    let mut world = World::new(program, sabotage);
    for node in stack.iter() {
        world.step(node.chosen)?;
    }
    loop {
        let asleep: Vec<Step> = stack.last().map_or_else(Vec::new, |node| {
            node.asleep.iter().filter(|s| dependence.independent(**s, node.chosen)).copied().collect()
        });
        let enabled = world.enabled();
        if enabled.is_empty() {
            return world.finish().map(|()| true);
        }
        let mut todo: Vec<Step> = enabled.into_iter().filter(|s| !asleep.contains(s)).rev().collect();
        let Some(chosen) = todo.pop() else { return Ok(false) };
        stack.push(Node { todo, asleep, chosen });
        world.step(chosen)?;
    }
}

/// Plays one schedule: each number picks among the steps that are possible then.
///
/// # Errors
/// What breaks the contract, with the steps that led there.
pub fn replay(
    program: &Arc<Program>,
    sabotage: Sabotage,
    picks: impl IntoIterator<Item = usize>,
) -> Result<usize, Box<Failure>> {
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
        Ok(()) => Ok(schedule.len()),
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
