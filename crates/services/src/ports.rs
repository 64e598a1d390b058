//! What services need of the rest of a node: its sockets and its metrics. The server implements both.

use fanfare_core::hub::ConnAddr;
use fanfare_core::model::{Actor, End, Publish, Refusal, Role};
use fanfare_core::ports::Info;
use fanfare_core::topics::Published;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The open connections of this node. Every call posts to the shard of a connection and returns at once.
pub trait Sockets: Send + Sync + std::fmt::Debug {
    /// Ends a connection in order, if it is still open.
    fn end(&self, addr: ConnAddr, why: End);

    /// Gives the user of a connection another role; subscriptions that it does not allow end.
    fn change_role(&self, addr: ConnAddr, role: Role);

    /// Sends JSON to a connection as a session message (`protocol.md` 6).
    fn send(&self, addr: ConnAddr, payload: Arc<str>);

    /// Sends JSON to every connection that has a session.
    fn send_to_all(&self, payload: Arc<str>);

    /// Publishes on the shard of a connection that does not get the event. The sender is dropped when the node stops first.
    fn publish_beside(
        &self,
        addr: ConnAddr,
        publish: &Publish<'_>,
        client_id: &str,
        actor: &Actor<'_>,
    ) -> oneshot::Receiver<Result<Published, Refusal>>;

    /// Sends an info to every connection of `/ws/system`.
    fn notify_system(&self, info: &Info<'_>);
}

/// Counts refusals, as `fanfare_refused_total` does.
pub trait Refused: Send + Sync + std::fmt::Debug {
    /// Counts one by its scope, a name of a closed set.
    fn refused(&self, scope: &'static str);
}
