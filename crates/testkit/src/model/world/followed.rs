//! Topics that follow a log: their commands, and the steps of what orders it.
//!
//! What a subscription is answered depends on how far the node has come, so the reference judges whether an answer may be, and
//! the oracle whether the events fit it.

use super::super::program::{Command, Step};
use super::super::text::TextEncoder;
use super::super::truth::{Asked, Expect, Turn};
use super::super::upstream::{Fault, is_followed};
use super::super::{Violation, wrong};
use super::commands::{STRANGER, topic_ref};
use super::{NOW, Waiting, World};
use fanfare_core::hub::{self, Answer};
use fanfare_core::model::{ErrorCode, Publish, Refusal, Reply, Subscribe, Subscribed, Unsubscribe};
use fanfare_core::topics::{HOLD_MS, NotPublished, RETRY_MS};
use std::time::Duration;

/// Above all offsets of a program: how far the node had come when somebody left is not known.
const LAST: u64 = 1000;
/// Times that time passes at most in a schedule.
const TICKS: u64 = 12;

impl World {
    fn turn(&self) -> hub::Turn {
        hub::Turn { at: self.began + Duration::from_millis(self.passed), ms: NOW + self.passed }
    }

    /// The steps of where logs are ordered that are possible now.
    pub(super) fn enabled_upstream(&self, steps: &mut Vec<Step>) {
        let [arrives, served, answered] = self.remote.waiting();
        let fault = self.faults < self.program.faults.len();
        let all =
            [(fault, Step::Fault), (arrives, Step::Arrive), (served, Step::Serve), (answered, Step::Answer)];
        steps.extend(all.into_iter().filter(|(can, _)| *can).map(|(_, step)| step));
        // Time passes when nothing else happens there: its order among other steps changes nothing.
        if !arrives && !served && !answered && self.topics.is_watching() && self.passed < TICKS * RETRY_MS {
            steps.push(Step::Tick);
        }
    }

    pub(super) fn upstream_step(&mut self, step: Step) {
        let now = self.turn();
        match step {
            Step::Arrive => self.remote.arrive(&self.topics, &self.truth, now),
            Step::Serve => self.remote.serve(&self.truth),
            Step::Answer => self.remote.answer(&self.topics, now),
            Step::Fault => {
                let fault = self.program.faults[self.faults];
                self.faults += 1;
                let loses = !matches!(fault, Fault::NewEpoch(0));
                self.truth.may_move |=
                    loses && matches!(fault, Fault::NewEpoch(_) | Fault::OtherLog | Fault::Trim(_));
                self.remote.fault(fault, &mut self.truth);
            }
            _ => {
                self.passed +=
                    if self.passed.is_multiple_of(RETRY_MS) { HOLD_MS } else { RETRY_MS - HOLD_MS };
                self.topics.tick(self.turn());
                let turn = self.turn();
                self.sides.iter_mut().for_each(|side| side.shard.begin_turn(turn));
            }
        }
    }

    /// One more event for each log: what was lost without a word is seen then. Says whether there was a log.
    pub(super) fn publish_last(&mut self) -> bool {
        let any = self.program.conns.iter().flat_map(|c| &c.commands).chain(&self.program.outside);
        let followed = any.filter_map(|command| match command {
            Command::Subscribe(topic)
            | Command::Since(topic, _)
            | Command::Last(topic, _)
            | Command::Publish(topic) => Some(*topic),
            _ => None,
        });
        let topics: std::collections::BTreeSet<_> = followed.filter(|topic| is_followed(topic)).collect();
        for topic in &topics {
            self.remote.append(topic, "end".to_owned(), &mut self.truth);
        }
        !topics.is_empty()
    }

    pub(super) fn publish_followed(
        &mut self,
        c: usize,
        topic: &'static str,
        payload: String,
    ) -> Result<(), Violation> {
        let command = Publish {
            topic: topic_ref(topic)?,
            payload: &payload,
            client_id: None,
            idempotency_key: None,
            exclude_self: false,
            token: None,
        };
        let conn = &self.conns[c];
        match self.sides[conn.shard].shard.publish(conn.slot, &command, "me", STRANGER, NOW) {
            Err(NotPublished::Elsewhere(_)) => {}
            Err(NotPublished::Refused(r)) if r.code == ErrorCode::TopicNotFound => {}
            got => return wrong(format!("publish to a followed topic is answered {got:?}")),
        }
        let offset = self.remote.append(topic, payload, &mut self.truth);
        self.answer(c, &format!("A|publish|{topic}|{offset}"), Turn::Nothing);
        Ok(())
    }

    pub(super) fn subscribe_followed(
        &mut self,
        c: usize,
        topic: &'static str,
        asked: Asked,
        command: &Subscribe<'_>,
    ) -> Result<(), Violation> {
        let conn = &mut self.conns[c];
        let shard = &mut self.sides[conn.shard].shard;
        match shard.subscribe(conn.slot, command, STRANGER, NOW, &mut conn.out) {
            Ok(Answer::Now(Reply::Subscribed(got))) => {
                let (text, turn) = self.judge_reply(c, topic, asked, &got)?;
                self.answer(c, &text, turn);
                Ok(())
            }
            Ok(Answer::Later(ticket)) => {
                conn.waiting = Some(Waiting { topic, asked, ticket });
                Ok(())
            }
            got => wrong(format!("subscribe is answered {got:?}")),
        }
    }

