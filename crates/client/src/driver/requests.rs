//! Requests from their acceptance to their reply, across reconnects.

use fanfare_json::RawBuf;

use super::Driver;
use crate::client::Reply;
use crate::error::Error;
use crate::options::{PublishOptions, StartFrom};
use crate::wire::{Position, Request};

/// A request of a handle.
#[derive(Debug)]
pub(crate) enum Command {
    Subscribe { topic: String, start: StartFrom, reply: Reply },
    Unsubscribe { topic: String, reply: Reply },
    Publish { topic: String, payload: RawBuf, options: PublishOptions, reply: Reply },
    Ping { reply: Reply },
    Close,
}

/// The effect of a reply on the driver's state.
#[derive(Debug)]
pub(super) enum Effect {
    Subscribe { topic: String, start: StartFrom },
    Resubscribe { topic: String, since: Position },
    Unsubscribe { topic: String },
    PublishSilently { topic: String },
    None,
}

/// A request without its reply.
#[derive(Debug)]
pub(super) struct Pending {
    /// The frame, for sending it (again); empty for a resubscribe, which is created from the position at that time.
    pub(super) frame: String,
    pub(super) effect: Effect,
    pub(super) reply: Option<Reply>,
    pub(super) sent: bool,
    pub(super) repeatable: bool,
}

impl Driver {
    /// Numbers a request and keeps it until its reply.
    pub(super) fn accept(&mut self, command: Command) {
        let request_id = self.next_id;
        self.next_id += 1;
        let (frame, effect, reply, repeatable) = match command {
            Command::Subscribe { topic, start, reply } => {
                let (since, history) = match &start {
                    StartFrom::Live => (None, None),
                    StartFrom::Since(position) => (Some(position), None),
                    StartFrom::Last(count) => (None, Some(*count)),
                };
                let frame = encode(&Request::Subscribe { request_id, topic: &topic, since, history });
                (frame, Effect::Subscribe { topic, start }, reply, true)
            }
            Command::Unsubscribe { topic, reply } => {
                let frame = encode(&Request::Unsubscribe { request_id, topic: &topic });
                (frame, Effect::Unsubscribe { topic }, reply, true)
            }
            Command::Publish { topic, payload, options, reply } => {
                let PublishOptions { idempotency_key, exclude_self } = options;
                let repeatable = idempotency_key.is_some();
                let idempotency_key = idempotency_key.as_deref();
                let topic_name = topic.as_str();
                let request = Request::Publish {
                    request_id,
                    topic: topic_name,
                    payload: payload.as_raw(),
                    idempotency_key,
                    exclude_self,
                };
                let frame = encode(&request);
                let effect = if exclude_self { Effect::PublishSilently { topic } } else { Effect::None };
                (frame, effect, reply, repeatable)
            }
            Command::Ping { reply } => (encode(&Request::Ping { request_id }), Effect::None, reply, true),
            Command::Close => return,
        };
        match frame {
            Ok(frame) => {
                let pending = Pending { frame, effect, reply: Some(reply), sent: false, repeatable };
                self.pending.insert(request_id, pending);
            }
            Err(error) => answer(Some(reply), Err(error)),
        }
    }

    /// Queues accepted requests for sending, in order. A request whose user no longer waits has timed out and is not
    /// sent after that.
    pub(super) fn queue_unsent(&mut self) {
        self.pending.retain(|_, p| p.sent || p.reply.as_ref().is_none_or(|reply| !reply.is_closed()));
        for pending in self.pending.values_mut().filter(|p| !p.sent) {
            pending.sent = true;
            let frame =
                if pending.repeatable { pending.frame.clone() } else { std::mem::take(&mut pending.frame) };
            self.outbox.push(frame);
        }
    }

    /// On a new connection: subscriptions first, from their positions, then the requests without a reply.
    pub(super) fn queue_again(&mut self) {
        self.pending.retain(|_, p| !matches!(p.effect, Effect::Resubscribe { .. }));
        let mut made = Vec::new();
        for (topic, since) in self.subscriptions.positions() {
            let request_id = self.next_id;
            self.next_id += 1;
            match encode(&Request::Subscribe { request_id, topic, since: Some(since), history: None }) {
                Ok(frame) => self.outbox.push(frame),
                Err(_) => continue,
            }
            let effect = Effect::Resubscribe { topic: topic.to_owned(), since: since.clone() };
            made.push((
                request_id,
                Pending { frame: String::new(), effect, reply: None, sent: true, repeatable: true },
            ));
        }
        self.pending.extend(made);
        for pending in self.pending.values_mut().filter(|p| p.reply.is_some()) {
            pending.sent = false;
        }
    }

    /// Fails the requests whose outcome cannot be known any more.
    pub(super) fn fail_uncertain(&mut self) {
        let lost: Vec<u64> =
            self.pending.iter().filter(|(_, p)| p.sent && !p.repeatable).map(|(id, _)| *id).collect();
        for id in lost {
            if let Some(pending) = self.pending.remove(&id) {
                answer(pending.reply, Err(Error::ConnectionLost));
            }
        }
    }
}

fn encode(request: &Request<'_>) -> Result<String, Error> {
    fanfare_json::to_string(request).map_err(|e| Error::Protocol(e.to_string()))
}

/// Completes a request; the result is discarded if the user stopped waiting.
pub(super) fn answer(reply: Option<Reply>, outcome: Result<String, Error>) {
    if let Some(reply) = reply {
        let _ = reply.send(outcome);
    }
}
