//! `since`: records that a client has missed, read again from the source's own log.
//!
//! Data flow: the shard enters the subscription into its group and requests from the [`HubPrelude`] the records between
//! the client's positions and the channel's; the [`Pump`] of this subscription reads them from the source and passes
//! them on in chunks, at most two ahead of the client; when the shard finds that the group's ring has advanced too far
//! meanwhile, it requests more from the client's position on. A source that becomes unavailable in the middle is
//! retried.

use super::{JsonLookup, NodeFeeds, Running};
use crate::posts::{ForConn, Posts};
use fanfare_core::feeds::{FeedRecord, GroupSpec, Positions, Prelude, Taken};
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::{ErrorCode, FeedPosition, FeedSubscribed, Refusal};
use fanfare_feeds::{Record, Replay, ReplayRefused};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Chunks that wait for the shard.
const AHEAD: usize = 2;
/// Pause between retries of an unavailable source.
const RETRY: Duration = Duration::from_secs(1);
/// How long a client waits until the node's live position is known, and the pause between two checks.
const CATCH_UP: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// Send the records above `after` up to `until`.
#[derive(Debug)]
struct Order {
    after: Option<Positions>,
    until: Positions,
}

/// The shard's end of a prelude.
#[derive(Debug)]
pub(crate) struct HubPrelude {
    orders: mpsc::UnboundedSender<Order>,
    chunks: mpsc::Receiver<Taken>,
    seen: Arc<Mutex<Positions>>,
}

impl Prelude for HubPrelude {
    fn show(&mut self, after: Option<&Positions>, until: &Positions) -> bool {
        self.orders.send(Order { after: after.cloned(), until: until.clone() }).is_ok()
    }

    fn take(&mut self) -> Taken {
        match self.chunks.try_recv() {
            Ok(taken) => taken,
            Err(mpsc::error::TryRecvError::Empty) => Taken::Later,
            Err(mpsc::error::TryRecvError::Disconnected) => Taken::End,
        }
    }

    fn seen(&self) -> Positions {
        self.seen.lock().clone()
    }
}

/// The runtime's end of a [`HubPrelude`].
pub(crate) struct Since {
    orders: mpsc::UnboundedReceiver<Order>,
    chunks: mpsc::Sender<Taken>,
    /// The client's positions, for partitions whose log they belong to. Shared with the shard's end.
    seen: Arc<Mutex<Positions>>,
}

/// The two ends of a prelude.
pub(crate) fn prelude() -> (HubPrelude, Since) {
    let (orders, ordered) = mpsc::unbounded_channel();
    let (chunks, shown) = mpsc::channel(AHEAD);
    let seen = Arc::<Mutex<Positions>>::default();
    (HubPrelude { orders, chunks: shown, seen: seen.clone() }, Since { orders: ordered, chunks, seen })
}

/// A subscription with `since`.
pub(crate) struct Wanted {
    /// The connection.
    pub(crate) addr: ConnAddr,
    /// The channel.
    pub(crate) channel: Box<str>,
    /// The records it receives.
    pub(crate) spec: Arc<GroupSpec>,
    /// The last offsets the client received.
    pub(crate) since: Vec<FeedPosition>,
}

impl NodeFeeds {
    /// Serves a subscription that was entered: replies to it once, then sends the requested records until it ends.
    pub(crate) async fn serve_since(
        feeds: Arc<NodeFeeds>,
        posts: Posts,
        wanted: Wanted,
        mut ends: Since,
        answer: impl FnOnce(Result<FeedSubscribed, Refusal>),
    ) {
        let Some(running) = feeds.running() else { return answer(Err(unavailable())) };
        let Some(order) = ends.orders.recv().await else { return answer(Err(gone())) };
        let seen = |p: &FeedPosition| ((Arc::from(&*p.topic), p.partition), p.offset);
        let pump =
            Pump { seen: wanted.since.iter().map(seen).collect(), until: order.until, feeds, posts, wanted };
        let opened = pump.open(&running).await;
        drop(running);
        let replay = match opened {
            Ok(replay) => replay,
            Err(refused) => {
                pump.give_up();
                return answer(Err(refused));
            }
        };
        let lost = replay.lost.clone();
        let kept = |(topic, number): &(Arc<str>, i32)| !lost.contains(&format!("{topic}/{number}"));
        *ends.seen.lock() =
            pump.seen.iter().filter(|(at, _)| kept(at)).map(|(at, o)| (at.clone(), *o)).collect();
        let channel = pump.wanted.channel.to_string();
        answer(Ok(FeedSubscribed { channel, recovered: Some(lost.is_empty()), lost, already: false }));
        if pump.after_the_reply().await.is_some() {
            pump.run(replay, ends).await;
        }
    }
}

/// Reads and sends a subscription's replay; see the module's head.
struct Pump {
    feeds: Arc<NodeFeeds>,
    posts: Posts,
    wanted: Wanted,
    /// The last offset of each partition that was sent, or that the client named.
    seen: Positions,
    until: Positions,
}

impl Pump {
    async fn open(&self, running: &Running) -> Result<Replay, Refusal> {
        let list = |all: &Positions| all.iter().map(|((t, p), offset)| (t.clone(), *p, *offset)).collect();
        let opening = running.feeds.replay(&self.wanted.channel, list(&self.seen), list(&self.until));
        opening.await.map_err(|refused| match refused {
            ReplayRefused::UnknownChannel => {
                Refusal::new(ErrorCode::ChannelNotFound, "the feed is gone").field("channel")
            }
            ReplayRefused::Unavailable => unavailable(),
        })
    }

    /// Ends the subscription: nothing can be sent.
    fn give_up(&self) {
        self.post(ForConn::LeaveFeed(self.wanted.channel.clone()));
    }

