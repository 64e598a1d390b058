//! The rules of a node: one function for each act, for every caller and interface.
//!
//! ```text
//! HTTP route ─┐
//! typed frame ─┼─ Actor (caller, origin, grants) ─ service: may it? how often? ─ topics, sessions, store ─ audit
//! JSON-RPC   ─┘
//! ```
//!
//! An adapter reads a request into the types of these modules, calls one function and writes the answer. Services know nothing of
//! HTTP, sockets and frames; what they need of those is in [`ports`]. Nothing that runs on a shard waits: functions that wait are
//! `async`, and an adapter on a shard runs them elsewhere.
//!
//! Source: `foundation.md` 1, `accounts-and-messages.md`, `http-api.md`, `security.md`.

pub mod access;
pub mod accounts;
pub mod admin;
pub mod audit;
pub mod clock;
pub mod connections_log;
pub mod credentials;
pub mod data_dir;
pub mod fatal;
pub mod identity;
pub mod messages;
pub mod notices;
pub mod outcomes;
pub mod ports;
pub mod rates;
pub mod repeats;
pub mod sessions;
pub mod topics;

use crate::access::Access;
use crate::accounts::Accounts;
use crate::admin::AdminService;
use crate::audit::Audit;
use crate::clock::Uptime;
use crate::connections_log::ConnectionsLog;
use crate::identity::{Identity, Users};
use crate::messages::MessageRates;
use crate::ports::{Refused, Sockets};
use crate::rates::{AddressBuckets, Rate};
use crate::sessions::{SessionParts, SessionService};
use crate::topics::durable::DurableLogs;
use crate::topics::{TopicDefaults, TopicService, TopicTable};
use fanfare_config::Config;
use fanfare_core::session::{SessionLimits, SessionPort, Sessions};
use fanfare_store::Store;
use std::sync::Arc;

/// The product's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is started before a node: the store and what stands on it alone.
#[derive(Clone, Debug)]
pub struct Foundations {
    /// The store.
    pub store: Store,
    /// Accounts.
    pub accounts: Accounts,
    /// Credentials.
    pub identity: Arc<Identity>,
    /// The audit log.
    pub audit: Audit,
    /// Records of closed connections.
    pub connections_log: ConnectionsLog,
}

/// What a node gives its services.
#[derive(Debug)]
pub struct NodeParts {
    /// Its topics.
    pub topics: Arc<dyn TopicTable>,
    /// The logs of those that are durable.
    pub logs: DurableLogs,
    /// The rules of topics.
    pub access: Access,
    /// Its connections.
    pub sockets: Arc<dyn Sockets>,
    /// Its counts of refusals.
    pub refused: Arc<dyn Refused>,
    /// When it started.
    pub uptime: Uptime,
}

/// All services of a node.
#[derive(Debug)]
pub struct Services {
    /// The store.
    pub store: Store,
    /// Accounts.
    pub accounts: Accounts,
    /// Credentials.
    pub identity: Arc<Identity>,
    /// The audit log.
    pub audit: Audit,
    /// Records of closed connections.
    pub connections_log: ConnectionsLog,
    /// Users who are connected.
    pub users: Arc<Users>,
    /// How much users and addresses may send.
    pub rates: MessageRates,
    /// Topics.
    pub topics: Arc<TopicService>,
    /// Sessions.
    pub sessions: Arc<SessionService>,
    /// Administration.
    pub admin: AdminService,
    /// The node's connections.
    pub sockets: Arc<dyn Sockets>,
}

impl Services {
    /// The services of a node. `session_key` seals resume tokens.
    pub fn new(config: &Config, base: Foundations, parts: NodeParts, session_key: &[u8; 32]) -> Self {
        let Foundations { store, accounts, identity, audit, connections_log } = base;
        let NodeParts { topics, logs, access, sockets, refused, uptime } = parts;
        let l = &config.limits;
        let users = Users::new(
            config.presence.grace.as_millis() as u64,
            l.max_connections_per_user,
            l.messages_per_user().map(Rate::from),
            l.commands().map(Rate::from),
        );
        let addresses = AddressBuckets::new(l.messages_per_ip().map(Rate::from));
        let rates = MessageRates::new(users.clone(), addresses, uptime, refused.clone());
        let table: Box<dyn SessionPort> = Box::new(Sessions::new(session_limits(config), session_key));
        let sessions = Arc::new(SessionService::new(SessionParts {
            table,
            users: users.clone(),
            identity: identity.clone(),
            audit: audit.clone(),
            sockets: sockets.clone(),
            refused,
        }));
        let production = config.is_production();
        let access = (access, TopicDefaults::from(&config.topics));
        let topics = TopicService::new(topics, access, (store.clone(), logs), sockets.clone(), production);
        let admin = AdminService::new(store.clone(), audit.clone(), sessions.clone());
        let topics = Arc::new(topics);
        Self {
            store,
            accounts,
            identity,
            audit,
            connections_log,
            users,
            rates,
            topics,
            sessions,
            admin,
            sockets,
        }
    }
}

fn session_limits(config: &Config) -> SessionLimits {
    SessionLimits {
        ttl_ms: config.session.ttl.as_millis() as u64,
        detached_ttl_ms: config.session.detached_ttl.as_millis() as u64,
        max: config.session.max,
        max_data_bytes: config.session.max_data_bytes.len(),
        data_total_bytes: config.session.data_total_bytes.len(),
    }
}
