//! The ledger of a connection: its commands without an answer so far, in the order of their frames (`protocol.md` 3).
//!
//! A command is *held* while an earlier one touches the same and has no outcome. It is *waiting* from its start until its outcome
//! comes. A reply of the typed dialect is *ready* while an earlier one is not: replies leave in the order of the frames. JSON-RPC
//! answers leave at once. Most connections never have a ledger; one that is empty is dropped.

use crate::posts::Serial;
use crate::telemetry::metrics::CommandKind;
use fanfare_core::hub::Ticket;
use fanfare_core::model::{Refusal, Reply, Touch};
use std::collections::VecDeque;
use std::time::Instant;
use tokio::sync::oneshot;

/// Commands of a connection that may be without an answer; beyond that its socket is not read (`protocol.md` 3).
pub(super) const MAX_OUTSTANDING: usize = 64;
/// Bytes of held frames and ready replies of a connection beyond which its socket is not read.
const MAX_BYTES: usize = 1 << 20;

/// What a frame touches: one command's, or those of a batch.
pub(super) type Touches = Vec<Touch<'static>>;

/// A subscription whose reply the hub has later, and where that goes in JSON-RPC.
pub(super) type Promise = (Ticket, Option<oneshot::Sender<Result<Reply<'static>, Refusal>>>);

/// A frame's text that is read again. It may hold tokens, so it is not shown.
pub(super) struct HeldText(Box<str>);

impl HeldText {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for HeldText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldText").field("bytes", &self.0.len()).finish()
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: VecDeque<Entry>,
    /// Bytes of held frames and ready replies.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    serial: Serial,
    touches: Touches,
    state: State,
}

#[derive(Debug)]
enum State {
    Held(HeldText),
    Waiting(Waiting),
    Ready(Vec<u8>),
}

/// A command that was started.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The frame's `request_id` as JSON; typed dialect only.
    pub(super) id: Option<Box<str>>,
    pub(super) kind: CommandKind,
    /// When it was received.
    pub(super) since: Instant,
    /// Subscriptions it waits for.
    pub(super) promises: Vec<Promise>,
    /// Only its outcome is missing: what it does has taken its place among the effects. False while its tokens are verified.
    pub(super) started: bool,
}

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_OUTSTANDING || self.bytes >= MAX_BYTES
    }

    /// Whether a command was read and has not been started.
    pub(super) fn has_held(&self) -> bool {
        self.entries.iter().any(|entry| matches!(entry.state, State::Held(_)))
    }

    /// Whether a command that touches this has to wait for one of those in the ledger.
    pub(super) fn blocks<'a, T: Iterator<Item = Touch<'a>>>(&self, touches: impl Fn() -> T) -> bool {
        self.entries.iter().any(|entry| entry.blocks(touches()))
    }

    /// Holds a frame until nothing blocks it.
    pub(super) fn hold(&mut self, serial: Serial, touches: Touches, text: HeldText) {
        self.bytes += text.0.len();
        self.entries.push_back(Entry { serial, touches, state: State::Held(text) });
    }

    /// Notes that a command waits for its outcome: a new one behind the others, one that was held in its place.
    pub(super) fn wait(&mut self, serial: Serial, touches: Touches, waiting: Waiting) {
        match self.find(serial) {
            Some(entry) => entry.state = State::Waiting(waiting),
            None => self.entries.push_back(Entry { serial, touches, state: State::Waiting(waiting) }),
        }
    }

    /// Takes a frame out that was held and that nothing blocks any more. Its entry stays in its place and must be settled or wait.
    pub(super) fn next_runnable(&mut self) -> Option<(Serial, HeldText)> {
        let free = |at: usize| {
            let touches = || self.entries[at].touches.iter().map(Touch::by_ref);
            !self.entries.iter().take(at).any(|earlier| earlier.blocks(touches()))
        };
        let held = |at: &usize| matches!(self.entries[*at].state, State::Held(_));
        let at = (0..self.entries.len()).filter(held).find(|at| free(*at))?;
        let entry = &mut self.entries[at];
        match std::mem::replace(&mut entry.state, State::Waiting(Waiting::unstarted())) {
            State::Held(text) => {
                self.bytes -= text.0.len();
                Some((entry.serial, text))
            }
            _ => None,
        }
    }

    /// The waiting command, if it is still there.
    pub(super) fn waiting(&mut self, serial: Serial) -> Option<&mut Waiting> {
        match self.find(serial) {
            Some(Entry { state: State::Waiting(waiting), .. }) => Some(waiting),
            _ => None,
        }
    }

    /// The command that waits for a subscription, and what it touches.
    pub(super) fn waits_for(&self, ticket: Ticket) -> Option<(Serial, &[Touch<'static>])> {
        let waits = |entry: &&Entry| match &entry.state {
            State::Waiting(waiting) => waiting.promises.iter().any(|(promised, _)| *promised == ticket),
            State::Held(_) | State::Ready(_) => false,
        };
        self.entries.iter().find(waits).map(|entry| (entry.serial, &entry.touches[..]))
    }

    /// A typed reply is known. It leaves when those before it have.
    pub(super) fn settle(&mut self, serial: Serial, reply: Vec<u8>) {
        self.bytes += reply.len();
        match self.find(serial) {
            Some(entry) => entry.state = State::Ready(reply),
            None => {
                let touches = Touches::new();
                self.entries.push_back(Entry { serial, touches, state: State::Ready(reply) });
            }
        }
    }

    /// Takes the oldest reply out, if it is known.
    pub(super) fn pop_ready(&mut self) -> Option<Vec<u8>> {
        let first = self.entries.pop_front_if(|entry| matches!(entry.state, State::Ready(_)))?;
        match first.state {
            State::Ready(reply) => {
                self.bytes -= reply.len();
                Some(reply)
            }
            State::Held(_) | State::Waiting(_) => None,
        }
    }

    /// Takes a JSON-RPC text out, whose answer leaves at once.
    pub(super) fn remove(&mut self, serial: Serial) -> Option<Waiting> {
        let at = self.entries.iter().position(|entry| entry.serial == serial)?;
        match self.entries.remove(at)?.state {
            State::Waiting(waiting) => Some(waiting),
            State::Held(_) | State::Ready(_) => None,
        }
    }

    fn find(&mut self, serial: Serial) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.serial == serial)
    }
}

