//! What the application's backend pushes to sessions, and what everyone on `/ws/system` is sent (`protocol.md` 6).

use super::Driver;
use fanfare_ws::{OpCode, encode};

impl Driver {
    /// Sends JSON to a connection that has a session.
    pub(super) fn push(&mut self, slot: u32, payload: &str) {
        let conn = &self.conns[slot as usize];
        if !conn.is_open() || conn.session.is_none() {
            return;
        }
        let mut out = Vec::new();
        let mut frame = encode::FrameWriter::begin(&mut out, OpCode::Text, payload.len() + 96);
        conn.language.dialect().session_message(payload, self.now.ms, frame.payload());
        frame.finish();
        self.hub.deliver(slot, &out, &mut self.sockets);
    }

    /// Sends each connection of `/ws/system` the frame of its variant.
    pub(super) fn notify_system(&mut self, frames: &[Vec<u8>]) {
        for slot in 0..self.conns.len() as u32 {
            let conn = &self.conns[slot as usize];
            if conn.is_open() && conn.system {
                let variant = usize::from(self.variant(slot));
                self.hub.deliver(slot, &frames[variant], &mut self.sockets);
            }
        }
    }
}
