//! On whose behalf something is published or made.

use std::net::IpAddr;
use std::sync::Arc;

/// On whose behalf an event is published or a topic made: what idempotency keys and shares are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requester<'a> {
    /// Nobody known, from this address (an IPv6 network by its first address).
    Anonymous(IpAddr),
    /// A user.
    User(UserRef<'a>),
    /// A user whose role is admin.
    Admin(UserRef<'a>),
    /// The application's backend by an API key, or the server itself.
    Backend,
}

/// A user who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRef<'a> {
    /// The id.
    pub id: &'a str,
    /// The username; subscribers see it as the event's `user`.
    pub name: &'a str,
}

/// A client whose topics, histories and feed groups are counted: all of a network that nobody is known of, or a user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// The anonymous of this network, by its first address.
    Network(IpAddr),
    /// A user, by the id.
    User(Arc<str>),
}

impl<'a> Requester<'a> {
    /// The username of a logged-in user; `None` for the anonymous and for API keys.
    pub fn username(&self) -> Option<&'a str> {
        match self {
            Self::User(user) | Self::Admin(user) => Some(user.name),
            Self::Anonymous(_) | Self::Backend => None,
        }
    }

    /// The client whose share this requester uses; none for API keys and admins, who have no share.
    pub fn client(&self) -> Option<Client> {
        match self {
            Self::Anonymous(network) => Some(Client::Network(*network)),
            Self::User(user) => Some(Client::User(user.id.into())),
            Self::Admin(_) | Self::Backend => None,
        }
    }

    /// The key `key` of this requester, apart from the same key of others: each user's keys are the user's own, those of all
    /// API keys are one set and those of all the anonymous another (`protocol.md` 6).
    pub fn scoped_key(&self, key: &str) -> String {
        match self {
            // The length separates the id from the key behind it.
            Self::User(UserRef { id, .. }) | Self::Admin(UserRef { id, .. }) => {
                format!("u{}:{id}{key}", id.len())
            }
            Self::Backend => format!("b{key}"),
            Self::Anonymous(_) => format!("a{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Requester, UserRef};

    fn user(id: &str) -> Requester<'_> {
        Requester::User(UserRef { id, name: "zoe" })
    }

    #[test]
    fn keys_are_told_apart_by_publisher_and_by_nothing_else() {
        let anonymous = |last| Requester::Anonymous([127, 0, 0, last].into());
        assert_eq!(anonymous(1).scoped_key("k"), anonymous(2).scoped_key("k"));
        let renamed = Requester::Admin(UserRef { id: "7", name: "zoë" });
        assert_eq!(user("7").scoped_key("k"), renamed.scoped_key("k"));
        let all = [
            anonymous(1).scoped_key("k"),
            Requester::Backend.scoped_key("k"),
            user("k").scoped_key(""),
            user("").scoped_key("k"),
            user("1:a").scoped_key("k"),
            user("1:").scoped_key("ak"),
            anonymous(1).scoped_key("u1:ak"),
        ];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:?}");
    }
}
