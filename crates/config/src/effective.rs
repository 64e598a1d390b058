//! What follows from several settings together.

use super::{ByteSize, Config, Environment, Host, Limits, Origin};
use fanfare_core::topics::rules::{Rights, Rule, TopicRules};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

/// A token bucket: its rate a second and its burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens a second.
    pub per_second: NonZeroU32,
    /// Tokens in a full bucket.
    pub burst: NonZeroU32,
}

impl Rate {
    /// `None` when off; a burst of 0 is one second's worth.
    fn new(per_second: u32, burst: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        Some(Self { per_second, burst: NonZeroU32::new(burst).unwrap_or(per_second) })
    }
}

impl Limits {
    /// Messages of one connection.
    pub fn messages(&self) -> Option<Rate> {
        Rate::new(self.messages_per_second, self.messages_burst)
    }

    /// Messages of one address over all connections.
    pub fn messages_per_ip(&self) -> Option<Rate> {
        Rate::new(self.messages_per_second_per_ip, self.messages_burst_per_ip)
    }

    /// Messages of one user over all connections.
    pub fn messages_per_user(&self) -> Option<Rate> {
        Rate::new(self.messages_per_second_per_user, self.messages_burst_per_user)
    }

    /// Server commands of one user over all connections.
    pub fn commands(&self) -> Option<Rate> {
        Rate::new(self.command_per_second, self.command_burst)
    }
}

impl Config {
    /// The origin users reach this server under: `server.public_origin`, or the bound listener's with `localhost` for
    /// an address that means all of them (`accounts-and-messages.md`).
    pub fn public_origin(&self, bound: SocketAddr) -> Origin {
        if let Some(origin) = &self.server.public_origin {
            return origin.0.clone();
        }
        let host = match &self.server.host {
            Host::Name(name) => Host::Name(name.clone()),
            Host::Ip(_) if bound.ip().is_unspecified() => Host::Name("localhost".into()),
            Host::Ip(_) => Host::Ip(bound.ip()),
        };
        Origin::of(if self.serves_tls() { "https" } else { "http" }, &host, bound.port())
    }

    /// The listed origins whose pages may connect: `server.cors_origins` and the public one. The request's own address
    /// counts beside them (`protocol.md` 5), and in development those of this machine
    /// ([`CorsOrigins::any_local`](super::origin::CorsOrigins)).
    pub fn origins(&self, bound: SocketAddr) -> Vec<Origin> {
        let mut origins = self.server.cors_origins.list.clone();
        let public = self.public_origin(bound);
        if !origins.contains(&public) {
            origins.push(public);
        }
        origins
    }

    /// Whether the client's address is to be read from `X-Forwarded-For` when this peer sends it.
    pub fn trusts_proxy(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.server.trusted_proxies.iter().any(|network| network.0.contains(&peer))
    }

    /// The rules of topics, every right filled in.
    pub fn topic_rules(&self) -> TopicRules {
        let fallback = match self.environment {
            Environment::Development => Rights::OPEN,
            Environment::Production => Rights::LISTEN_ONLY,
        };
        let resolve = |rule: &super::TopicRule| Rule {
            subscribe: rule.subscribe.unwrap_or(fallback.subscribe),
            publish: rule.publish.unwrap_or(fallback.publish),
            history: rule.history.unwrap_or(fallback.history),
            backpressure: rule.backpressure,
            durable: rule.durable,
            history_size: rule.history_size,
            history_ttl: rule.history_ttl,
            history_topic_bytes: rule.history_topic_bytes.map(ByteSize::get),
        };
        let rules = self.topics.rules.iter().map(|rule| (rule.pattern.0.clone(), resolve(rule))).collect();
        TopicRules::new(rules, fallback)
    }

    /// Whether making, deleting and listing topics needs an API key or an admin: with rules, or in production.
    pub fn topics_restricted(&self) -> bool {
        self.is_production() || !self.topics.rules.is_empty()
    }
}
