//! Replies, infos and endings of one connection, and the draining of its outbox.

use super::*;

impl<D> Shard<D> {
    /// Sends replies or infos (`messages` complete frames); what is not taken is queued and never dropped.
    pub fn reply(&mut self, slot: u32, bytes: &[u8], messages: usize, wire: &mut impl Wire) {
        if bytes.is_empty() || self.has(slot, ENDING) || !self.has(slot, OPEN) {
            return;
        }
        self.count_sent(slot, messages as u32);
        let mut sent = 0;
        if !self.has(slot, BACKLOG)
            || self.cold[slot as usize].outbox.as_ref().is_some_and(|o| o.is_empty() && o.dropped() == 0)
        {
            match wire.send(slot, bytes) {
                Sent::Bytes(n) => sent = n,
                Sent::Broken => {
                    self.effects.push(Effect::Broken(slot));
                    return;
                }
            }
        }
        if sent < bytes.len() {
            self.queue_bytes(slot, Kind::Reply, bytes.to_vec(), sent, messages);
            self.want_writable(slot);
            self.pause_if_full(slot);
        }
    }

    /// Sends what nobody asked for and what must not be dropped; a queue that is full ends the connection.
    pub fn deliver(&mut self, slot: u32, bytes: &[u8], wire: &mut impl Wire) {
        let limits = self.config.queue;
        let full = |shard: &Self| {
            let waiting = shard.cold.get(slot as usize).and_then(|c| c.outbox.as_ref());
            waiting.is_some_and(|o| !o.fits(1, bytes.len(), limits))
        };
        if full(self) {
            self.drain(slot, wire);
        }
        if full(self) {
            self.end_slow(
                slot,
                "the client did not read fast enough and its queue overflowed; reconnect",
                wire,
            );
        } else {
            self.reply(slot, bytes, 1, wire);
        }
    }

    /// Ends a connection: after the frame under way come the error, if any, and the close frame.
    pub fn end(&mut self, slot: u32, error: Option<&Refusal>, code: u16, reason: &str, wire: &mut impl Wire) {
        if self.has(slot, ENDING) || !self.has(slot, OPEN) {
            return;
        }
        if let Some(outbox) = &mut self.cold[slot as usize].outbox {
            let before = outbox.bytes();
            outbox.cut_to_frame();
            self.queued_bytes = self.queued_bytes + outbox.bytes() - before;
        }
        self.close_after(slot, error, code, reason, wire);
    }

    /// Ends a connection after everything that is queued for it.
    pub fn close_after(
        &mut self,
        slot: u32,
        error: Option<&Refusal>,
        code: u16,
        reason: &str,
        wire: &mut impl Wire,
    ) {
        if self.has(slot, ENDING) || !self.has(slot, OPEN) {
            return;
        }
        let encoder = &self.encoders[usize::from(self.hot[slot as usize].variant)];
        let mut bytes = Vec::new();
        let mut messages = 1;
        if let Some(refusal) = error {
            encoder.error(refusal, self.now.ms, &mut bytes);
            messages += 1;
        }
        encoder.close(code, reason, &mut bytes);
        self.queue_bytes(slot, Kind::Reply, bytes, 0, messages);
        self.hot[slot as usize].flags |= ENDING;
        self.effects.push(Effect::Ending(slot, code));
        self.drain(slot, wire);
    }

    /// The socket can be written.
    pub fn writable(&mut self, slot: u32, wire: &mut impl Wire, now_ms: u64) {
        if self.has(slot, BACKLOG) {
            self.drain(slot, wire);
            self.pull(slot, wire, now_ms);
        }
    }

    pub(super) fn queue_bytes(&mut self, slot: u32, kind: Kind, bytes: Vec<u8>, pos: usize, messages: usize) {
        let outbox = self.outbox(slot);
        let before = outbox.bytes();
        outbox.push_bytes(kind, bytes, pos, messages);
        self.queued_bytes = self.queued_bytes + self.outbox(slot).bytes() - before;
    }

    pub(super) fn pause_if_full(&mut self, slot: u32) {
        let limits = self.config.queue;
        let full = self.cold[slot as usize]
            .outbox
            .as_ref()
            .is_some_and(|o| o.messages() >= limits.messages || o.bytes() >= limits.bytes);
        if full && !self.has(slot, PAUSED) {
            self.hot[slot as usize].flags |= PAUSED;
            self.effects.push(Effect::Paused(slot, true));
        }
    }

    /// Whether reading is to stop because replies fill the queue.
    pub fn is_paused(&self, slot: u32) -> bool {
        self.has(slot, PAUSED)
    }

    /// Writes what is queued until the socket takes no more.
    pub(super) fn drain(&mut self, slot: u32, wire: &mut impl Wire) {
        let variant = usize::from(self.hot[slot as usize].variant);
        loop {
            let Some(outbox) = &mut self.cold[slot as usize].outbox else { return };
            let before = outbox.bytes();
            if outbox.dropped() > 0 {
                for (source, count) in outbox.take_drops() {
                    let mut info = Vec::new();
                    let dropped = Info::MessagesDropped { count, channel: source.as_deref() };
                    self.encoders[variant].info(&dropped, self.now.ms, &mut info);
                    outbox.push_notice(source, count, info);
                }
                self.queued_bytes = self.queued_bytes + outbox.bytes() - before;
            }
            let before = outbox.bytes();
            if outbox.is_empty() {
                break;
            }
            let mut pieces: Vec<IoSlice<'_>> = Vec::with_capacity(super::super::outbox::MAX_PIECES);
            outbox.pieces(&mut pieces);
            let wanted: usize = pieces.iter().map(|p| p.len()).sum();
            let sent = wire.send_vectored(slot, &pieces);
            let Sent::Bytes(n) = sent else {
                self.effects.push(Effect::Broken(slot));
                return;
            };
            drop(pieces);
            outbox.advance(n);
            self.queued_bytes = self.queued_bytes + outbox.bytes() - before;
            if n < wanted {
                self.want_writable(slot);
                break;
            }
        }
        self.after_drain(slot);
    }

    pub(super) fn after_drain(&mut self, slot: u32) {
        let limits = self.config.queue;
        let Some(outbox) = &self.cold[slot as usize].outbox else { return };
        let (empty, replays) = (outbox.is_empty(), !outbox.replays.is_empty());
        let low = outbox.messages() <= limits.messages / 2 && outbox.bytes() <= limits.bytes / 2;
        if low && self.has(slot, PAUSED) {
            self.hot[slot as usize].flags &= !PAUSED;
            self.effects.push(Effect::Paused(slot, false));
        }
        if empty && self.has(slot, WRITABLE) {
            self.hot[slot as usize].flags &= !WRITABLE;
            self.effects.push(Effect::Writable(slot, false));
        }
        if empty && self.has(slot, ENDING) {
            self.effects.push(Effect::Drained(slot));
        }
        if empty && !replays {
            self.drop_outbox(slot);
        }
    }

    pub(super) fn want_writable(&mut self, slot: u32) {
        if !self.has(slot, WRITABLE) {
            self.hot[slot as usize].flags |= WRITABLE;
            self.effects.push(Effect::Writable(slot, true));
        }
    }
}