impl Entry {
    fn blocks<'a>(&self, mut touches: impl Iterator<Item = Touch<'a>>) -> bool {
        let started = match &self.state {
            State::Ready(_) => return false,
            State::Held(_) => false,
            State::Waiting(waiting) => waiting.started,
        };
        touches.any(|touch| self.touches.iter().any(|earlier| touch.waits_for(earlier, started)))
    }
}

impl Waiting {
    /// One that does not take its place among the effects yet.
    pub(super) fn unstarted() -> Self {
        let since = Instant::now();
        Self { id: None, kind: CommandKind::Other, since, promises: Vec::new(), started: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touches(one: Touch<'static>) -> Touches {
        vec![one]
    }

    fn topic(name: &'static str) -> Touch<'static> {
        Touch::Topic(name.into())
    }

    fn log(name: &'static str) -> Touch<'static> {
        Touch::Log(name.into())
    }

    fn started() -> Waiting {
        Waiting { started: true, ..Waiting::unstarted() }
    }

    fn hold(ledger: &mut Ledger, serial: u64, touch: Touch<'static>) {
        ledger.hold(Serial(serial), touches(touch), HeldText::new(&serial.to_string()));
    }

    fn run(ledger: &mut Ledger) -> Vec<u64> {
        std::iter::from_fn(|| ledger.next_runnable().map(|(serial, _)| serial.0)).collect()
    }

    #[test]
    fn typed_replies_leave_in_the_order_of_their_frames() {
        let mut ledger = Ledger::default();
        ledger.wait(Serial(1), touches(log("a")), started());
        ledger.settle(Serial(2), b"two".to_vec());
        ledger.wait(Serial(3), touches(log("b")), started());
        assert!(ledger.pop_ready().is_none());
        ledger.settle(Serial(3), b"three".to_vec());
        assert!(ledger.pop_ready().is_none() && ledger.entries.len() == 3);
        ledger.settle(Serial(1), b"one".to_vec());
        let left: Vec<_> = std::iter::from_fn(|| ledger.pop_ready()).collect();
        assert_eq!(left, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        assert!(ledger.is_empty());
    }

    #[test]
    fn a_held_command_runs_when_nothing_before_it_touches_the_same() {
        let mut ledger = Ledger::default();
        ledger.wait(Serial(1), touches(log("a")), started());
        assert!(ledger.blocks(|| [topic("a")].into_iter()) && !ledger.blocks(|| [topic("b")].into_iter()));
        assert!(!ledger.blocks(|| [log("a")].into_iter()), "publishes that were started keep their order");
        hold(&mut ledger, 2, topic("a"));
        assert!(ledger.blocks(|| [log("a")].into_iter()), "but not one that is held");
        hold(&mut ledger, 3, log("a"));
        hold(&mut ledger, 4, topic("b"));
        assert_eq!(run(&mut ledger), [4]);
        ledger.settle(Serial(1), vec![]);
        assert_eq!(run(&mut ledger), [2], "3 waits for 2");
        ledger.settle(Serial(2), vec![]);
        assert_eq!(run(&mut ledger), [3]);
    }

    #[test]
    fn a_login_waits_for_all_before_it_and_all_behind_it_wait() {
        let mut ledger = Ledger::default();
        ledger.wait(Serial(1), touches(log("a")), started());
        hold(&mut ledger, 2, Touch::Login);
        hold(&mut ledger, 3, Touch::Nothing);
        hold(&mut ledger, 4, topic("b"));
        assert!(run(&mut ledger).is_empty() && ledger.has_held());
        ledger.settle(Serial(1), vec![]);
        assert_eq!(run(&mut ledger), [2]);
        ledger.settle(Serial(2), vec![]);
        assert_eq!(run(&mut ledger), [3, 4]);
        assert!(!ledger.has_held());
    }

    #[test]
    fn a_publish_whose_token_is_verified_blocks_those_behind_it() {
        let mut ledger = Ledger::default();
        ledger.wait(Serial(1), touches(log("a")), Waiting::unstarted());
        assert!(ledger.blocks(|| [log("a")].into_iter()));
        ledger.waiting(Serial(1)).unwrap().started = true;
        assert!(!ledger.blocks(|| [log("a")].into_iter()));
        assert!(ledger.remove(Serial(1)).is_some() && ledger.is_empty());
    }

    #[test]
    fn it_is_full_at_64() {
        let mut ledger = Ledger::default();
        for serial in 0..MAX_OUTSTANDING as u64 {
            assert!(!ledger.is_full());
            ledger.wait(Serial(serial), touches(Touch::Nothing), started());
        }
        assert!(ledger.is_full());
    }

    #[test]
    fn it_is_full_at_1_mib_of_frames_and_replies() {
        let mut ledger = Ledger::default();
        ledger.wait(Serial(0), touches(log("a")), started());
        ledger.settle(Serial(1), vec![0; MAX_BYTES / 2]);
        ledger.hold(Serial(2), touches(topic("a")), HeldText::new(&"x".repeat(MAX_BYTES / 2 - 1)));
        assert!(!ledger.is_full());
        ledger.settle(Serial(3), vec![0; 1]);
        assert!(ledger.is_full());
        ledger.settle(Serial(0), vec![]);
        assert_eq!(run(&mut ledger), [2]);
        assert!(!ledger.is_full());
        assert!(std::iter::from_fn(|| ledger.pop_ready()).count() == 2 && ledger.bytes == 1);
    }
}
