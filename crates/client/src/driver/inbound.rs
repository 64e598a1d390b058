//! Frames of the server: replies go to the waiting requests, everything else to the user as notices.

use std::time::Duration;

use tokio::time::Instant;

use super::Driver;
use super::requests::{Effect, Pending, answer};
use crate::client::Notice;
use crate::error::{Error, ServerError};
use crate::options::StartFrom;
use crate::wire::{Event, Head, Info, Published, Subscribed};

impl Driver {
    /// Handles a frame of the server: a reply, or a notice.
    pub(super) fn receive(&mut self, text: &str) {
        let Ok(head) = fanfare_json::from_str::<Head<'_>>(text) else {
            self.waiting.push_back(Notice::Frame(text.to_owned()));
            return;
        };
        if let Some(pending) = head.reply_to().and_then(|id| self.pending.remove(&id)) {
            return self.settle(pending, &head.kind, text);
        }
        let notice = match head.kind.as_ref() {
            "event" => fanfare_json::from_str::<Event>(text).ok().map(|event| self.event(event, text)),
            "info" => fanfare_json::from_str::<Info>(text).ok().map(|info| self.info(info, text)),
            "error" => fanfare_json::from_str(text).ok().map(Notice::Error),
            _ => None,
        };
        self.waiting.push_back(notice.unwrap_or_else(|| Notice::Frame(text.to_owned())));
    }

    fn event(&mut self, mut event: Event, text: &str) -> Notice {
        self.subscriptions.delivered(&event.topic, event.offset);
        text.clone_into(&mut event.raw);
        Notice::Event(event)
    }

    fn info(&mut self, mut info: Info, text: &str) -> Notice {
        match (info.code.as_str(), &info.topic) {
            // Subscribing again would recreate a topic that has just been deleted.
            ("TOPIC_DELETED", Some(topic)) => self.subscriptions.remove(topic),
            ("POSITION_LOST", Some(topic)) => {
                if let (Some(epoch), Some(offset)) = (&info.epoch, info.offset) {
                    self.subscriptions.moved(topic, epoch, offset);
                }
            }
            ("MOVE", _) => {
                if let Some(token) = &info.resume_token {
                    self.session.resume_token.clone_from(token);
                }
                self.move_at = Some(Instant::now() + Duration::from_millis(info.in_ms.unwrap_or(0)));
            }
            _ => {}
        }
        text.clone_into(&mut info.raw);
        Notice::Info(info)
    }

    /// Delivers a reply to its request and updates the subscriptions from it.
    fn settle(&mut self, pending: Pending, kind: &str, text: &str) {
        if kind == "error" {
            let error: ServerError = fanfare_json::from_str(text).unwrap_or_else(|e| ServerError {
                code: "INTERNAL".into(),
                message: format!("unreadable error frame: {e}"),
                field: None,
                retry_after_ms: None,
            });
            if let Effect::Resubscribe { topic, .. } = pending.effect {
                self.subscriptions.remove(&topic);
                self.waiting.push_back(Notice::Unsubscribed { topic, error });
            } else {
                answer(pending.reply, Err(Error::Server(error)));
            }
            return;
        }
        match pending.effect {
            Effect::Subscribe { topic, start } => {
                if let Ok(ack) = fanfare_json::from_str::<Subscribed>(text) {
                    self.subscriptions.acked(&topic, start, &ack);
                }
            }
            Effect::Resubscribe { topic, since } => {
                if let Ok(ack) = fanfare_json::from_str::<Subscribed>(text) {
                    self.subscriptions.acked(&topic, StartFrom::Since(since), &ack);
                    let recovered = ack.recovered == Some(true);
                    self.waiting.push_back(Notice::Resubscribed { topic, recovered });
                }
            }
            Effect::Unsubscribe { topic } => self.subscriptions.remove(&topic),
            Effect::PublishSilently { topic } => {
                if let Ok(ack) = fanfare_json::from_str::<Published>(text) {
                    self.subscriptions.published_silently(&topic, ack.offset);
                }
            }
            Effect::None => {}
        }
        answer(pending.reply, Ok(text.to_owned()));
    }
}
