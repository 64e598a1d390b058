//! Bytes in: from a readable socket to commands, and the answers out in one send.

use super::conn::{Language, Phase};
use super::sockets::Received;
use super::{Driver, READ_BYTES};
use crate::admission::Permit;
use crate::telemetry::histogram::add_alone;
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::End;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_dialects::typed;
use fanfare_services::credentials::Verified;
use fanfare_ws::{Event, Limits, OpCode, encode};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;

/// Answers that have gathered are sent when they reach this, even within one read.
const FLUSH_BYTES: usize = 64 * 1024;

impl Driver {
    /// Reads a socket once. `readable` is false when the kernel only says that it ended.
    pub(super) fn read(&mut self, slot: u32, readable: bool) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(READ_BYTES, 0);
        match self.sockets.receive(slot, &mut buffer) {
            Received::Bytes(n) => self.feed(slot, &mut buffer[..n]),
            Received::Nothing if readable => {}
            Received::Nothing | Received::End | Received::Broken => self.cut(slot, 1006),
        }
        self.buffer = buffer;
    }

    /// Ends a connection whose peer said goodbye within TLS, once everything before that was looked at.
    pub(super) fn end_if_ended(&mut self, slot: u32) {
        let conn = &self.conns[slot as usize];
        let unread = conn.rare.as_ref().is_some_and(|rare| !rare.unread.is_empty());
        if self.sockets.has_ended(slot) && !unread {
            self.cut(slot, 1006);
        }
    }

    /// Decodes what a connection sent and carries it out. A panic ends this connection and no other.
    pub(super) fn feed(&mut self, slot: u32, input: &mut [u8]) {
        self.out.clear();
        self.out_messages = 0;
        self.contain(self.hub.addr(slot), |driver| {
            driver.feed_events(slot, input);
            driver.flush_out(slot);
        });
    }

    /// Runs a connection's work. A panic in it ends this connection and no other; where the connection is gone, nobody else's
    /// work can have failed, and the panic continues and ends the process.
    pub(super) fn contain(&mut self, addr: ConnAddr, work: impl FnOnce(&mut Self)) {
        let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(self))) else { return };
        let Some(slot) = self.hub.slot_of(addr) else { resume_unwind(panic) };
        tracing::error!(connection = %self.client_id(slot), "a panic was contained; the connection is closed");
        self.out.clear();
        self.out_messages = 0;
        self.verified = Verified::default();
        self.welcome_owed = None;
        self.end(slot, End::Internal);
    }

    fn feed_events(&mut self, slot: u32, input: &mut [u8]) {
        let mut decoder = std::mem::take(&mut self.conns[slot as usize].decoder);
        let limits = self.limits(slot);
        let mut pos = 0;
        while pos < input.len() || pos == 0 {
            let step = match decoder.next(&mut input[pos..], &limits) {
                Ok(step) => step,
                Err(error) => {
                    self.violated(slot, error.close.get(), error.reason);
                    break;
                }
            };
            pos += step.consumed;
            if step.frames > 0 {
                self.conns[slot as usize].last_frame = self.now.tick;
            }
            let Some(event) = step.event else { break };
            if !self.on_event(slot, event) {
                break;
            }
            if self.out.len() > FLUSH_BYTES {
                self.flush_out(slot);
            }
            if self.hub.is_paused(slot) || self.conns[slot as usize].is_busy() {
                // Not looked at before there is room for the answers.
                self.conns[slot as usize].rare().unread = input[pos..].to_vec();
                self.watch(slot, super::conn_interest::READ, false);
                break;
            }
        }
        self.conns[slot as usize].decoder = decoder;
    }

    fn limits(&self, slot: u32) -> Limits {
        Limits { deflate: self.conns[slot as usize].deflate, ..self.node.frame_limits }
    }

    /// One event of the codec. Returns whether to continue.
    fn on_event(&mut self, slot: u32, event: Event<'_>) -> bool {
        if let Phase::Ending { drained, at, .. } = self.conns[slot as usize].phase {
            if let Event::Close(..) = event {
                self.conns[slot as usize].phase = Phase::Ending { at, drained, answered: true };
                if drained {
                    self.finish_close(slot);
                }
                return false;
            }
            return true;
        }
        match event {
            Event::Text(text) => self.on_text(slot, text),
            Event::Binary(_) => {
                let why = "frames are text; a binary frame is no JSON";
                self.refuse_frame(slot, &Refusal::new(ErrorCode::InvalidJson, why));
                true
            }
            Event::Ping(payload) => {
                let fits = self.conns[slot as usize].control(self.now.tick);
                if !fits {
                    self.violated(slot, 1008, "too many control frames");
                    return false;
                }
                encode::pong_into(&mut self.out, payload);
                self.out_messages += 1;
                true
            }
            Event::Pong(_) => {
                let fits = self.conns[slot as usize].control(self.now.tick);
                if !fits {
                    self.violated(slot, 1008, "too many control frames");
                }
                fits
            }
            Event::Close(code, _) => {
                self.flush_out(slot);
                let code = code.map_or(1000, |c| c.get());
                self.conns[slot as usize].phase = Phase::Ending {
                    at: self.now.tick + self.node.ticks.write,
                    drained: false,
                    answered: true,
                };
                self.hub.close_after(slot, None, code, "", &mut self.sockets);
                false
            }
        }
    }

    fn on_text(&mut self, slot: u32, text: &str) -> bool {
        self.metrics.message_bytes.observe_alone(text.len() as u64);
        if self.conns[slot as usize].language == Language::Undecided {
            let language = if typed::is_jsonrpc(text) { Language::JsonRpc } else { Language::Typed };
            self.speak(slot, language);
        }
        let language = self.conns[slot as usize].language;
        add_alone(&self.metrics.received[usize::from(language == Language::JsonRpc)], 1);
        if let Err(wait) = self.take_tokens(slot, text.len()) {
            return self.refuse_rate(slot, text, wait);
        }
        self.carry_out(slot, text, None);
        self.conns[slot as usize].is_open()
    }

    /// Answers a frame that is no command.
    pub(super) fn refuse_frame(&mut self, slot: u32, refusal: &Refusal) {
        self.metrics.error(refusal.code);
        let encoder = self.node.topics.encoders()[usize::from(self.variant(slot))].as_ref();
        encoder.error(refusal, self.now.ms, &mut self.out);
        self.out_messages += 1;
    }

    /// Takes a text out of all buckets: one message, and its bytes.
    fn take_tokens(&mut self, slot: u32, bytes: usize) -> Result<(), u64> {
        self.take_message(slot)?;
        let conn = &mut self.conns[slot as usize];
        if let Some(rate) = self.node.byte_rate {
            rate.take(&mut conn.rare().bytes, bytes as u64, self.now.ns)?;
        }
        if let Some(login) = &mut conn.login {
            login.facts.received += 1;
        }
        Ok(())
    }

    /// Takes one message, or one more call of a batch, out of the connection's, the user's and the address's bucket.
    ///
    /// # Errors
    /// Milliseconds until it would be there.
    pub(super) fn take_message(&mut self, slot: u32) -> Result<(), u64> {
        let (now, node) = (self.now.ns, &self.node);
        let conn = &mut self.conns[slot as usize];
        if let Some(rate) = node.message_rate {
            rate.take(&mut conn.messages, 1, now)?;
        }
        let user = conn.login.as_ref().map(|login| &*login.state);
        node.services.rates.take_on_connection(user, conn.permit.as_ref().map(Permit::address), now)
    }

    /// A frame beyond the rate: one error, or the end when it is one too many. Returns whether to continue.
    fn refuse_rate(&mut self, slot: u32, text: &str, wait: u64) -> bool {
        let refusal = self.rate_refusal(wait);
        if !self.bear_refusal(slot) {
            return false;
        }
        if self.conns[slot as usize].language == Language::JsonRpc {
            self.refuse_rpc(slot, text, &refusal);
        } else {
            self.metrics.error(refusal.code);
            let id = typed::decode(text).id;
            let mut frame = encode::FrameWriter::begin(&mut self.out, OpCode::Text, 126);
            typed::write_error(&refusal, id, self.now.ms, frame.payload());
            frame.finish();
            self.out_messages += 1;
        }
        true
    }

    /// Counts a message or call beyond the rate: its refusal.
    pub(super) fn rate_refusal(&self, wait: u64) -> Refusal {
        self.metrics.rate_limited.fetch_add(1, Ordering::Relaxed);
        let why = "too many messages; this one was not processed";
        Refusal::new(ErrorCode::RateLimited, why).retry_after(wait.max(1))
    }

    /// Counts a refused message of a connection; one too many ends it. Returns whether to continue.
    pub(super) fn bear_refusal(&mut self, slot: u32) -> bool {
        let tick = self.now.tick;
        if self.conns[slot as usize].refused(tick) {
            return true;
        }
        self.flush_out(slot);
        self.end(slot, End::Flooding);
        false
    }

    /// The peer broke the protocol: the answers so far, then the close frame.
    fn violated(&mut self, slot: u32, code: u16, reason: &'static str) {
        self.flush_out(slot);
        if code == 1009 {
            let why = "the message is larger than limits.max_message_bytes";
            let refusal = Refusal::new(ErrorCode::MessageTooLarge, why);
            self.metrics.error(refusal.code);
            self.hub.close_after(slot, Some(&refusal), code, reason, &mut self.sockets);
        } else {
            self.hub.close_after(slot, None, code, reason, &mut self.sockets);
        }
    }

    /// Sends the answers that have gathered.
    pub(super) fn flush_out(&mut self, slot: u32) {
        if self.out_messages > 0 {
            let out = std::mem::take(&mut self.out);
            self.hub.reply(slot, &out, self.out_messages, &mut self.sockets);
            self.out = out;
            self.out.clear();
            self.out_messages = 0;
            self.out.shrink_to(4 * FLUSH_BYTES);
        }
    }

    /// Reading continues: first with what was received and not processed.
    pub(super) fn unpause(&mut self, slot: u32) {
        if !self.conns[slot as usize].is_open() || self.conns[slot as usize].is_busy() {
            return;
        }
        self.watch(slot, super::conn_interest::READ, true);
        let unread = self.conns[slot as usize].rare.as_mut().map(|r| std::mem::take(&mut r.unread));
        if let Some(mut unread) = unread
            && !unread.is_empty()
        {
            self.feed(slot, &mut unread);
        }
    }
}