    fn post(&self, what: ForConn) {
        self.posts.post_for(self.wanted.addr, what);
    }

    /// Waits until the shard has processed earlier posts, in particular the reply.
    async fn after_the_reply(&self) -> Option<()> {
        let (done, reached) = oneshot::channel();
        self.post(ForConn::Reached(done));
        reached.await.ok()
    }

    async fn run(mut self, replay: Replay, mut ends: Since) {
        let mut replay = Some(replay);
        loop {
            if self.show(replay.take(), &ends.chunks).await.is_none() {
                return;
            }
            if self.bridge(&ends).await.is_none() {
                return;
            }
            if self.hand_over(Taken::End, &ends.chunks).await.is_none() {
                return;
            }
            let Some(order) = ends.orders.recv().await else { return };
            if let Some(after) = order.after {
                self.seen = after;
            }
            self.until = order.until;
        }
    }

    /// Closes the gap between the replay and the live records where the node had no position yet: after a restart the
    /// start of live reading is unknown until the group has assigned the partition. Returns `None` when the
    /// subscription has ended.
    async fn bridge(&mut self, ends: &Since) -> Option<()> {
        let reached = self.live_positions(ends).await;
        let behind = |at: &(Arc<str>, i32), last: i64| self.seen.get(at).is_some_and(|seen| *seen < last);
        let missing: Positions = reached.into_iter().filter(|(at, last)| behind(at, *last)).collect();
        if missing.is_empty() {
            return Some(());
        }
        // The live records may include the same ones: the shard skips those sent here.
        self.until.extend(missing);
        self.show(None, &ends.chunks).await
    }

    /// Waits until the node knows its live position in the partitions that had no records when the replay started.
    /// Returns the last offset it has of each.
    async fn live_positions(&self, ends: &Since) -> Positions {
        let deadline = Instant::now() + CATCH_UP;
        while !ends.chunks.is_closed() {
            let Some(running) = self.feeds.running() else { break };
            let status = running.feeds.status();
            drop(running);
            let mut reached = Positions::new();
            let mut unknown = false;
            for at in ends.seen.lock().keys().filter(|at| !self.until.contains_key(at)) {
                let mut rows = status.feeds.iter().filter(|feed| feed.topic == at.0).peekable();
                let known = rows.peek().is_some();
                let next = rows.flat_map(|f| &f.partitions).find(|p| p.partition == at.1).map(|p| p.offset);
                // A partition that is not assigned to this node yet may start anywhere.
                unknown |= next.is_none() && known;
                reached.extend(next.map(|next| (at.clone(), next - 1)));
            }
            if !unknown || Instant::now() >= deadline {
                return reached;
            }
            tokio::time::sleep(LOOK).await;
        }
        Positions::new()
    }

    /// Sends all records up to `until`; returns `None` when the subscription has ended.
    async fn show(&mut self, mut replay: Option<Replay>, chunks: &mpsc::Sender<Taken>) -> Option<()> {
        loop {
            let Some(mut reading) = replay.take() else {
                replay = Some(self.open_again(chunks).await?);
                continue;
            };
            loop {
                match reading.next().await {
                    None => return Some(()),
                    Some(Err(_)) => break,
                    Some(Ok(records)) => {
                        let records = self.wanted_records(&records)?;
                        if !records.is_empty() {
                            self.hand_over(Taken::Records(records), chunks).await?;
                        }
                    }
                }
            }
        }
    }

    /// Opens the rest of a replay, retrying without a limit; unavailable positions are reported as dropped.
    async fn open_again(&mut self, chunks: &mpsc::Sender<Taken>) -> Option<Replay> {
        loop {
            let running = self.feeds.running()?;
            if let Ok(replay) = self.open(&running).await {
                for lost in &replay.lost {
                    self.tell_missed(lost, chunks).await?;
                }
                return Some(replay);
            }
            drop(running);
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = chunks.closed() => return None,
            }
        }
    }

    async fn tell_missed(&mut self, partition: &str, chunks: &mpsc::Sender<Taken>) -> Option<()> {
        let of = |(topic, number): &(Arc<str>, i32)| format!("{topic}/{number}") == partition;
        let until = self.until.iter().find(|(at, _)| of(at)).map(|(at, offset)| (at.clone(), *offset));
        let Some((at, until)) = until else { return Some(()) };
        let missed = until - self.seen.get(&at).copied().unwrap_or(until);
        self.seen.insert(at, until);
        match u64::try_from(missed) {
            Ok(missed) if missed > 0 => self.hand_over(Taken::Missed(missed), chunks).await,
            _ => Some(()),
        }
    }

    fn wanted_records(&mut self, records: &[Record]) -> Option<Vec<Arc<FeedRecord>>> {
        let running = self.feeds.running()?;
        let mut lookup = JsonLookup::default();
        let mut shaped = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            self.seen.insert((record.topic.clone(), record.partition), record.offset);
            let record = running.shaper.shape(record);
            if self.wanted.spec.includes(&record, at, &mut lookup) {
                shaped.push(Arc::new(record));
            }
        }
        Some(shaped)
    }

    async fn hand_over(&self, taken: Taken, chunks: &mpsc::Sender<Taken>) -> Option<()> {
        chunks.send(taken).await.ok()?;
        self.post(ForConn::FeedReady);
        Some(())
    }
}

fn unavailable() -> Refusal {
    let why = "the source of this feed cannot be reached now, so nothing can be replayed; try again, or subscribe without since";
    Refusal::new(ErrorCode::Unavailable, why).retry_after(RETRY.as_millis() as u64)
}

/// The subscription ended before it started.
fn gone() -> Refusal {
    Refusal::new(ErrorCode::Unavailable, "the subscription ended")
}
