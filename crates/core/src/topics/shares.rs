//! How many live topics each client has made.

use crate::model::Client;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Number of independently locked parts.
const PARTS: usize = 16;

/// Live automatic topics by the client that made them. Only clients that have some are in it, so it is never larger than the
/// table of topics.
#[derive(Debug)]
pub(super) struct Shares {
    parts: [Mutex<HashMap<Client, usize>>; PARTS],
    hasher: RandomState,
    /// Places of one client.
    most: usize,
}

/// One place in a client's share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    shares: Arc<Shares>,
    client: Client,
}

impl Shares {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { parts: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::new(), most })
    }

    /// Places of one client at most.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    fn part(&self, client: &Client) -> &Mutex<HashMap<Client, usize>> {
        &self.parts[self.hasher.hash_one(client) as usize % PARTS]
    }

    /// A place for a client, and how many it has with this one; `None` when its share is taken.
    pub(super) fn take(self: &Arc<Self>, client: &Client) -> Option<(Place, usize)> {
        let mut part = self.part(client).lock();
        let had = part.get(client).copied().unwrap_or(0);
        if had >= self.most {
            return None;
        }
        part.insert(client.clone(), had + 1);
        Some((Place { shares: self.clone(), client: client.clone() }, had + 1))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut part = self.shares.part(&self.client).lock();
        let Some(count) = part.get_mut(&self.client) else { return };
        *count -= 1;
        if *count == 0 {
            part.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Shares};

    #[test]
    fn places_come_back_and_clients_without_any_are_not_kept() {
        let shares = Shares::new(2);
        let (network, user) = (Client::Network([192, 0, 2, 1].into()), Client::User("7".into()));
        let first = shares.take(&network).unwrap();
        let second = shares.take(&network).unwrap();
        assert_eq!((first.1, second.1), (1, 2));
        assert!(shares.take(&network).is_none());
        let other = shares.take(&user).unwrap();
        drop(first);
        assert_eq!(shares.take(&network).unwrap().1, 2, "and its place is free at once");
        drop((second, other));
        assert!(shares.parts.iter().all(|part| part.lock().is_empty()));
    }
}
