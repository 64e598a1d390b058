//! The end of a schedule: rest, judgement, and nothing left.

use super::super::oracle::{Reached, Stream, judge};
use super::super::program::{Command, Step};
use super::super::upstream::is_followed;
use super::super::{Violation, wrong};
use super::World;

/// Steps after which a world that should come to rest is said not to.
const REST_STEPS: usize = 10_000;

impl World {
    /// Lets everything come to rest, judges every stream, closes everything and looks that nothing is left.
    ///
    /// # Errors
    /// The first thing found.
    pub fn finish(mut self) -> Result<Reached, Violation> {
        let mut reached = Reached::default();
        self.rest()?;
        // What nobody was told of is seen with the next event.
        if self.publish_last() {
            self.rest()?;
        }
        for c in 0..self.conns.len() {
            reached += self.judge(c)?;
        }
        for c in 0..self.conns.len() {
            if self.conns[c].open {
                self.close(c);
            }
        }
        for topic in self.truth.kept_topics() {
            self.outside(Command::Delete(topic), None)?;
        }
        self.rest()?;
        if self.topics.count() != 0 {
            return wrong(format!("{} topics are left", self.topics.count()));
        }
        for (s, side) in self.sides.iter().enumerate() {
            let left = (side.shard.queued_bytes(), side.shard.local_topics(), side.shard.has_work());
            if left != (0, 0, false) {
                return wrong(format!("shard {s} keeps bytes, topics, work: {left:?}"));
            }
        }
        Ok(reached)
    }

    fn rest(&mut self) -> Result<(), Violation> {
        for _ in 0..REST_STEPS {
            for conn in self.conns.iter().filter(|c| c.open) {
                self.sides[conn.shard].wire.by_slot[conn.slot as usize].room = 1 << 30;
            }
            let steps = self.enabled();
            let Some(step) = steps.into_iter().find(|s| !matches!(s, Step::Read(_) | Step::Fault)) else {
                return Ok(());
            };
            self.step(step)?;
        }
        wrong("the world does not come to rest")
    }

    pub(super) fn judge(&mut self, c: usize) -> Result<Reached, Violation> {
        let conn = &mut self.conns[c];
        if conn.open {
            let socket = &self.sides[conn.shard].wire.by_slot[conn.slot as usize];
            conn.got.clone_from(&socket.got);
            conn.fell_short = socket.fell_short;
        }
        let conn = &self.conns[c];
        let program = &self.program.conns[c];
        let since = program.commands.iter().any(|c| match c {
            Command::Since(..) | Command::Last(..) => true,
            Command::Subscribe(topic) => is_followed(topic),
            _ => false,
        });
        judge(
            &Stream {
                conn: c,
                variant: program.variant,
                bytes: &conn.got,
                expects: &conn.expects,
                ended: conn.ended,
                cut_off: conn.broken || (!conn.open && conn.ended.is_none()) || self.left_while_ending(c),
                may_lose: conn.fell_short || since,
            },
            &self.truth,
        )
    }

    /// The client went away before what ended its connection had left.
    fn left_while_ending(&self, c: usize) -> bool {
        let conn = &self.conns[c];
        conn.ended.is_some() && !conn.open && !conn.reap
    }
}
