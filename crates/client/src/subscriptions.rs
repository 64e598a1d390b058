//! The topics a client is subscribed to and the position read in each, so that a new connection can continue from
//! there.

use std::collections::BTreeMap;

use crate::options::StartFrom;
use crate::wire::{Position, Subscribed};

#[derive(Debug)]
struct Subscription {
    /// The last position delivered to the user.
    seen: Position,
    /// The epoch that offsets of arriving events belong to. It differs from `seen.epoch` only between an ack that
    /// recovered into a new epoch and the first event after it.
    epoch: String,
}

/// The subscriptions, which outlive a connection.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions(BTreeMap<String, Subscription>);

impl Subscriptions {
    /// Applies an ack for a subscribe with this start.
    pub(crate) fn acked(&mut self, topic: &str, start: StartFrom, ack: &Subscribed) {
        if ack.already && self.0.contains_key(topic) {
            return;
        }
        // While a replay is still to arrive, the position to reconnect with is the one before it.
        let replayed = ack.history.unwrap_or(0).into();
        let seen = match start {
            StartFrom::Since(since) if ack.recovered == Some(true) => since,
            _ => Position { epoch: ack.epoch.clone(), offset: ack.offset.saturating_sub(replayed) },
        };
        self.0.insert(topic.to_owned(), Subscription { seen, epoch: ack.epoch.clone() });
    }

    /// Records an event delivered to the user.
    pub(crate) fn delivered(&mut self, topic: &str, offset: u64) {
        if let Some(subscription) = self.0.get_mut(topic) {
            subscription.seen.offset = offset;
            if subscription.seen.epoch != subscription.epoch {
                subscription.seen.epoch.clone_from(&subscription.epoch);
            }
        }
    }

    /// Records an own message that the server will not deliver (`exclude_self`). Only the next offset in order counts:
    /// with events still to arrive before it, skipping ahead would lose them.
    pub(crate) fn published_silently(&mut self, topic: &str, offset: u64) {
        if let Some(subscription) = self.0.get_mut(topic)
            && subscription.seen.epoch == subscription.epoch
            && subscription.seen.offset.checked_add(1) == Some(offset)
        {
            subscription.seen.offset = offset;
        }
    }

    /// Sets where a topic that has lost events continues.
    pub(crate) fn moved(&mut self, topic: &str, epoch: &str, offset: u64) {
        if let Some(subscription) = self.0.get_mut(topic) {
            subscription.seen = Position { epoch: epoch.to_owned(), offset };
            epoch.clone_into(&mut subscription.epoch);
        }
    }

    pub(crate) fn remove(&mut self, topic: &str) {
        self.0.remove(topic);
    }

    /// The topics with the position to request on a new connection.
    pub(crate) fn positions(&self) -> impl Iterator<Item = (&str, &Position)> {
        self.0.iter().map(|(topic, subscription)| (topic.as_str(), &subscription.seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &str, offset: u64) -> Position {
        Position { epoch: epoch.into(), offset }
    }

    fn ack(epoch: &str, offset: u64, recovered: Option<bool>) -> Subscribed {
        Subscribed { epoch: epoch.into(), offset, recovered, history: None, already: false, durable: false }
    }

    fn position(subscriptions: &Subscriptions) -> Position {
        subscriptions.positions().next().unwrap().1.clone()
    }

    #[test]
    fn without_since_the_head_is_the_position() {
        let mut s = Subscriptions::default();
        s.acked("t", StartFrom::Live, &ack("e", 17, None));
        assert_eq!(position(&s), at("e", 17));
        s.delivered("t", 18);
        assert_eq!(position(&s), at("e", 18));
    }

    #[test]
    fn newest_events_still_to_arrive_are_requested_again() {
        let mut s = Subscriptions::default();
        s.acked("t", StartFrom::Last(5), &Subscribed { history: Some(3), ..ack("e", 9, None) });
        assert_eq!(position(&s), at("e", 6));
        s.delivered("t", 7);
        assert_eq!(position(&s), at("e", 7));
    }

    #[test]
    fn a_replay_cut_short_is_requested_again() {
        let mut s = Subscriptions::default();
        s.acked("t", StartFrom::Since(at("e", 3)), &ack("e", 9, Some(true)));
        assert_eq!(position(&s), at("e", 3));
        s.delivered("t", 4);
        assert_eq!(position(&s), at("e", 4));
    }

    #[test]
    fn recovery_into_a_new_epoch_counts_from_its_first_event() {
        let mut s = Subscriptions::default();
        s.acked("t", StartFrom::Since(at("old", 3)), &ack("new", 2, Some(true)));
        assert_eq!(position(&s), at("old", 3));
        s.published_silently("t", 4);
        s.delivered("t", 1);
        assert_eq!(position(&s), at("new", 1));
    }

    #[test]
    fn an_unrecovered_subscription_starts_at_the_head() {
        let mut s = Subscriptions::default();
        s.acked("t", StartFrom::Since(at("old", 3)), &ack("new", 9, Some(false)));
        assert_eq!(position(&s), at("new", 9));
    }

    #[test]
    fn a_lost_position_is_continued_from_the_next() {
        let mut s = Subscriptions::default();
        s.acked("t", StartFrom::Live, &ack("e", 17, None));
        s.moved("t", "new", 3);
        assert_eq!(position(&s), at("new", 3));
        s.delivered("t", 4);
        assert_eq!(position(&s), at("new", 4));
    }

    #[test]
    fn own_silent_messages_never_skip_an_event() {
        let mut s = Subscriptions::default();
        s.acked("t", StartFrom::Live, &ack("e", 1, None));
        s.published_silently("t", 2);
        assert_eq!(position(&s), at("e", 2));
        s.published_silently("t", 4);
        assert_eq!(position(&s), at("e", 2));
    }
}
