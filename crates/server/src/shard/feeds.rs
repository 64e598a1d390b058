//! Feed subscriptions of a connection. One with `since` waits for the source: on the typed dialect nothing behind its frame is
//! looked at before it is answered, so answers keep the order of the frames.

use super::Driver;
use crate::feeds::{HubPrelude, JsonLookup, NodeFeeds, Wanted, prelude};
use crate::posts::ForConn;
use fanfare_core::feeds::{ChannelOptions, GroupSpec};
use fanfare_core::hub::{ConnAddr, FeedStart};
use fanfare_core::model::{ErrorCode, FeedSubscribed, Refusal, Reply, SubscribeFeed};
use fanfare_dialects::typed::{self, RequestId};
use fanfare_rpc::Either;
use fanfare_ws::{OpCode, encode};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Who is told the answer of a subscription with `since`.
type Answer = Box<dyn FnOnce(Result<FeedSubscribed, Refusal>) + Send>;

impl Driver {
    /// Subscribes to a feed without `since`.
    pub(super) fn subscribe_feed(
        &mut self,
        slot: u32,
        order: &SubscribeFeed<'_>,
    ) -> Result<FeedSubscribed, Refusal> {
        let options = self.node.feeds.options(&order.channel)?;
        let mut lookup = JsonLookup::default();
        let start = if order.snapshot { FeedStart::Snapshot(&mut lookup) } else { FeedStart::Live };
        let spec = Arc::new(order.spec.clone());
        let conn = &self.conns[slot as usize];
        let by = conn.caller().requester(conn.address());
        let new = self.hub.subscribe_feed(slot, &order.channel, &spec, options, by, start)?;
        Ok(FeedSubscribed { channel: order.channel.to_string(), already: !new, ..FeedSubscribed::default() })
    }

