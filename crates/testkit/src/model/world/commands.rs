//! Commands, and what each must be answered.

use super::super::program::{Command, Sabotage};
use super::super::text::TextEncoder;
use super::super::truth::{Asked, Expect, Heard, Life, Turn};
use super::super::upstream::is_followed;
use super::super::{Violation, wrong};
use super::{NOW, Side, World};
use fanfare_core::hub::Answer;
use fanfare_core::model::{ErrorCode, Publish, Reply, Requester, Subscribe, TopicRef, Unsubscribe};
use fanfare_core::topics::{NotPublished, Published, Publishing};

/// Whom the model publishes for: keys and shares are no part of it.
pub(super) const STRANGER: Requester<'static> =
    Requester::Anonymous(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

pub(super) fn topic_ref(name: &'static str) -> Result<TopicRef<'static>, Violation> {
    TopicRef::parse(name).map_err(|e| Violation(e.to_string()))
}

impl World {
    /// A payload that tells its source and its place among that source's.
    fn payload(source: usize, at: usize) -> String {
        format!("{}{at}", char::from(b'a' + source as u8))
    }

    pub(super) fn command(&mut self, c: usize) -> Result<(), Violation> {
        let s = self.conns[c].shard;
        if self.sides[s].speaking != Some(c) {
            self.before(s);
        }
        self.tamper(s);
        self.sides[s].turn_open = true;
        let command = self.program.conns[c].commands[self.conns[c].next];
        self.conns[c].next += 1;
        match command {
            Command::Subscribe(topic) => self.subscribe(c, topic, &|_, _| Asked::Nothing),
            Command::Since(topic, back) => {
                self.subscribe(c, topic, &|epoch, head| Asked::Since(epoch, head.saturating_sub(back)))
            }
            Command::Last(topic, count) => self.subscribe(c, topic, &|_, _| Asked::Last(count)),
            Command::Unsubscribe(topic) => self.unsubscribe(c, topic),
            Command::Publish(topic) => self.publish(c, topic, false),
            Command::PublishExcluded(topic) => self.publish(c, topic, true),
            Command::Delete(_) | Command::Make(_) => self.outside(command, Some(s as u8)),
            Command::Close => {
                self.before(s);
                self.close(c);
                Ok(())
            }
            Command::Break => {
                let slot = self.conns[c].slot as usize;
                self.sides[s].wire.by_slot[slot].broken = true;
                self.conns[c].broken = true;
                Ok(())
            }
            Command::Bye => {
                self.before(s);
                let Side { shard, wire, .. } = &mut self.sides[s];
                shard.close_after(self.conns[c].slot, None, 1001, "bye", wire);
                Ok(())
            }
        }
    }

    pub(super) fn answer(&mut self, c: usize, text: &str, turn: Turn) {
        let conn = &mut self.conns[c];
        TextEncoder(self.program.conns[c].variant).frame(text, &mut conn.out);
        conn.replies += 1;
        conn.expects.push(Expect { text: text.to_owned(), turn });
        self.sides[conn.shard].speaking = Some(c);
    }

    /// A subscription; `ask` is given the epoch that the client knows, and the head.
    fn subscribe(
        &mut self,
        c: usize,
        topic: &'static str,
        ask: &dyn Fn(u64, u64) -> Asked,
    ) -> Result<(), Violation> {
        let life = match is_followed(topic) {
            true => Some(self.remote.life(topic, &mut self.truth)),
            false => self.truth.life_of(topic),
        };
        let life = life.map(|life| &self.truth.lives[life]);
        let known = life.and_then(|life| life.epoch);
        let epoch = self.conns[c].epochs.get(topic).copied().or(known).unwrap_or(0);
        let asked = ask(epoch, life.map_or(0, Life::head));
        let start = match asked {
            Asked::Last(count) if self.sabotage == Sabotage::AskForFewer => Asked::Last(count - 1).start(),
            asked => asked.start(),
        };
        let command = Subscribe { topic: topic_ref(topic)?, client_id: None, start, token: None };
        if is_followed(topic) {
            return self.subscribe_followed(c, topic, asked, &command);
        }
        let conn = &mut self.conns[c];
        let shard = &mut self.sides[conn.shard].shard;
        let got = shard.subscribe(conn.slot, &command, STRANGER, NOW, &mut conn.out);
        let Ok(Answer::Now(Reply::Subscribed(got))) = got else {
            return wrong(format!("subscribe is answered {got:?}"));
        };
        let heard = self.truth.subscribe(c, topic, asked);
        let Heard { life, offset, recovered, history, already } = heard;
        if (got.offset, got.recovered, got.history, got.already) != (offset, recovered, history, already) {
            return wrong(format!("subscribe is answered {got:?}, not {heard:?}"));
        }
        self.truth.learn(life, got.epoch.0)?;
        self.conns[c].epochs.insert(topic, got.epoch.0);
        let after = asked.after(&got);
        let replaying = after < offset && !already;
        let turn = match already {
            true => Turn::StillHear(topic),
            false => Turn::Hear { topic, life, after, head: offset, replaying },
        };
        if replaying {
            let at = self.conns[c].expects.len();
            self.conns[c].replaying.push((topic, at));
        }
        self.answer(c, &format!("A|subscribe|{topic}|{offset}|{recovered:?}|{history:?}"), turn);
        Ok(())
    }

    fn unsubscribe(&mut self, c: usize, topic: &'static str) -> Result<(), Violation> {
        if is_followed(topic) {
            return self.unsubscribe_followed(c, topic);
        }
        let command = Unsubscribe { topic: topic_ref(topic)?, client_id: None };
        let conn = &mut self.conns[c];
        let shard = &mut self.sides[conn.shard].shard;
        let got = shard.unsubscribe(conn.slot, &command, NOW, &mut conn.out);
        let upto = self.truth.unsubscribe(c, topic);
        if !matches!(got, Reply::Unsubscribed { already, .. } if already == upto.is_none()) {
            return wrong(format!("unsubscribe is answered {got:?}, the head is {upto:?}"));
        }
        conn.replaying.retain(|(t, _)| *t != topic);
        let turn = upto.map_or(Turn::StillSilent(topic), |head| Turn::Silence(topic, head..=head));
        self.answer(c, &format!("A|unsubscribe|{topic}|{upto:?}"), turn);
        Ok(())
    }

    fn publish(&mut self, c: usize, topic: &'static str, excluded: bool) -> Result<(), Violation> {
        let payload = Self::payload(c, self.conns[c].next);
        if is_followed(topic) {
            return self.publish_followed(c, topic, payload);
        }
        let command = Publish {
            topic: topic_ref(topic)?,
            payload: &payload,
            client_id: None,
            idempotency_key: None,
            exclude_self: excluded && self.sabotage != Sabotage::ForgetExclude,
            token: None,
        };
        let conn = &self.conns[c];
        let got = self.sides[conn.shard].shard.publish(conn.slot, &command, "me", STRANGER, NOW);
        let want = self.truth.publish(topic, &payload, excluded.then_some(c));
        let sabotaged = self.sabotage == Sabotage::ForgetExclude;
        let text = check_published(got, want, sabotaged)?;
        self.answer(c, &format!("A|publish|{topic}|{text}"), Turn::Nothing);
        Ok(())
    }

    pub(super) fn outside(&mut self, command: Command, own: Option<u8>) -> Result<(), Violation> {
        match command {
            Command::Publish(topic) => {
                let payload = Self::payload(25, self.outside);
                if is_followed(topic) {
                    self.remote.append(topic, payload, &mut self.truth);
                    return Ok(());
                }
                let got = self.topics.publish(&Publishing {
                    topic,
                    payload: &payload,
                    client_id: "rest",
                    idempotency_key: None,
                    publisher: STRANGER,
                    exclude: None,
                    shard: None,
                    now_ms: NOW,
                    at: std::time::Instant::now(),
                });
                check_published(got, self.truth.publish(topic, &payload, None), false).map(drop)
            }
            Command::Delete(topic) => {
                self.forget_replays(topic);
                let got = self.topics.delete(topic, own, NOW);
                let want = self.truth.delete(topic);
                if got.is_ok() == want { Ok(()) } else { wrong(format!("delete is answered {got:?}")) }
            }
            Command::Make(topic) => {
                let made = self
                    .topics
                    .make(topic, None, Requester::Backend, NOW)
                    .map_err(|e| Violation(e.to_string()))?;
                let (life, existed) = self.truth.make(topic);
                if (made.existed, made.info.offset) != (existed, self.truth.lives[life].head()) {
                    return wrong(format!("make is answered {made:?}"));
                }
                self.truth.learn(life, made.info.epoch.0)
            }
            other => wrong(format!("{other:?} is no command for the outside")),
        }
    }

    /// Replays of a topic that is deleted end where they are.
    fn forget_replays(&mut self, topic: &'static str) {
        for (c, conn) in self.conns.iter_mut().enumerate() {
            if self.truth.is_subscribed(c, topic) {
                conn.replaying.retain(|(t, _)| *t != topic);
            }
        }
    }

    pub(super) fn close(&mut self, c: usize) {
        let conn = &mut self.conns[c];
        let side = &mut self.sides[conn.shard];
        conn.open = false;
        conn.waiting = None;
        if self.sabotage != Sabotage::ForgetClose {
            side.shard.close(conn.slot, NOW);
        }
        let socket = std::mem::take(&mut side.wire.by_slot[conn.slot as usize]);
        conn.got = socket.got;
        conn.fell_short = socket.fell_short;
        side.wire.by_slot[conn.slot as usize].broken = true;
        if self.sabotage != Sabotage::ForgetClose {
            self.truth.close(c);
        }
    }
}

fn check_published(
    got: Result<Published, NotPublished>,
    want: Option<(u64, u64)>,
    any_count: bool,
) -> Result<String, Violation> {
    match (got, want) {
        (Ok(p), Some((offset, delivered)))
            if p.meta.offset == offset && (any_count || p.delivered == delivered) =>
        {
            Ok(format!("{offset}|{delivered}"))
        }
        (Err(NotPublished::Refused(r)), None) if r.code == ErrorCode::TopicNotFound => {
            Ok(r.code.name().to_owned())
        }
        (got, want) => wrong(format!("publish is answered {got:?}, not {want:?}")),
    }
}
