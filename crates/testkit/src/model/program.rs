//! What a simulated world does: the connections, their commands, and the steps a schedule is made of.

use super::upstream::{Fault, is_followed};
use fanfare_core::hub::{Backpressure, QueueLimits};

/// A command of a connection, or of an outside caller where that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Hear a topic.
    Subscribe(&'static str),
    /// Hear a topic from so many events before its head on.
    Since(&'static str, u64),
    /// Hear a topic with at most so many of its newest events first; at least 1.
    Last(&'static str, u32),
    /// No longer hear a topic.
    Unsubscribe(&'static str),
    /// Put a payload into a topic.
    Publish(&'static str),
    /// The same, not heard by the sender.
    PublishExcluded(&'static str),
    /// Delete a topic.
    Delete(&'static str),
    /// Make a topic by hand.
    Make(&'static str),
    /// The client goes away.
    Close,
    /// The socket breaks: the next send fails.
    Break,
    /// The server closes after everything queued.
    Bye,
}

/// A connection of a program.
#[derive(Clone, Debug)]
pub struct ConnSpec {
    /// Its shard.
    pub shard: usize,
    /// Its variant, 0–3.
    pub variant: u8,
    /// Bytes its socket takes before the client reads.
    pub room: usize,
    /// How often the client reads before the end.
    pub reads: usize,
    /// Bytes the client reads at a time.
    pub read_bytes: usize,
    /// What it does, in order.
    pub commands: Vec<Command>,
}

impl ConnSpec {
    /// A client that always has room.
    pub fn quick(shard: usize, variant: u8, commands: &[Command]) -> Self {
        Self { shard, variant, room: 1 << 30, reads: 0, read_bytes: 0, commands: commands.to_vec() }
    }

    /// A client with `room` bytes of socket that reads `reads` times `read_bytes`.
    pub fn slow(
        shard: usize,
        variant: u8,
        (room, reads, read_bytes): (usize, usize, usize),
        commands: &[Command],
    ) -> Self {
        Self { shard, variant, room, reads, read_bytes, commands: commands.to_vec() }
    }
}

/// Everything a world is made with.
#[derive(Clone, Debug)]
pub struct Program {
    /// Number of shards.
    pub shards: usize,
    /// Bounds of each connection's queue.
    pub queue: QueueLimits,
    /// Events each topic keeps.
    pub history: usize,
    /// Sends in one run of a shard.
    pub budget: usize,
    /// A replay is pulled as soon as its reply was sent, not in the next run.
    pub eager_pull: bool,
    /// A shard may run in the middle of a turn, before its batches are closed.
    pub loose: bool,
    /// The connections, open from the start.
    pub conns: Vec<ConnSpec>,
    /// What an outside caller does, in order.
    pub outside: Vec<Command>,
    /// What goes wrong with the log of the topic `f`, in order.
    pub faults: Vec<Fault>,
}

impl Program {
    /// A program with room for everything.
    pub fn new(shards: usize, conns: Vec<ConnSpec>) -> Self {
        Self {
            shards,
            queue: QueueLimits { messages: 64, bytes: 1 << 16 },
            history: 64,
            budget: 1,
            eager_pull: false,
            loose: false,
            conns,
            outside: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// With faults of the log of `f`.
    #[must_use]
    pub fn faults(mut self, faults: &[Fault]) -> Self {
        self.faults = faults.to_vec();
        self
    }

    /// With an outside caller.
    #[must_use]
    pub fn outside(mut self, commands: &[Command]) -> Self {
        self.outside = commands.to_vec();
        self
    }

    /// With queues of so many messages.
    #[must_use]
    pub fn queue(mut self, messages: usize) -> Self {
        self.queue.messages = messages;
        self
    }

    /// With a history of so many events.
    #[must_use]
    pub fn history(mut self, size: usize) -> Self {
        self.history = size;
        self
    }

    /// Whether a run can read a topic's log: only replays do.
    pub fn replays(&self) -> bool {
        let replays = |c: &Command| match c {
            Command::Since(..) | Command::Last(..) => true,
            Command::Subscribe(topic) => is_followed(topic), // one that waited is replayed to from where it began
            _ => false,
        };
        self.conns.iter().flat_map(|c| &c.commands).any(replays)
    }
}

/// One atomic act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A connection's next command on its shard's thread.
    Command(usize),
    /// The outside caller's next command.
    Outside,
    /// A shard ends its turn.
    EndTurn(usize),
    /// A shard takes its inbox.
    Take(usize),
    /// A shard runs.
    Run(usize),
    /// A client reads: its socket has room again.
    Read(usize),
    /// A shard learns that a socket has room.
    Writable(usize),
    /// A shard closes a connection that is broken or has ended.
    Reap(usize),
    /// The next event of a log that is ordered elsewhere arrives.
    Arrive,
    /// The next request to where logs are ordered is served.
    Serve,
    /// The next answer from there comes.
    Answer,
    /// Something goes wrong there.
    Fault,
    /// Time passes.
    Tick,
}

/// What is done wrongly on purpose, to show that the oracle sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// The first batch posted to shard 0 is lost.
    LosePost,
    /// The first batch posted to shard 0 is posted twice.
    DoublePost,
    /// Posts of shard 0 that wait together are taken in the reverse order.
    ReversePosts,
    /// A post to shard 0 arrives only after the shard's next step, as if a join were merged early.
    LatePost,
    /// Events go out before the replies of the same turn.
    EventsBeforeReplies,
    /// `Effect::Writable` is ignored.
    DeafToWritable,
    /// A socket says that it took one byte more than it did.
    LyingSocket,
    /// A notice of drops says one more than there were.
    OverstateDrops,
    /// `exclude_self` is forgotten.
    ForgetExclude,
    /// Of the newest events a subscription asks for one fewer than it should.
    AskForFewer,
    /// The first event of what is read is left out.
    SkipFirst,
    /// A connection that goes away is not closed.
    ForgetClose,
    /// Another event arrives than the log has.
    WrongArrival,
    /// The event after one that was lost takes its offset.
    LoseSilently,
    /// An event that arrives again has the next offset.
    RepeatAsNew,
    /// Events that change places change their offsets, too.
    ReorderOffsets,
    /// Events of a new epoch arrive as of the old one.
    HideEpoch,
    /// Every answer of where a log is says what the first one said.
    OldAnswers,
}

/// The policy of a topic by its name: `d…` drops the oldest, all others disconnect.
pub fn policy_of(topic: &str) -> Backpressure {
    if topic.starts_with('d') { Backpressure::DropOldest } else { Backpressure::Disconnect }
}
