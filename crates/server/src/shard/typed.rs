//! Frames of the typed dialect and their replies, which leave in the order of the frames.

use super::Driver;
use super::ledger::{Ledger, Waiting};
use super::waits::{Outgoing, Step, Via, shutting_down};
use crate::posts::Serial;
use crate::telemetry::metrics::CommandKind;
use fanfare_core::model::{Command, Touch};
use fanfare_dialects::typed::{self, RequestId};
use fanfare_ws::{OpCode, encode};
use std::time::Instant;

impl Driver {
    /// Carries out a frame: a new one, or the one that was held or verified under a serial.
    pub(super) fn on_typed(&mut self, slot: u32, text: &str, at: Option<Serial>) {
        let request = typed::decode(text);
        let touches = || std::iter::once(request.command.as_ref().map_or(Touch::Nothing, Command::touches));
        if at.is_none() && self.is_blocked(slot, touches) {
            return self.hold(slot, text, touches());
        }
        if let Ok(command) = &request.command
            && let Some((token_use, token)) = command.token()
            && self.set_aside(slot, text, vec![(token_use, token.to_owned())], at, touches)
        {
            return;
        }
        let kind = request.command.as_ref().map_or(CommandKind::Other, CommandKind::of);
        let (id, since) = (request.id, self.now.at);
        let command = match request.command {
            Ok(_) if self.draining && at.is_none() => Err(shutting_down()),
            command => command,
        };
        let command = match command {
            Ok(command) => command,
            Err(refusal) => return self.reply(slot, at, (id, kind, since), &Err(refusal)),
        };
        let serial = at.unwrap_or_else(|| self.new_serial());
        let promises = match self.execute(slot, &command, Via::Frame(serial)) {
            Ok(Step::Done(reply)) => return self.reply(slot, at, (id, kind, since), &Ok(reply)),
            Err(refusal) => return self.reply(slot, at, (id, kind, since), &Err(refusal)),
            Ok(Step::Later(_)) => Vec::new(),
            Ok(Step::Subscribing(ticket)) => vec![(ticket, None)],
        };
        let touches = vec![command.touches().into_owned()];
        let waiting = Waiting { id: id.map(|id| id.0.into()), kind, since, promises, started: true };
        let rare = self.conns[slot as usize].rare();
        rare.ledger.get_or_insert_default().wait(serial, touches, waiting);
    }

    /// Writes the reply of a typed command. It leaves at once, or when those before it have left.
    pub(super) fn reply(
        &mut self,
        slot: u32,
        at: Option<Serial>,
        (id, kind, since): (Option<RequestId<'_>>, CommandKind, Instant),
        result: &Outgoing,
    ) {
        let direct = self.conns[slot as usize].ledger().is_none();
        let mut apart = Vec::new();
        let mut frame =
            encode::FrameWriter::begin(if direct { &mut self.out } else { &mut apart }, OpCode::Text, 126);
        match result {
            Ok(reply) => typed::write_reply(reply, id, self.now.ms, frame.payload()),
            Err(refusal) => {
                self.metrics.error(refusal.code);
                typed::write_error(refusal, id, self.now.ms, frame.payload());
            }
        }
        frame.finish();
        self.metrics.commands[kind as usize].observe_alone(since.elapsed().as_nanos() as u64);
        if direct {
            self.out_messages += 1;
            return;
        }
        let serial = at.unwrap_or_else(|| self.new_serial());
        if let Some(ledger) = self.ledger(slot) {
            ledger.settle(serial, apart);
        }
        self.release(slot);
    }

    /// Puts out the replies that nothing before them holds up.
    fn release(&mut self, slot: u32) {
        while let Some(reply) = self.ledger(slot).and_then(Ledger::pop_ready) {
            self.out.extend_from_slice(&reply);
            self.out_messages += 1;
        }
    }
}
