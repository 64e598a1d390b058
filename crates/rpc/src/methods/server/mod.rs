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
