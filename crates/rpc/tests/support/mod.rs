//! A caller that remembers what it was asked for, and shorthands.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, unreachable_pub, missing_docs)]

use fanfare_core::model::*;
use fanfare_rpc::*;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Fake {
    pub over_post: bool,
    pub user: Option<(String, String)>,
    pub must_authenticate: bool,
    pub data: BTreeMap<String, String>,
    pub published: Vec<String>,
    pub reply: Option<Reply<'static>>,
    pub seen: Vec<String>,
}

impl Caller for Fake {
    fn identity(&self) -> Identity<'_> {
        self.user.as_ref().map_or(Identity::Anonymous, |(id, username)| Identity::User { id, username })
    }
    fn is_connection(&self) -> bool {
        !self.over_post
    }
    fn must_authenticate(&self) -> bool {
        self.must_authenticate && self.user.is_none()
    }
    fn execute(&mut self, command: Command<'_>) -> Result<Reply<'static>, Refusal> {
        self.seen.push(format!("{command:?}"));
        if let Some(reply) = self.reply.take() {
            return Ok(reply);
        }
        match command {
            Command::Subscribe(s) => Ok(Reply::Subscribed(Subscribed {
                topic: s.topic.as_str().to_owned().into(),
                epoch: Epoch(1),
                offset: 17,
                recovered: s.since.map(|_| true),
                already: false,
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
                Ok(Reply::Published { topic: p.topic.as_str().to_owned().into(), event, delivered: 3 })
            }
            Command::SubscribeFeed { .. } | Command::UnsubscribeFeed { .. } => {
                Err(Refusal::new(ErrorCode::ChannelNotFound, "there is no such feed").field("channel"))
            }
            Command::Authenticate { .. } | Command::Server { .. } | Command::Ping => Ok(Reply::Pong),
        }
    }
    fn subscribe_feed(&mut self, order: SubscribeFeed<'_>) -> Result<Either<FeedSubscribed>, Refusal> {
        self.seen.push(format!("{order:?}"));
        if order.channel != "dashboard" {
            return Err(Refusal::new(ErrorCode::ChannelNotFound, "there is no such feed").field("channel"));
        }
        let done = FeedSubscribed {
            channel: order.channel.into_owned(),
            recovered: order.since.is_some().then_some(true),
            ..FeedSubscribed::default()
        };
        Ok(Either::Now(done))
    }
    fn authenticate(&mut self, token: &str) -> Result<SessionGrant, Refusal> {
        if token != "good" {
            return Err(Refusal::new(ErrorCode::Unauthorized, "the token is not valid"));
        }
        self.user = Some(("7".into(), "ann".into()));
        self.resume_session("happy-panda-42", token)
    }
    fn resume_session(&mut self, code: &str, _: &str) -> Result<SessionGrant, Refusal> {
        Ok(SessionGrant { code: code.to_lowercase(), token: "next".into(), user: self.user.clone() })
    }
    fn session(&mut self) -> Result<SessionView, Refusal> {
        let data = self.data.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
        Ok(SessionView { code: "happy-panda-42".into(), created_at: 0, last_seen: 1, data })
    }
    fn session_value(&mut self, key: &str) -> Result<Option<Box<str>>, Refusal> {
        Ok(self.data.get(key).map(|v| v.as_str().into()))
    }
    fn set_session_value(&mut self, key: &str, json: &str) -> Result<usize, Refusal> {
        self.data.insert(key.into(), json.into());
        Ok(key.len() + json.len())
    }
    fn topics(&mut self, query: TopicQuery<'_>) -> Result<TopicPage, Refusal> {
        self.seen.push(format!("{query:?}"));
        Ok(TopicPage {
            items: vec![TopicRow { name: "news".into(), subscribers: 3, offset: 18 }],
            next: None,
        })
    }
    fn history(&mut self, query: HistoryQuery<'_>) -> Result<HistoryPage, Refusal> {
        self.seen.push(format!("{query:?}"));
        let meta = EventMeta { id: EventId { time: 1, node: 1 }, offset: 18, at_ms: 0 };
        let items = vec![HistoryEvent { meta, payload: r#"{"b" :1.0}"#.into(), client_id: String::new() }];
        Ok(HistoryPage { epoch: Epoch(1), offset: 18, items, next: Some(18) })
    }
    fn feeds(&mut self) -> Result<Vec<FeedRow>, Refusal> {
        Ok(vec![])
    }
    fn server(&self) -> ServerFacts {
        ServerFacts {
            name: "fanfare".into(),
            version: "0.1.0".into(),
            id: "localhost".into(),
            uptime_seconds: 60,
            connections: 3,
            users_online: 1,
        }
    }
    fn now_ms(&self) -> u64 {
        0
    }
}

pub fn registry() -> Registry {
    Registry::builder("0.1.0").standard().test_methods().build().expect("all schemas can be enforced")
}

/// The answer's text; None for silence. Calls that wait are an error here.
pub fn ask_as(caller: &mut Fake, registry: &Registry, text: &str) -> Option<String> {
    let mut out = b"before".to_vec();
    let outcome = dispatch(registry, caller, text, 100, &mut out);
    let text = String::from_utf8(out).expect("answers are UTF-8");
    let text = text.strip_prefix("before").expect("only appended").to_owned();
    match outcome {
        Outcome::Answered => Some(text),
        Outcome::Silent => {
            assert_eq!(text, "");
            None
        }
        Outcome::Pending(_) => panic!("a call waits"),
    }
}

pub fn ask(registry: &Registry, text: &str) -> Option<String> {
    ask_as(&mut Fake::default(), registry, text)
}

pub fn value(registry: &Registry, text: &str) -> Value {
    let answer = ask(registry, text).expect("an answer");
    serde_json::from_str(&answer).expect(&answer)
}

pub fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

/// The error of a call.
pub fn error(registry: &Registry, method: &str, params: &str) -> Value {
    let answer = value(registry, &request(method, params));
    assert!(answer.get("result").is_none(), "{method} {params}: {answer}");
    answer["error"].clone()
}
