//! Commands of a connection, carried out on its shard.

use super::Driver;
use super::conn::{Language, Tick};
use super::waits::{Receiver, Step, Via, reply_to};
use crate::posts::{Posts, PublishBeside, ToShard};
use crate::telemetry::metrics::CommandKind;
use fanfare_core::hub::{Answer, ConnAddr, Shard};
use fanfare_core::model::{
    Actor, Command, ErrorCode, Publish, Refusal, Reply, Requester, Since, SinceEpoch, StartFrom, Subscribe,
    TopicRef, Unsubscribe,
};
use fanfare_core::topics::{NotPublished, Published};
use fanfare_json::Raw;
use fanfare_services::topics::Entry;
use fanfare_services::topics::durable::PublishedTo;
use std::borrow::Cow;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::oneshot;

impl CommandKind {
    pub(super) fn of(command: &Command<'_>) -> Self {
        match command {
            Command::Subscribe(_) | Command::SubscribeFeed { .. } => Self::Subscribe,
            Command::Unsubscribe(_) | Command::UnsubscribeFeed { .. } => Self::Unsubscribe,
            Command::Publish(_) => Self::Publish,
            Command::Ping => Self::Ping,
            Command::Authenticate { .. } | Command::Server { .. } => Self::Other,
        }
    }
}

/// The entry of a connection's events: in its shard's turn.
struct Turn<'a> {
    hub: &'a mut Shard<ToShard>,
    slot: u32,
    now_ms: u64,
    posts: &'a Posts,
    via: Via,
    /// Where a JSON-RPC call gets an outcome from that comes later.
    outcome: Option<Receiver>,
}

impl Entry for Turn<'_> {
    fn enter(
        &mut self,
        publish: &Publish<'_>,
        client_id: &str,
        by: Requester<'_>,
    ) -> Result<Published, NotPublished> {
        self.hub.publish(self.slot, publish, client_id, by, self.now_ms)
    }

    fn later(&mut self, topic: &Arc<str>) -> PublishedTo {
        let (reply, outcome) = reply_to(self.posts, self.hub.addr(self.slot), self.via);
        self.outcome = outcome;
        let topic = topic.clone();
        Box::new(move |published: Result<Published, Refusal>| {
            reply(published.map(|published| acknowledged(topic.to_string(), &published)));
        })
    }
}

/// The entry of an event that is posted for a connection which does not get it.
struct Beside<'a> {
    hub: &'a mut Shard<ToShard>,
    exclude: Option<(ConnAddr, bool)>,
    now_ms: u64,
    tell: &'a mut Option<oneshot::Sender<Result<Published, Refusal>>>,
}

impl Entry for Beside<'_> {
    fn enter(
        &mut self,
        publish: &Publish<'_>,
        client_id: &str,
        by: Requester<'_>,
    ) -> Result<Published, NotPublished> {
        self.hub.publish_as(publish, client_id, by, self.exclude, self.now_ms)
    }

    fn later(&mut self, _topic: &Arc<str>) -> PublishedTo {
        let tell = self.tell.take();
        Box::new(|published| drop(tell.map(|tell| tell.send(published))))
    }
}

fn acknowledged(topic: String, published: &Published) -> Reply<'static> {
    let Published { meta, delivered, durable, .. } = *published;
    Reply::Published { topic: topic.into(), event: meta, delivered, durable }
}

impl Driver {
    /// Whether a connection may give a command: `logs_in` and `pings` are those that a connection without a session and a socket of
    /// `/ws/system` may give.
    fn may(&self, slot: u32, logs_in: bool, pings: bool) -> Result<(), Refusal> {
        if self.conns[slot as usize].session.is_none() && !logs_in {
            return Err(Refusal::new(
                ErrorCode::Unauthorized,
                "log in first: this server serves nobody anonymously",
            ));
        }
        if self.conns[slot as usize].system && !pings {
            let why = "this socket only sends notices of the server and accepts only ping; use /ws";
            return Err(Refusal::new(ErrorCode::InvalidMessageType, why).field("type"));
        }
        Ok(())
    }

