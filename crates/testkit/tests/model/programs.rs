//! Small programs, each about one thing. `s` is a strict topic, `d` one that drops the oldest.

use fanfare_testkit::model::Command::*;
use fanfare_testkit::model::{ConnSpec, Program};

/// A hearer leaves while another shard publishes.
pub(crate) fn unsubscribe() -> Program {
    let hearer = ConnSpec::quick(0, 0, &[Subscribe("s"), Unsubscribe("s")]);
    let sender = ConnSpec::quick(1, 1, &[Subscribe("s"), Publish("s"), Publish("s")]);
    Program::new(2, vec![hearer, sender])
}

/// A sender hears itself, leaves and comes back.
pub(crate) fn leave() -> Program {
    let sender = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Unsubscribe("s"), Subscribe("s")]);
    let other = ConnSpec::quick(1, 2, &[Subscribe("s"), Publish("s")]);
    Program::new(2, vec![sender, other])
}

/// Three on one shard come and go between the slices of its flushes.
pub(crate) fn sliced() -> Program {
    let a = ConnSpec::quick(0, 0, &[Subscribe("s"), Unsubscribe("s"), Subscribe("s")]);
    let b = ConnSpec::quick(0, 1, &[Subscribe("s"), Publish("s")]);
    let c = ConnSpec::quick(0, 0, &[Subscribe("s"), Close]);
    Program::new(1, vec![a, b, c]).outside(&[Publish("s")])
}

/// A topic is deleted from outside and comes back.
pub(crate) fn delete() -> Program {
    let hearer = ConnSpec::quick(0, 0, &[Subscribe("s"), Unsubscribe("s"), Subscribe("s")]);
    let sender = ConnSpec::quick(1, 1, &[Subscribe("s"), Publish("s")]);
    Program::new(2, vec![hearer, sender]).outside(&[Delete("s")])
}

/// A topic is deleted on the shard of its hearers.
pub(crate) fn delete_at_home() -> Program {
    let a = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Subscribe("s")]);
    let b = ConnSpec::quick(0, 1, &[Subscribe("s"), Delete("s"), Unsubscribe("s")]);
    let c = ConnSpec::quick(0, 0, &[Subscribe("s"), Close]);
    Program::new(1, vec![a, b, c])
}

/// A sender excludes itself, across lives of the topic.
pub(crate) fn exclude() -> Program {
    let a =
        ConnSpec::quick(0, 0, &[Subscribe("s"), PublishExcluded("s"), Publish("s"), PublishExcluded("s")]);
    let b = ConnSpec::quick(0, 0, &[Subscribe("s")]);
    Program::new(1, vec![a, b]).outside(&[Delete("s"), Make("s")])
}

/// A replay while another shard publishes.
pub(crate) fn replay() -> Program {
    let sender = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Publish("s")]);
    let late = ConnSpec::quick(1, 1, &[Since("s", 1), Unsubscribe("s")]);
    Program::new(2, vec![sender, late])
}

/// The newest events first, while another shard publishes and the history is short.
pub(crate) fn newest(count: u32) -> Program {
    let sender = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Publish("s")]);
    let late = ConnSpec::quick(1, 1, &[Last("s", count), Last("s", 1)]);
    Program::new(2, vec![sender, late]).history(2)
}

/// A replay to a socket that is full, of a topic that is deleted.
pub(crate) fn slow_replay() -> Program {
    let sender = ConnSpec::quick(0, 0, &[Subscribe("s"), Publish("s"), Publish("s")]);
    let late = ConnSpec::slow(0, 1, (30, 1, 25), &[Since("s", 2)]);
    Program::new(1, vec![sender, late]).outside(&[Publish("s"), Delete("s")])
}

/// A history shorter than what a slow replay misses.
pub(crate) fn lost_replay(topic: &'static str) -> Program {
    let sender = ConnSpec::quick(0, 0, &[Subscribe(topic), Publish(topic)]);
    let late = ConnSpec::slow(0, 1, (32, 1, 25), &[Since(topic, 1)]);
    Program::new(1, vec![sender, late]).history(1).outside(&[Publish(topic); 2])
}

/// A strict topic and a client that does not read.
pub(crate) fn overflow() -> Program {
    let slow = ConnSpec::slow(0, 1, (22, 1, 12), &[Subscribe("s"), Unsubscribe("s")]);
    let sender = ConnSpec::quick(1, 0, &[Publish("s"), Publish("s"), Publish("s")]);
    Program::new(2, vec![slow, sender]).queue(1).outside(&[Make("s")])
}

/// A batch larger than the queue, with an excluded event, and sockets with room for all of it.
pub(crate) fn large_batch(topic: &'static str) -> Program {
    let sender = ConnSpec::quick(
        0,
        0,
        &[Subscribe(topic), PublishExcluded(topic), Publish(topic), Publish(topic), Publish(topic)],
    );
    let hearer = ConnSpec::quick(0, 1, &[Subscribe(topic)]);
    Program::new(1, vec![sender, hearer]).queue(2)
}

/// A topic that drops and a client that does not read.
pub(crate) fn drops() -> Program {
    let slow = ConnSpec::slow(0, 1, (22, 2, 7), &[Subscribe("d")]);
    let sender =
        ConnSpec::quick(0, 0, &[Subscribe("d"), Publish("d"), Publish("d"), Publish("d"), Publish("d")]);
    Program::new(1, vec![slow, sender]).queue(1)
}

/// A client that does not read leaves a topic that drops: what it missed comes before its unsubscribe's reply.
pub(crate) fn dropped_and_left() -> Program {
    let slow = ConnSpec::slow(0, 0, (22, 1, 9), &[Subscribe("d"), Unsubscribe("d")]);
    let sender = ConnSpec::quick(0, 1, &[Subscribe("d"), Publish("d"), Publish("d"), Publish("d")]);
    Program::new(1, vec![slow, sender]).queue(1)
}

/// Both policies on one connection that reads slowly.
pub(crate) fn mixed() -> Program {
    let slow = ConnSpec::slow(0, 0, (46, 1, 9), &[Subscribe("d"), Subscribe("s"), Unsubscribe("d")]);
    let sender = ConnSpec::quick(0, 0, &[Publish("d"), Publish("s"), Publish("d"), Publish("s")]);
    Program::new(1, vec![slow, sender]).queue(1).outside(&[Make("s"), Make("d")])
}

/// A socket that breaks with a backlog.
pub(crate) fn broken() -> Program {
    let slow = ConnSpec::slow(0, 0, (22, 1, 9), &[Subscribe("d"), Break]);
    let sender = ConnSpec::quick(0, 0, &[Subscribe("d"), Publish("d"), Publish("d"), Publish("d")]);
    Program::new(1, vec![slow, sender]).queue(1)
}
