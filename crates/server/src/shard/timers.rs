//! Time: pings, deadlines of reading, writing, ending and authenticating.
//!
//! There is no timer per connection. The slots are scanned in slices so that each is looked at about once a
//! [`scan period`](crate::node::Ticks::scan); a deadline is met up to that much late.

use super::Driver;
use super::conn::Phase;
use fanfare_core::model::End;

/// An empty ping frame.
const PING: &[u8] = &[0x89, 0];

impl Driver {
    pub(super) fn look_at_clock(&mut self) {
        if self.now.tick < self.scan_at || self.conns.is_empty() {
            return;
        }
        // As many slots a tick as make up one period.
        let late = self.now.tick - self.scan_at + 1;
        self.scan_at = self.now.tick + 1;
        let share = self.conns.len().div_ceil(self.node.ticks.scan as usize) * late as usize;
        for _ in 0..share.min(self.conns.len()) {
            self.scanned = (self.scanned + 1) % self.conns.len();
            self.look_at(self.scanned as u32);
        }
    }

    fn look_at(&mut self, slot: u32) {
        let (now, ticks) = (self.now.tick, self.node.ticks);
        let conn = &self.conns[slot as usize];
        match conn.phase {
            Phase::Free => {}
            Phase::Ending { at, .. } => {
                if now >= at {
                    self.finish_close(slot);
                }
            }
            Phase::Open => {
                let stuck = conn.stuck_since != 0 && now - conn.stuck_since >= ticks.write;
                let late = conn.rare.as_ref().and_then(|r| r.authenticate_by).is_some_and(|by| now >= by);
                if stuck {
                    tracing::debug!(connection = %self.client_id(slot), "write deadline passed");
                    self.cut(slot, 1006);
                } else if now - conn.last_frame >= ticks.read {
                    self.hub.end(slot, None, 1001, "read deadline passed", &mut self.sockets);
                } else if late {
                    self.end(slot, End::NotAuthenticated);
                } else {
                    if now >= conn.ping_at {
                        self.conns[slot as usize].ping_at = now + ticks.ping;
                        self.hub.reply(slot, PING, 1, &mut self.sockets);
                    }
                    self.look_at_tokens(slot);
                }
            }
        }
    }
}
