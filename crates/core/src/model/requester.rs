//! On whose behalf something is published or made.

use std::net::IpAddr;
use std::sync::Arc;

/// On whose behalf an event is published or a topic made: what idempotency keys and shares are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requester<'a> {
    /// Nobody known, from this address (an IPv6 network by its first address).
    Anonymous(IpAddr),
    /// A user, by the id.
    User(&'a str),
    /// A user whose role is admin, by the id.
    Admin(&'a str),
    /// The application's backend by an API key, or the server itself.
    Backend,
}

/// A client whose topics, histories and feed groups are counted: all of a network that nobody is known of, or a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// The anonymous of this network, by its first address.
    Network(IpAddr),
    /// A user, by the id.
    User(Arc<str>),
}

impl Requester<'_> {
    /// The client whose share this requester uses; none for API keys and admins, who have no share.
    pub fn client(&self) -> Option<Client> {
        match self {
            Self::Anonymous(network) => Some(Client::Network(*network)),
            Self::User(id) => Some(Client::User((*id).into())),
            Self::Admin(_) | Self::Backend => None,
        }
    }

    /// The key `key` of this requester, apart from the same key of others: each user's keys are the user's own, those of all
    /// API keys are one set and those of all the anonymous another (`protocol.md` 6).
    pub fn scoped_key(&self, key: &str) -> String {
        match self {
            // An id is told from the key behind it by its length.
            Self::User(id) | Self::Admin(id) => format!("u{}:{id}{key}", id.len()),
            Self::Backend => format!("b{key}"),
            Self::Anonymous(_) => format!("a{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Requester;

    #[test]
    fn keys_are_told_apart_by_publisher_and_by_nothing_else() {
        let anonymous = |last| Requester::Anonymous([127, 0, 0, last].into());
        assert_eq!(anonymous(1).scoped_key("k"), anonymous(2).scoped_key("k"));
        assert_eq!(Requester::User("7").scoped_key("k"), Requester::Admin("7").scoped_key("k"));
        let all = [
            anonymous(1).scoped_key("k"),
            Requester::Backend.scoped_key("k"),
            Requester::User("k").scoped_key(""),
            Requester::User("").scoped_key("k"),
            Requester::User("1:a").scoped_key("k"),
            Requester::User("1:").scoped_key("ak"),
            anonymous(1).scoped_key("u1:ak"),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
    }
}
