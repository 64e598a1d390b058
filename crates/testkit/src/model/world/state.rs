//! Tells equal worlds.

use super::World;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher};

impl World {
    /// A hash of everything that decides what comes, and of everything that was said: worlds with equal ones have the
    /// same futures and the same past for the oracle.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Hashing(DefaultHasher::new());
        for (s, side) in self.sides.iter().enumerate() {
            let inbox = &self.topics.inboxes()[s];
            let mut posts = VecDeque::new();
            inbox.take(&mut posts);
            let turn = (side.turn_open, side.speaking, side.tampered, &side.late);
            let _infallible = write!(hash, "{:?}{posts:?}{turn:?}", side.shard.state());
            posts.into_iter().for_each(|post| inbox.push(post, true));
        }
        for conn in &self.conns {
            let epochs: Vec<_> = conn.epochs.iter().map(|(t, e)| (t, self.truth.life_with(*e))).collect();
            let socket = &self.sides[conn.shard].wire.by_slot[conn.slot as usize];
            let flags = (conn.paused, conn.wants_writable, conn.ended, conn.reap, conn.broken, conn.open);
            let _infallible = write!(hash, "{flags:?}{}{}{:?}", conn.next, conn.reads, conn.expects);
            let _infallible = write!(hash, "{}{epochs:?}{:?}{:?}", socket.room, conn.replaying, conn.waiting);
            [&conn.out, &socket.got, &conn.got].into_iter().for_each(|bytes| hash.0.write(bytes));
        }
        let _infallible = write!(hash, "{}{:?}", self.outside, self.truth.state());
        let upstream = (self.faults, self.passed, self.remote.state());
        let _infallible = write!(hash, "{upstream:?}");
        hash.0.finish()
    }
}

struct Hashing(DefaultHasher);

impl std::fmt::Write for Hashing {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
