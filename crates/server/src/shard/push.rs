//! What the app's backend pushes to one session or to all (`protocol.md` 6 "session_message").

use super::Driver;
use super::post::ToShard;
use crate::node::Node;
use fanfare_core::ports::Info;
use fanfare_core::session::SessionCode;
use fanfare_ws::{OpCode, encode};
use std::sync::Arc;

impl Node {
    /// Sends JSON to the connection of a session. Says whether the session has one.
    pub fn send_to_session(&self, code: SessionCode, payload: Arc<str>) -> bool {
        let Some(addr) = self.sessions.address(code) else { return false };
        let push = move |driver: &mut Driver| {
            if let Some(slot) = driver.hub.slot_of(addr) {
                driver.push(slot, &payload);
            }
        };
        self.post_for(addr, push);
        true
    }

    /// Sends JSON to every connection that has a session.
    pub fn broadcast(&self, payload: &Arc<str>) {
        for shard in 0..self.topics.inboxes().len() {
            let payload = payload.clone();
            let push = move |driver: &mut Driver| {
                for slot in 0..driver.conns.len() as u32 {
                    driver.push(slot, &payload);
                }
            };
            self.post(shard, ToShard::Task(Box::new(push)));
        }
    }
}

impl Node {
    /// Tells everyone on `/ws/system`.
    pub fn system_info(&self, info: &Info<'_>) {
        let frames: Vec<Vec<u8>> = self
            .topics
            .encoders()
            .iter()
            .map(|encoder| {
                let mut frame = Vec::new();
                encoder.info(info, crate::node::unix_ms(), &mut frame);
                frame
            })
            .collect();
        let frames: Arc<[Vec<u8>]> = frames.into();
        for shard in 0..self.topics.inboxes().len() {
            let frames = frames.clone();
            let tell = move |driver: &mut Driver| {
                for slot in 0..driver.conns.len() as u32 {
                    let conn = &driver.conns[slot as usize];
                    if conn.is_open() && conn.system {
                        let variant = usize::from(driver.variant(slot));
                        driver.hub.deliver(slot, &frames[variant], &mut driver.sockets);
                    }
                }
            };
            self.post(shard, ToShard::Task(Box::new(tell)));
        }
    }
}

impl Driver {
    fn push(&mut self, slot: u32, payload: &str) {
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
}