    /// Carries out a command of a connection.
    pub(super) fn execute(&mut self, slot: u32, command: &Command<'_>, via: Via) -> Result<Step, Refusal> {
        let logs_in = matches!(command, Command::Authenticate { .. });
        self.may(slot, logs_in, matches!(command, Command::Ping))?;
        let reply = match command {
            Command::Subscribe(subscribe) => return self.subscribe(slot, subscribe),
            Command::SubscribeFeed(order) if order.since.is_some() => {
                return self.subscribe_since(slot, order, via);
            }
            Command::Ping => Ok(Reply::Pong),
            Command::Publish(publish) => {
                let own;
                let client_id = match &publish.client_id {
                    Some(id) => id.as_ref(),
                    None => {
                        own = self.client_id(slot);
                        own.as_str()
                    }
                };
                let conn = &self.conns[slot as usize];
                let actor =
                    Actor { caller: conn.caller(), origin: &conn.origin(), grants: &self.verified.grants };
                let (hub, posts, now_ms) = (&mut self.hub, &self.node.posts, self.now.ms);
                let mut entry = Turn { hub, slot, now_ms, posts, via, outcome: None };
                match self.node.services.topics.publish(&actor, publish, client_id, &mut entry)? {
                    Poll::Ready(published) => Ok(acknowledged(publish.topic.as_str().to_owned(), &published)),
                    Poll::Pending => return Ok(Step::Later(entry.outcome)),
                }
            }
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(slot, unsubscribe),
            Command::SubscribeFeed(order) => self.subscribe_feed(slot, order).map(Reply::FeedSubscribed),
            Command::UnsubscribeFeed { channel } => self.unsubscribe_feed(slot, channel),
            Command::Authenticate { token } => {
                let done = self.authenticate(slot, token)?;
                Ok(Reply::Authenticated {
                    user_id: done.principal.user_id.to_string().into(),
                    username: done.principal.username.to_string().into(),
                    session_code: done.session_code.into(),
                    resume_token: done.resume_token.into(),
                })
            }
            Command::Server { command, params } => self.server_command(slot, command, *params),
        };
        reply.map(Step::Done)
    }

    fn subscribe(&mut self, slot: u32, subscribe: &Subscribe<'_>) -> Result<Step, Refusal> {
        self.need_client_id(subscribe.client_id.as_deref())?;
        let topic = subscribe.topic.as_str();
        let conn = &self.conns[slot as usize];
        let actor = Actor { caller: conn.caller(), origin: &conn.origin(), grants: &self.verified.grants };
        let (token, start) = (subscribe.token.as_deref(), &subscribe.start);
        let may = self.node.services.topics.may_subscribe(&actor, topic, token, start)?;
        let by = actor.requester();
        let (hub, now, out) = (&mut self.hub, self.now.ms, &mut self.out);
        let answer = if may.history {
            hub.subscribe(slot, subscribe, by, now, out)
        } else {
            // Without the right to read back nothing is recovered, and the reply does not show whether it could be.
            let nowhere = Since { epoch: SinceEpoch(Cow::Borrowed("")), offset: 0 };
            let start = StartFrom::Since(nowhere);
            hub.subscribe(slot, &Subscribe { start, ..subscribe.clone() }, by, now, out)
        }?;
        if let Some(until) = may.until_ms {
            self.note_grant(slot, topic, until);
        }
        Ok(match answer {
            Answer::Now(reply) => Step::Done(reply),
            Answer::Later(ticket) => Step::Subscribing(ticket),
        })
    }

    /// A server command of the typed dialect (`protocol.md` 3.4).
    fn server_command(
        &mut self,
        slot: u32,
        command: &str,
        params: Option<&str>,
    ) -> Result<Reply<'static>, Refusal> {
        let node = self.node.clone();
        let mut caller = super::rpc::SocketCaller::new(self, slot);
        let params = params.map(Raw::scanned);
        let mut result = Vec::new();
        node.registry.server_command(command, &mut caller, params, &mut result)?;
        let result = String::from_utf8(result).unwrap_or_default();
        Ok(Reply::Server { command: Cow::Owned(command.to_owned()), result: result.into() })
    }

    fn unsubscribe(&mut self, slot: u32, unsubscribe: &Unsubscribe<'_>) -> Result<Reply<'static>, Refusal> {
        self.need_client_id(unsubscribe.client_id.as_deref())?;
        self.forget_grant(slot, unsubscribe.topic.as_str());
        let before = self.out.len();
        let reply = self.hub.unsubscribe(slot, unsubscribe, self.now.ms, &mut self.out);
        self.out_messages += usize::from(self.out.len() > before);
        Ok(reply)
    }

    /// Publishes for a caller without a connection, in this shard's turn; the connection at `addr` does not get the event.
    pub(super) fn publish_beside(&mut self, addr: ConnAddr, posted: PublishBeside) {
        let PublishBeside { topic, payload, client_id, idempotency_key, by, ip, tell } = posted;
        let mut tell = Some(tell);
        let published = TopicRef::parse(topic.as_str()).and_then(|topic| {
            let slot = self.hub.slot_of(addr);
            let subscribed = slot.is_some_and(|slot| self.hub.is_subscribed(slot, topic.as_str()));
            let publish = Publish {
                topic,
                payload: &payload,
                client_id: None,
                idempotency_key: idempotency_key.as_deref().map(Cow::Borrowed),
                exclude_self: false,
                token: None,
            };
            let exclude = slot.map(|_| (addr, subscribed));
            let mut entry = Beside { hub: &mut self.hub, exclude, now_ms: self.now.ms, tell: &mut tell };
            self.node.services.topics.enter(&publish, &client_id, by.requester(ip), &mut entry)
        });
        let known = match published {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(published)) => Ok(published),
            Err(refusal) => Err(refusal),
        };
        let _gone = tell.map(|tell| tell.send(known));
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
