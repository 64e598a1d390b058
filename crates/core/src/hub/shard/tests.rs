//! What lies between two locks of one command: other threads get there, which no step of the model does.

use super::*;
use crate::hub::Inbox;
use crate::model::{Delivery, Epoch, EventId, EventMeta, StartFrom, TopicRef};
use crate::ports::{Appended, Broker, Claim, Encoder, Log, NewEvent, Opened, Retention, Sequencer, VARIANTS};
use crate::topics::{Chain, Histories, Tail, TopicOptions, TopicsConfig};

const NOW: u64 = 1_000_000;

/// Logs that count and keep nothing.
#[derive(Debug)]
struct Counting(u64);

impl Broker for Counting {
    fn open(&self, _: &str, options: &TopicOptions, _: &Claim, _: u64) -> Option<Opened> {
        let tail = Tail::new(options.retention, &Histories::new(0));
        let (chain, sequencer) = (Chain::new(Epoch(1)), Box::new(Counting(0)));
        Some(Opened::Here(Log { chain, tail, sequencer, client: None }))
    }
    fn park(&self, _: &str, _: Log, _: u64) {}
    fn forget(&self, _: &str, _: u64) -> bool {
        false
    }
    fn sweep(&self, _: u64) {}
}

impl Sequencer for Counting {
    fn append(&mut self, _: &NewEvent<'_>) -> Appended {
        self.0 += 1;
        let id = EventId { time: self.0, node: 0 };
        Appended::New(EventMeta { id, offset: self.0, at_ms: NOW })
    }
}

/// Events are their offsets; nothing else is sent.
struct Offsets;

impl Encoder for Offsets {
    fn delivery(&self, delivery: &Delivery<'_>, out: &mut Vec<u8>) {
        if let Delivery::Event(event) = delivery {
            out.push(event.meta.offset as u8);
        }
    }
    fn info(&self, _: &Info<'_>, _: u64, _: &mut Vec<u8>) {}
    fn error(&self, _: &Refusal, _: u64, _: &mut Vec<u8>) {}
    fn close(&self, _: u16, _: &str, _: &mut Vec<u8>) {}
}

fn shard() -> (Shard<()>, Arc<Topics<()>>) {
    let retention = Retention { size: 0, ttl_ms: 0, bytes: 0 };
    let options = TopicOptions { backpressure: Backpressure::Disconnect, retention, durable: None };
    let config = TopicsConfig {
        max_topics: 8,
        topics_per_client: 8,
        publish_creates: false,
        options: Box::new(move |_| options),
    };
    let encoders: [Box<dyn Encoder>; VARIANTS] =
        std::array::from_fn(|_| Box::new(Offsets) as Box<dyn Encoder>);
    let inboxes: Vec<Inbox<()>> = vec![Inbox::new(|| {})];
    let topics = Arc::new(Topics::new(inboxes.into(), Arc::new(Counting(0)), Arc::new(encoders), config));
    let queue = QueueLimits { messages: 8, bytes: 1 << 10 };
    let now = Turn { at: Instant::now(), ms: NOW };
    (Shard::new(ShardConfig { id: 0, queue, max_subscriptions: 8 }, topics.clone(), now), topics)
}

/// Publishes from no shard, as another thread does.
fn publish(topics: &Topics<()>) {
    let publishing = Publishing {
        topic: "t",
        payload: "1",
        client_id: "rest",
        idempotency_key: None,
        publisher: Requester::Backend,
        exclude: None,
        shard: None,
        now_ms: NOW,
        at: Instant::now(),
    };
    topics.publish(&publishing).unwrap();
}

#[test]
fn what_others_publish_while_a_subscriber_leaves_is_not_delivered_to_it() {
    let (mut shard, topics) = shard();
    let (stays, leaves) = (shard.open(0).slot(), shard.open(1).slot());
    for slot in [stays, leaves] {
        let topic = TopicRef::parse("t").unwrap();
        let command = Subscribe { topic, client_id: None, start: StartFrom::Live, token: None };
        shard.subscribe(slot, &command, Requester::Backend, NOW, &mut Vec::new()).unwrap();
    }
    publish(&topics);
    // An unsubscribe, step by step: once it has left, nobody receives the second variant, so later events lack it.
    let at = shard.find(leaves, Space::Topic, "t").unwrap();
    let topic = shard.local(shard.cold[leaves as usize].subs[at].local).topic.clone();
    let head = topics.leave(&topic, shard.seat(leaves), NOW);
    publish(&topics);
    let mut out = Vec::new();
    shard.part(leaves, at, head, &mut out);
    assert_eq!((out.as_slice(), shard.sent(leaves), shard.is_subscribed(leaves, "t")), (&[1][..], 1, false));
    assert_eq!(shard.jobs.len(), 2, "both are the other subscriber's");
}
