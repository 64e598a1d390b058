//! Commands of a connection, carried out on its shard.

use super::Driver;
use super::conn::{Language, Tick};
use crate::access::Caller;
use crate::telemetry::metrics::CommandKind;
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::{
    Command, ErrorCode, Publish, Refusal, Reply, Since, SinceEpoch, Subscribe, Unsubscribe,
};
use fanfare_core::topics::Published;
use std::borrow::Cow;

impl CommandKind {
    pub(super) fn of(command: &Command<'_>) -> Self {
        match command {
            Command::Subscribe(_) | Command::SubscribeFeed { .. } => Self::Subscribe,
            Command::Unsubscribe(_) | Command::UnsubscribeFeed { .. } => Self::Unsubscribe,
            Command::Publish(_) => Self::Publish,
            Command::Ping => Self::Ping,
            Command::Authenticate { .. } => Self::Other,
        }
    }
}

impl Driver {
    /// Carries out a command of a connection.
    pub(super) fn execute(&mut self, slot: u32, command: &Command<'_>) -> Result<Reply<'static>, Refusal> {
        if self.draining {
            let why = "the server is shutting down; reconnect in a moment";
            return Err(Refusal::new(ErrorCode::ServerShutdown, why));
        }
        if self.conns[slot as usize].session.is_none() && !matches!(command, Command::Authenticate { .. }) {
            return Err(Refusal::new(
                ErrorCode::Unauthorized,
                "log in first: this server serves nobody anonymously",
            ));
        }
        match command {
            Command::Ping => Ok(Reply::Pong),
            Command::Publish(publish) => {
                self.node.access.publish(publish.topic.as_str(), &Caller::Anonymous)?;
                let own;
                let client_id = match &publish.client_id {
                    Some(id) => id.as_ref(),
                    None => {
                        own = self.client_id(slot);
                        own.as_str()
                    }
                };
                let published = self.hub.publish(slot, publish, client_id, self.now.ms)?;
                let topic = Cow::Owned(publish.topic.as_str().to_owned());
                Ok(Reply::Published { topic, event: published.meta, delivered: published.delivered })
            }
            Command::Subscribe(subscribe) => self.subscribe(slot, subscribe),
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(slot, unsubscribe),
            Command::SubscribeFeed { channel } | Command::UnsubscribeFeed { channel } => {
                Err(no_feed(channel))
            }
            Command::Authenticate { .. } => Err(no_token()),
        }
    }

    fn subscribe(&mut self, slot: u32, subscribe: &Subscribe<'_>) -> Result<Reply<'static>, Refusal> {
        self.need_client_id(subscribe.client_id.as_deref())?;
        let topic = subscribe.topic.as_str();
        self.node.access.subscribe(topic, &Caller::Anonymous)?;
        let (hub, now, out) = (&mut self.hub, self.now.ms, &mut self.out);
        if subscribe.since.is_some() && self.node.access.history(topic, &Caller::Anonymous).is_err() {
            // Without the right to read back nothing is recovered, and whether it could be is not told.
            let since = Some(Since { epoch: SinceEpoch(Cow::Borrowed("")), offset: 0 });
            return hub.subscribe(slot, &Subscribe { since, ..subscribe.clone() }, now, out);
        }
        hub.subscribe(slot, subscribe, now, out)
    }

    fn unsubscribe(&mut self, slot: u32, unsubscribe: &Unsubscribe<'_>) -> Result<Reply<'static>, Refusal> {
        self.need_client_id(unsubscribe.client_id.as_deref())?;
        let before = self.out.len();
        let reply = self.hub.unsubscribe(slot, unsubscribe, self.now.ms, &mut self.out);
        self.out_messages += usize::from(self.out.len() > before);
        Ok(reply)
    }

    /// Publishes for somebody else, in this shard's turn; the connection at `addr` does not hear it.
    pub(crate) fn publish_beside(
        &mut self,
        publish: &Publish<'_>,
        client_id: &str,
        addr: ConnAddr,
    ) -> Result<Published, Refusal> {
        let slot = self.hub.slot_of(addr);
        let hears = slot.is_some_and(|slot| self.hub.hears(slot, publish.topic.as_str()));
        self.hub.publish_as(publish, client_id, slot.map(|_| (addr, hears)), self.now.ms)
    }

    fn need_client_id(&self, given: Option<&str>) -> Result<(), Refusal> {
        if given.is_none() && self.node.config.topics.require_client_id {
            let why = "this server asks for a client_id (topics.require_client_id)";
            return Err(Refusal::new(ErrorCode::InvalidClientId, why).field("client_id"));
        }
        Ok(())
    }

    /// The id that stands for a connection's client.
    pub(super) fn client_id(&self, slot: u32) -> String {
        self.node.client_id(self.conns[slot as usize].serial)
    }

    /// Fixes a connection's dialect.
    pub(super) fn speak(&mut self, slot: u32, language: Language) {
        let compress = self.variant(slot) & 1;
        self.conns[slot as usize].language = language;
        self.hub.set_variant(slot, u8::from(language == Language::JsonRpc) * 2 + compress);
    }

    pub(super) fn variant(&self, slot: u32) -> u8 {
        self.hub.variant(slot)
    }

    pub(super) fn ticks_from_now(&self, ticks: Tick) -> Tick {
        self.now.tick.saturating_add(ticks)
    }
}

/// There are no accounts in this release, so no token can be good.
pub(super) fn no_token() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, "this token is not valid here").field("token")
}

fn no_feed(channel: &str) -> Refusal {
    let shown: String = channel.chars().take(64).collect();
    Refusal::new(ErrorCode::ChannelNotFound, format!("there is no feed {shown:?}")).field("channel")
}
