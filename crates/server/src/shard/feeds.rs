//! Feed subscriptions of a connection. The reply of one with `since` waits for the source.

use super::Driver;
use super::waits::{Step, Via, reply_to};
use crate::feeds::{HubPrelude, JsonLookup, NodeFeeds, Wanted, prelude};
use fanfare_core::feeds::{ChannelOptions, GroupSpec};
use fanfare_core::hub::{ConnAddr, FeedStart};
use fanfare_core::model::{FeedSubscribed, Refusal, Reply, SubscribeFeed};
use std::sync::Arc;

/// Takes the reply of a subscription with `since`.
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
        order: &SubscribeFeed<'_>,
    ) -> Result<Result<(Wanted, ChannelOptions), FeedSubscribed>, Refusal> {
        let since = order.since.as_deref().unwrap_or_default();
        let options = self.node.feeds.options_since(&order.channel, since)?;
        if self.hub.is_subscribed_to_feed(slot, &order.channel) {
            let channel = order.channel.to_string();
            return Ok(Err(FeedSubscribed { channel, already: true, ..FeedSubscribed::default() }));
        }
        let wanted = Wanted {
            addr: self.hub.addr(slot),
            channel: (*order.channel).into(),
            spec: Arc::new(order.spec.clone()),
            since: since.to_vec(),
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

    /// Subscribes to a feed with `since`: the reply comes when the source's log has been asked.
    pub(super) fn subscribe_since(
        &mut self,
        slot: u32,
        order: &SubscribeFeed<'_>,
        via: Via,
    ) -> Result<Step, Refusal> {
        match self.begin_since(slot, order)? {
            Err(done) => Ok(Step::Done(Reply::FeedSubscribed(done))),
            Ok((wanted, options)) => {
                let (reply, later) = reply_to(&self.node.posts, self.hub.addr(slot), via);
                let answer = move |result: Result<FeedSubscribed, Refusal>| {
                    reply(result.map(Reply::FeedSubscribed));
                };
                self.serve_since(slot, wanted, options, Box::new(answer));
                Ok(Step::Later(later))
            }
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
