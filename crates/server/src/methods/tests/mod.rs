//! The methods of a node, called as from a connection.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod document;
mod execution;
mod validation;

use crate::node::Node;
use fanfare_core::model::{self, *};
use fanfare_core::session::SessionCode;
use fanfare_rpc::*;
use fanfare_services::clock::unix_ms;
pub(super) use fanfare_testkit::calls::{self, ask as ask_as, request};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

/// A node without shard threads: methods need its services only.
static NODE: LazyLock<Arc<Node>> =
    LazyLock::new(|| crate::testing::node(|config| config.rpc.test_methods = true).0);

/// A connection that records the commands it received.
pub(super) struct Fake {
    pub(super) over_post: bool,
    pub(super) must_authenticate: bool,
    pub(super) caller: model::Caller,
    pub(super) published: Vec<String>,
    pub(super) reply: Option<Reply<'static>>,
    pub(super) seen: Vec<String>,
    origin: Origin,
    grants: Grants,
    session: SessionCode,
}

impl Default for Fake {
    fn default() -> Self {
        let session = NODE.services.sessions.table().open(None, unix_ms()).unwrap().code;
        Self {
            over_post: false,
            must_authenticate: false,
            caller: model::Caller::Anonymous,
            published: vec![],
            reply: None,
            seen: vec![],
            origin: Origin::default(),
            grants: Grants::none(),
            session,
        }
    }
}

/// A user of this id and name.
pub(super) fn user(id: &str, username: &str) -> model::Caller {
    model::Caller::User(Arc::new(Principal {
        user_id: id.into(),
        username: username.into(),
        role: Role::User,
        session_id: "login".into(),
        device_id: None,
        expires_at_ms: u64::MAX,
        issuer: None,
    }))
}

impl fanfare_rpc::Caller for Fake {
    fn actor(&self) -> Actor<'_> {
        Actor { caller: &self.caller, origin: &self.origin, grants: &self.grants }
    }
    fn connection(&mut self) -> Option<&mut dyn Connection> {
        if self.over_post { None } else { Some(self) }
    }
    fn must_authenticate(&self) -> bool {
        self.must_authenticate && matches!(self.caller, model::Caller::Anonymous)
    }
}

impl Connection for Fake {
    fn execute(&mut self, command: Command<'_>) -> Result<Either<Reply<'static>>, Refusal> {
        self.seen.push(match &command {
            Command::SubscribeFeed(order) => format!("{order:?}"),
            command => format!("{command:?}"),
        });
        if let Some(reply) = self.reply.take() {
            return Ok(Either::Now(reply));
        }
        let reply = match command {
            Command::Subscribe(s) => Ok(Reply::Subscribed(Subscribed {
                topic: s.topic.as_str().to_owned().into(),
                epoch: Epoch(1),
                offset: 17,
                recovered: matches!(s.start, StartFrom::Since(_)).then_some(true),
                history: match s.start {
                    StartFrom::Last(count) => Some(count.get()),
                    StartFrom::Live | StartFrom::Since(_) => None,
                },
                already: false,
                durable: false,
            })),
            Command::Unsubscribe(u) => {
                Ok(Reply::Unsubscribed { topic: u.topic.as_str().to_owned().into(), already: false })
            }
            Command::Publish(p) if p.topic.as_str() == "nobody" => {
                Err(Refusal::new(ErrorCode::TopicNotFound, "nobody hears this topic").field("topic"))
            }
            Command::Publish(p) => {
                self.published.push(p.payload.to_owned());
                let event = EventMeta { id: EventId { time: 1, node: 1 }, offset: 18, at_ms: 0 };
                Ok(Reply::Published {
                    topic: p.topic.as_str().to_owned().into(),
                    event,
                    delivered: 3,
                    durable: false,
                })
            }
            Command::SubscribeFeed(order) if order.channel == "dashboard" => {
                Ok(Reply::FeedSubscribed(FeedSubscribed {
                    channel: order.channel.into_owned(),
                    recovered: order.since.is_some().then_some(true),
                    ..FeedSubscribed::default()
                }))
            }
            Command::SubscribeFeed { .. } | Command::UnsubscribeFeed { .. } => {
                Err(Refusal::new(ErrorCode::ChannelNotFound, "there is no such feed").field("channel"))
            }
            Command::Authenticate { .. } | Command::Server { .. } | Command::Ping => Ok(Reply::Pong),
        };
        reply.map(Either::Now)
    }
    fn authenticate(&mut self, token: &str) -> Result<SessionGrant, Refusal> {
        if token != "good" {
            return Err(Refusal::new(ErrorCode::Unauthorized, "the token is not valid"));
        }
        self.caller = user("7", "ann");
        self.resume_session("happy-panda-42", token)
    }
    fn resume_session(&mut self, code: &str, _: &str) -> Result<SessionGrant, Refusal> {
        let user = self.caller.principal().ok().map(|p| (p.user_id.to_string(), p.username.to_string()));
        Ok(SessionGrant { code: code.to_lowercase(), token: "next".into(), user })
    }
    fn session(&self) -> Option<SessionCode> {
        Some(self.session)
    }
}

pub(super) fn node() -> &'static Node {
    &NODE
}

pub(super) fn registry() -> &'static Registry {
    &NODE.registry
}

/// As [`calls::ask`], with a new caller; so are the next two.
pub(super) fn ask(registry: &Registry, text: &str) -> Option<String> {
    calls::ask(&mut Fake::default(), registry, text)
}

pub(super) fn value(registry: &Registry, text: &str) -> Value {
    calls::value(&mut Fake::default(), registry, text)
}

pub(super) fn error(registry: &Registry, method: &str, params: &str) -> Value {
    calls::error(&mut Fake::default(), registry, method, params)
}