    /// Whether a subscription may be answered so; the reply's text, and what it changes.
    fn judge_reply(
        &mut self,
        c: usize,
        topic: &'static str,
        asked: Asked,
        got: &Subscribed<'_>,
    ) -> Result<(String, Turn), Violation> {
        let Subscribed { offset, recovered, history, .. } = got;
        let text = format!("A|subscribe|{topic}|{offset}|{recovered:?}|{history:?}");
        if got.already {
            return Ok((text, Turn::StillHear(topic)));
        }
        let Some(life) = self.truth.life_with(got.epoch.0) else {
            return wrong(format!("no such epoch: {got:?}"));
        };
        if got.offset > self.truth.lives[life].head() || !self.may_reply(topic, asked, life, got) {
            return wrong(format!("subscribe with {asked:?} is answered {got:?}"));
        }
        self.conns[c].epochs.insert(topic, got.epoch.0);
        let after = asked.after(got);
        if after < got.offset {
            let at = self.conns[c].expects.len();
            self.conns[c].replaying.push((topic, at));
        }
        let replaying = after < got.offset;
        Ok((text, Turn::Hear { topic, life, after, head: got.offset, replaying }))
    }

    /// Whether what is replayed may be what was asked for.
    fn may_reply(&self, topic: &str, asked: Asked, life: usize, got: &Subscribed<'_>) -> bool {
        let faults = &self.program.faults;
        match (asked, got.recovered, got.history) {
            (Asked::Nothing, None, None) => true,
            (Asked::Since(epoch, offset), Some(recovered), None) => {
                let held = self.continues(epoch, offset, life) && offset <= got.offset;
                let loses =
                    |f: &Fault| !matches!(f, Fault::Lose | Fault::Repeat | Fault::Reorder | Fault::Late);
                if recovered { held } else { !held || faults.iter().any(loses) }
            }
            (Asked::Last(count), None, Some(sent)) => {
                let renews = |f: &Fault| matches!(f, Fault::NewEpoch(_) | Fault::OtherLog);
                let most = got.offset.min(count.into());
                let least = match faults.iter().any(renews) {
                    true => 0,
                    false => most.min((got.offset + 1).saturating_sub(self.remote.oldest(topic))),
                };
                (least..=most).contains(&sent.into())
            }
            _ => false,
        }
    }

    /// Whether an offset of an epoch is the same offset in a life.
    fn continues(&self, epoch: u64, offset: u64, life: usize) -> bool {
        let Some(mut at) = self.truth.life_with(epoch) else { return false };
        while at != life {
            match self.truth.lives[at].next {
                Some((next, Some(end))) if offset <= end => at = next,
                _ => return false,
            }
        }
        true
    }

    pub(super) fn unsubscribe_followed(&mut self, c: usize, topic: &'static str) -> Result<(), Violation> {
        let command = Unsubscribe { topic: topic_ref(topic)?, client_id: None };
        let conn = &mut self.conns[c];
        let shard = &mut self.sides[conn.shard].shard;
        let Reply::Unsubscribed { already, .. } = shard.unsubscribe(conn.slot, &command, NOW, &mut conn.out)
        else {
            return wrong("unsubscribe has another's answer");
        };
        conn.replaying.retain(|(t, _)| *t != topic);
        let turn = if already { Turn::StillSilent(topic) } else { Turn::Silence(topic, 0..=LAST) };
        self.answer(c, &format!("A|unsubscribe|{topic}"), turn);
        Ok(())
    }

    /// Sends the replies of subscriptions that waited, and lets their events follow.
    pub(super) fn take_outcomes(&mut self) -> Result<(), Violation> {
        for s in 0..self.sides.len() {
            for outcome in self.sides[s].shard.take_outcomes().collect::<Vec<_>>() {
                let Some(slot) = self.sides[s].shard.slot_of(outcome.conn) else { continue };
                let c = self.sides[s].by_slot[slot as usize];
                let waiting = self.conns[c].waiting.take().filter(|w| w.ticket == outcome.ticket);
                let Some(Waiting { topic, asked, .. }) = waiting else {
                    return wrong(format!("{outcome:?} answers nothing"));
                };
                if self.conns[c].ended.is_some() {
                    continue;
                }
                let (text, turn) = match &outcome.reply {
                    Ok(Reply::Subscribed(got)) => self.judge_reply(c, topic, asked, got)?,
                    Err(refusal) => (self.judge_refusal(topic, refusal)?, Turn::Nothing),
                    Ok(_) => return wrong(format!("{outcome:?} is no answer to a subscribe")),
                };
                self.before(s);
                let mut out = Vec::new();
                TextEncoder(self.program.conns[c].variant).frame(&text, &mut out);
                self.conns[c].expects.push(Expect { text, turn });
                let side = &mut self.sides[s];
                side.shard.reply(slot, &out, 1, &mut side.wire);
                side.shard.proceed(outcome.conn, outcome.ticket);
                self.obey()?;
            }
        }
        Ok(())
    }

    fn judge_refusal(&self, topic: &str, refusal: &Refusal) -> Result<String, Violation> {
        if refusal.code != ErrorCode::Unavailable || !self.program.faults.contains(&Fault::Away) {
            return wrong(format!("subscribe is refused: {refusal}"));
        }
        Ok(format!("A|refused|{topic}"))
    }
}
