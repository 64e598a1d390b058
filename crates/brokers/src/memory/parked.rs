//! Logs of topics without subscribers, indexed by name, by expiry and by owner.
//!
//! Which of them are evicted for a new topic is the rule of [`fanfare_core::ports::Broker::open`]: a client's own
//! first, and never those of an API key or admin for a client, nor a user's for an anonymous client.

use fanfare_core::model::Client;
use fanfare_core::ports::{Claim, Log};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// When a log expires, and a serial number that distinguishes logs with the same expiry.
type End = (u64, u64);

#[derive(Default)]
pub(super) struct Parked {
    by_name: HashMap<Arc<str>, (Log, End)>,
    by_end: BTreeMap<End, Arc<str>>,
    /// The logs of each client; under `None`, those of API keys and admins.
    by_owner: HashMap<Option<Client>, BTreeSet<End>>,
    /// The number of logs of each anonymous client.
    anonymous: BTreeSet<(usize, Client)>,
    /// The number of logs of each user.
    users: BTreeSet<(usize, Client)>,
    serial: u64,
}

impl Parked {
    /// Removes and returns the log of a topic with its expiry.
    pub(super) fn take(&mut self, topic: &str) -> Option<(Log, u64)> {
        let (log, end) = self.by_name.remove(topic)?;
        self.by_end.remove(&end);
        self.of_owner(&log.client, |ends| {
            ends.remove(&end);
        });
        Some((log, end.0))
    }

    pub(super) fn put(&mut self, topic: Arc<str>, log: Log, now_ms: u64) {
        self.serial += 1;
        let end = (now_ms + log.tail.ttl_ms(), self.serial);
        self.of_owner(&log.client, |ends| {
            ends.insert(end);
        });
        self.by_end.insert(end, topic.clone());
        self.by_name.insert(topic, (log, end));
    }

    /// Drops the logs that have expired at `now_ms`.
    pub(super) fn end_until(&mut self, now_ms: u64) {
        while let Some((end, topic)) = self.by_end.first_key_value()
            && end.0 <= now_ms
        {
            let topic = topic.clone();
            drop(self.take(&topic));
        }
    }

    /// Makes room for one more topic; returns false if nothing may be evicted.
    pub(super) fn make_room(&mut self, claim: &Claim) -> bool {
        let owner = &claim.client;
        if owner.is_some() {
            let parked = self.by_owner.get(owner).map_or(0, BTreeSet::len);
            for _ in 0..(claim.own_live + parked).saturating_sub(claim.own_max) {
                self.drop_oldest_of(owner);
            }
        }
        while self.by_name.len() + claim.live > claim.max {
            if !self.drop_for(owner) {
                return false;
            }
        }
        true
    }

    fn drop_for(&mut self, owner: &Option<Client>) -> bool {
        if owner.is_some() && self.drop_oldest_of(owner) {
            return true;
        }
        let users = matches!(owner, None | Some(Client::User(_))).then(|| self.users.last()).flatten();
        match self.anonymous.last().or(users) {
            Some((_, client)) => {
                let client = Some(client.clone());
                self.drop_oldest_of(&client)
            }
            None => owner.is_none() && self.drop_oldest_of(&None),
        }
    }

    fn drop_oldest_of(&mut self, owner: &Option<Client>) -> bool {
        let oldest = self.by_owner.get(owner).and_then(|ends| self.by_end.get(ends.first()?)).cloned();
        oldest.and_then(|topic| self.take(&topic)).is_some()
    }

    /// Changes the logs of an owner and updates the counts.
    fn of_owner(&mut self, owner: &Option<Client>, change: impl FnOnce(&mut BTreeSet<End>)) {
        let ends = self.by_owner.entry(owner.clone()).or_default();
        let before = ends.len();
        change(ends);
        let after = ends.len();
        if after == 0 {
            self.by_owner.remove(owner);
        }
        let Some(client) = owner else { return };
        let sizes = match client {
            Client::Network(_) => &mut self.anonymous,
            Client::User(_) => &mut self.users,
        };
        sizes.remove(&(before, client.clone()));
        if after > 0 {
            sizes.insert((after, client.clone()));
        }
    }
}
