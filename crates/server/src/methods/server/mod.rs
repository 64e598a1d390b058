//! `server.*`: also the typed dialect's server commands (seed 003, `protocol.md` 3.4).

mod echo;
mod info;
mod list_commands;
mod ping;
mod user_count;
mod whoami;

pub(super) use echo::Echo;
pub(super) use info::Info;
pub(super) use list_commands::ListCommands;
pub(super) use ping::Ping;
pub(super) use user_count::UserCount;
pub(super) use whoami::Whoami;

use crate::telemetry::metrics::Metrics;
use fanfare_services::clock::Uptime;
use fanfare_services::identity::Users;
use std::sync::Arc;

/// The facts about a node that methods return.
#[derive(Debug)]
pub(crate) struct NodeFacts {
    /// Its name in texts that users sign.
    pub(crate) server_id: String,
    /// The time since its start.
    pub(crate) uptime: Uptime,
    /// Its metrics.
    pub(crate) metrics: Arc<Metrics>,
    /// Its users.
    pub(crate) users: Arc<Users>,
}