    pub(super) fn unsubscribe_feed(&mut self, slot: u32, channel: &str) -> Result<Reply<'static>, Refusal> {
        let before = self.out.len();
        let was = self.hub.unsubscribe_feed(slot, channel, self.now.ms, &mut self.out);
        self.out_messages += usize::from(self.out.len() > before);
        if !was {
            self.node.feeds.options(channel)?;
        }
        Ok(Reply::FeedUnsubscribed { channel: channel.to_owned(), already: !was })
    }

    /// Begins a subscription with `since`, if there is anything to wait for.
    fn begin_since(
        &mut self,
        slot: u32,
        order: &mut SubscribeFeed<'_>,
    ) -> Result<Result<(Wanted, ChannelOptions), FeedSubscribed>, Refusal> {
        let since = order.since.as_deref().unwrap_or_default();
        let options = self.node.feeds.options_since(&order.channel, since)?;
        if self.hub.hears_feed(slot, &order.channel) {
            let channel = order.channel.to_string();
            return Ok(Err(FeedSubscribed { channel, already: true, ..FeedSubscribed::default() }));
        }
        let wanted = Wanted {
            addr: self.hub.addr(slot),
            channel: (*order.channel).into(),
            spec: Arc::new(std::mem::take(&mut order.spec)),
            since: order.since.take().unwrap_or_default(),
        };
        Ok(Ok((wanted, options)))
    }

    /// Enters a subscription with `since` into its group and lets the runtime do the rest.
    fn serve_since(&mut self, slot: u32, wanted: Wanted, options: ChannelOptions, answer: Answer) {
        let (shown, ends) = prelude();
        match self.enter_replay(slot, &wanted.channel, &wanted.spec, options, shown) {
            Ok(()) => {
                let node = self.node.clone();
                self.node.runtime.spawn(NodeFeeds::serve_since(
                    node.feeds.clone(),
                    node.posts.clone(),
                    wanted,
                    ends,
                    answer,
                ));
            }
            Err(refusal) => answer(Err(refusal)),
        }
    }

    fn enter_replay(
        &mut self,
        slot: u32,
        channel: &str,
        spec: &Arc<GroupSpec>,
        options: ChannelOptions,
        shown: HubPrelude,
    ) -> Result<(), Refusal> {
        let start = FeedStart::Replay(Box::new(shown));
        let conn = &self.conns[slot as usize];
        let by = conn.caller().requester(conn.address());
        self.hub.subscribe_feed(slot, channel, spec, options, by, start).map(|_| ())
    }

    /// `feed.subscribe` of JSON-RPC.
    pub(super) fn subscribe_feed_rpc(
        &mut self,
        slot: u32,
        mut order: SubscribeFeed<'_>,
    ) -> Result<Either<FeedSubscribed>, Refusal> {
        self.may_command(slot)?;
        if order.since.is_none() {
            return self.subscribe_feed(slot, &order).map(Either::Now);
        }
        match self.begin_since(slot, &mut order)? {
            Err(done) => Ok(Either::Now(done)),
            Ok((wanted, options)) => {
                let (tell, told) = oneshot::channel();
                let answer = move |result| {
                    let _gone = tell.send(result);
                };
                self.serve_since(slot, wanted, options, Box::new(answer));
                let ended = || Refusal::new(ErrorCode::Unavailable, "the subscription ended");
                Ok(Either::Later(Box::pin(async move { told.await.unwrap_or_else(|_| Err(ended())) })))
            }
        }
    }

    /// `subscribe` with `since` of the typed dialect: `None` when it waits, and the connection with it.
    pub(super) fn subscribe_since(
        &mut self,
        slot: u32,
        order: &mut SubscribeFeed<'_>,
        id: Option<RequestId<'_>>,
    ) -> Option<Result<Reply<'static>, Refusal>> {
        let begun = self.may_command(slot).and_then(|()| self.begin_since(slot, order));
        let (wanted, options) = match begun {
            Ok(Ok(begun)) => begun,
            Ok(Err(done)) => return Some(Ok(Reply::FeedSubscribed(done))),
            Err(refusal) => return Some(Err(refusal)),
        };
        self.conns[slot as usize].rare().verifying = true;
        let (node, addr, id) = (self.node.clone(), wanted.addr, id.map(|id| Box::<str>::from(id.0)));
        let answer = move |result: Result<FeedSubscribed, Refusal>| {
            node.posts.post_for(addr, ForConn::FeedSubscribed(id, result));
        };
        self.serve_since(slot, wanted, options, Box::new(answer));
        None
    }

    /// The answer of a subscription with `since` is there; reading goes on.
    pub(super) fn answer_since(
        &mut self,
        addr: ConnAddr,
        id: Option<&str>,
        result: Result<FeedSubscribed, Refusal>,
    ) {
        let Some(slot) = self.hub.slot_of(addr) else { return };
        self.conns[slot as usize].rare().verifying = false;
        if !self.conns[slot as usize].is_open() {
            return;
        }
        self.out.clear();
        self.out_messages = 1;
        let id = id.map(RequestId);
        let mut frame = encode::FrameWriter::begin(&mut self.out, OpCode::Text, 126);
        match result {
            Ok(done) => typed::write_reply(&Reply::FeedSubscribed(done), id, self.now.ms, frame.payload()),
            Err(refusal) => {
                self.metrics.error(refusal.code);
                typed::write_error(&refusal, id, self.now.ms, frame.payload());
            }
        }
        frame.finish();
        self.flush_out(slot);
        if !self.hub.is_paused(slot) {
            self.unpause(slot);
        }
    }

    /// Ends a subscription that could not be served.
    pub(super) fn leave_feed(&mut self, addr: ConnAddr, channel: &str) {
        if let Some(slot) = self.hub.slot_of(addr) {
            self.hub.unsubscribe_feed(slot, channel, self.now.ms, &mut Vec::new());
        }
    }

    /// A replay has something for a connection.
    pub(super) fn poke_feed(&mut self, addr: ConnAddr) {
        if let Some(slot) = self.hub.slot_of(addr) {
            self.hub.poke(slot);
        }
    }
}
