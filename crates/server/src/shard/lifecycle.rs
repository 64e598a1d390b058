//! Connections begin and end.
//!
//! An end in order: the last frames are queued behind what waits; when all has left, the peer has a moment to answer
//! before the socket is closed, so that nothing it was sent is lost to a reset. An end that is not in order is a cut.

use super::conn::{Conn, Language, Phase, Rare, TICK_MS};
use super::ledger::Ledger;
use super::{Driver, conn_interest};
use crate::posts::{ForAll, ForConn, NewConn, NewSession, Resumed, Speaks, ToShard};
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::End;
use fanfare_core::ports::Info;
use fanfare_core::session::Attach;
use fanfare_dialects::{Welcome, WelcomeLimits, WelcomeServer};
use fanfare_services::ports::Sockets;
use fanfare_ws::{OpCode, encode};
use rustix::event::epoll::{self, EventData};
use std::sync::atomic::Ordering;

/// Ticks a peer has to answer a close frame: 2 s.
const LINGER: u32 = 20;

impl Driver {
    pub(super) fn obey_post(&mut self, post: ToShard) {
        match post {
            ToShard::Open(new) => self.open(*new),
            ToShard::For(addr, what) => self.contain(addr, |driver| driver.work_for(addr, what)),
            ToShard::ForAll(what) => self.work_for_all(what),
            ToShard::Drain(done) => {
                self.drain();
                self.drained = Some(done);
                self.look_at_drained();
            }
            ToShard::Finish => {
                // Each connection has a deadline of its own; this one is for all that still read.
                let patience = self.node.config.server.shutdown_timeout.as_millis() / u128::from(TICK_MS);
                self.finish_at = Some(self.ticks_from_now(patience as u32));
            }
        }
        self.obey();
    }

    fn work_for(&mut self, addr: ConnAddr, what: ForConn) {
        match what {
            ForConn::End(why) => {
                if let Some(slot) = self.hub.slot_of(addr) {
                    self.end(slot, why);
                }
            }
            ForConn::Outcome(serial, result) => self.outcome(addr, serial, &result),
            ForConn::Answered(serial, answer) => self.answered(addr, serial, answer.as_deref()),
            ForConn::Verified(resumed) => {
                let Resumed { serial, text, verified } = *resumed;
                self.run_verified(addr, serial, &text, verified);
            }
            ForConn::FeedReady => self.poke_feed(addr),
            ForConn::LeaveFeed(channel) => self.leave_feed(addr, &channel),
            ForConn::Role(role) => self.change_role(addr, role),
            ForConn::Push(payload) => {
                if let Some(slot) = self.hub.slot_of(addr) {
                    self.push(slot, &payload);
                }
            }
            ForConn::PublishBeside(posted) => {
                self.publish_beside(addr, *posted);
            }
            ForConn::Reached(tell) => {
                let _gone = tell.send(());
            }
            #[cfg(test)]
            ForConn::Panic => {
                self.out.extend_from_slice(b"half a frame");
                self.out_messages = 1;
                panic!("injected: after a token check")
            }
        }
    }

    fn work_for_all(&mut self, what: ForAll) {
        match what {
            ForAll::Push(payload) => {
                (0..self.conns.len() as u32).for_each(|slot| self.push(slot, &payload));
            }
            ForAll::System(frames) => self.notify_system(&frames),
            ForAll::List { after, limit, tell } => {
                let _gone = tell.send(self.connections(after, limit));
            }
            ForAll::End(serial, why, tell) => {
                let _gone = tell.send(self.end_serial(serial, why));
            }
            #[cfg(test)]
            ForAll::Panic => panic!("injected: for all connections"),
        }
    }

    fn open(&mut self, new: NewConn) {
        let variant = u8::from(new.speaks == Speaks::JsonRpc) * 2 + u8::from(new.compress);
        let addr = self.hub.open(variant);
        let slot = addr.slot();
        if self.conns.len() <= slot as usize {
            self.conns.resize_with(slot as usize + 1, Conn::default);
        }
        let data = EventData::new_u64(u64::from(slot));
        if let Err(error) =
            epoll::add(&self.epoll, &new.stream, data, conn_interest::flags(conn_interest::READ))
        {
            tracing::error!(%error, "a socket cannot be watched");
            self.hub.close(slot, self.now.ms);
            return;
        }
        let mut new = new;
        self.sockets.put(slot, new.stream, new.tls);
        let language = match new.speaks {
            Speaks::Typed => Language::Typed,
            Speaks::JsonRpc => Language::JsonRpc,
            Speaks::Undecided => Language::Undecided,
        };
        let rare = new.session.is_none().then(|| {
            let authenticate_by = Some(self.ticks_from_now(self.node.ticks.authenticate));
            Box::new(Rare { authenticate_by, agent: new.agent.take(), ..Rare::default() })
        });
        if let Some(login) = new.login.as_mut() {
            login.facts.user_agent = new.agent.take();
        }
        self.conns[slot as usize] = Conn {
            phase: Phase::Open,
            language,
            deflate: new.deflate,
            interest: conn_interest::READ,
            close_code: 1006,
            last_frame: self.now.tick,
            ping_at: self.ticks_from_now(self.node.ticks.ping),
            session: new.session.as_ref().map(|s| s.code),
            serial: self.node.next_serial(self.now.ms),
            permit: Some(new.permit),
            system: new.system,
            login: new.login,
            rare,
            ..Conn::default()
        };
        self.open += 1;
        self.metrics.connections.fetch_add(1, Ordering::Relaxed);
        self.metrics.opened.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(connection = %self.client_id(slot), "connection opened");
        self.note_open(slot);
        self.greet(slot, addr, new.session.as_ref());
        self.seat(slot, addr, new.session.as_ref().map(|s| s.code));
        let mut early = new.early;
        if !early.is_empty() {
            self.feed(slot, &mut early);
        }
        self.obey();
        self.end_if_ended(slot);
        if self.draining && self.conns[slot as usize].is_open() {
            self.tell_shutdown(slot);
        }
    }

    /// Attaches the session and sends the welcome.
    fn greet(&mut self, slot: u32, addr: ConnAddr, session: Option<&NewSession>) {
        let Some(session) = session else { return };
        match self.node.services.sessions.table().attach(session.code, session.generation, addr, self.now.ms)
        {
            Attach::Attached { replaced } => {
                if let Some(old) = replaced {
                    self.node.posts.end(old, End::ResumedElsewhere);
                }
                self.welcome(slot, session);
            }
            Attach::Superseded => {
                self.end(slot, End::ResumedElsewhere);
            }
            Attach::Gone => self.end(slot, End::SessionEnded),
        }
    }

    pub(super) fn welcome(&mut self, slot: u32, session: &NewSession) {
        let principal = self.conns[slot as usize].login.as_ref().map(|l| l.principal().clone());
        let code = session.code.to_string();
        let client_id = self.client_id(slot);
        let limits = &self.node.config.limits;
        let welcome = Welcome {
            session_code: &code,
            resume_token: &session.token,
            client_id: &client_id,
            user: principal.as_ref().map(|p| (&*p.user_id, &*p.username)),
            resumed: session.resumed,
            heartbeat_ms: self.node.config.ws.ping_interval.as_millis() as u64,
            limits: WelcomeLimits {
                max_message_bytes: limits.max_message_bytes.len() as u64,
                queue_messages: limits.queue_messages as u64,
            },
            server: WelcomeServer { version: crate::VERSION, id: self.node.server_id() },
        };
        self.out.clear();
        let mut frame = encode::FrameWriter::begin(&mut self.out, OpCode::Text, 512);
        self.conns[slot as usize].language.dialect().welcome(&welcome, self.now.ms, frame.payload());
        frame.finish();
        self.out_messages = 1;
        self.flush_out(slot);
    }

    // --- ends -------------------------------------------------------------------------------------------------------

    /// The hub has queued the last frames.
    pub(super) fn ending(&mut self, slot: u32, code: u16) {
        let at = self.ticks_from_now(self.node.ticks.write);
        let conn = &mut self.conns[slot as usize];
        conn.close_code = code;
        let answered = matches!(conn.phase, Phase::Ending { answered: true, .. });
        conn.phase = Phase::Ending { at, drained: false, answered };
        self.hub.leave_all(slot, self.now.ms);
        self.watch(slot, conn_interest::READ, true);
    }

    /// The last frames have left.
    pub(super) fn drained(&mut self, slot: u32) {
        let at = self.ticks_from_now(LINGER);
        let conn = &mut self.conns[slot as usize];
        let Phase::Ending { answered, .. } = conn.phase else { return };
        conn.phase = Phase::Ending { at, drained: true, answered };
        if answered {
            self.finish_close(slot);
        }
    }

    /// Both sides have said goodbye.
    pub(super) fn finish_close(&mut self, slot: u32) {
        let code = self.conns[slot as usize].close_code;
        self.cut(slot, code);
    }

    /// Ends a connection in order: what waits for it leaves first.
    pub(super) fn end(&mut self, slot: u32, why: End) {
        self.hub.close_after(slot, None, why.code(), why.reason(), &mut self.sockets);
    }

    /// Closes the socket now.
    pub(super) fn cut(&mut self, slot: u32, code: u16) {
        let conn = &self.conns[slot as usize];
        if conn.phase == Phase::Free {
            return;
        }
        let code = if conn.is_open() { code } else { conn.close_code };
        tracing::debug!(connection = %self.client_id(slot), code, "connection closed");
        let addr = self.hub.addr(slot);
        self.write_down(slot, code, self.hub.sent(slot));
        self.hub.close(slot, self.now.ms);
        if let Some(session) = self.conns[slot as usize].session {
            self.node.services.sessions.table().detach(session, addr, self.now.ms);
        }
        self.conns[slot as usize] = Conn::default();
        drop(self.sockets.take(slot));
        self.open -= 1;
        self.metrics.closed(code);
    }

    // --- shutdown ---------------------------------------------------------------------------------------------------

    /// Refuses new commands from now on and notifies every connection.
    fn drain(&mut self) {
        self.draining = true;
        for slot in 0..self.conns.len() as u32 {
            if self.conns[slot as usize].is_open() {
                self.tell_shutdown(slot);
            }
        }
        self.hub.end_turn();
    }

    /// Reports that the shard is drained once every command that was read before has been started.
    pub(super) fn look_at_drained(&mut self) {
        let held = |conn: &Conn| conn.is_open() && conn.ledger().is_some_and(Ledger::has_held);
        if self.drained.is_some()
            && !self.conns.iter().any(held)
            && let Some(done) = self.drained.take()
        {
            let _gone = done.send(());
        }
    }

    fn tell_shutdown(&mut self, slot: u32) {
        let encoder = &self.node.topics.encoders()[usize::from(self.variant(slot))];
        let mut info = Vec::new();
        encoder.info(&Info::ServerShutdown, self.now.ms, &mut info);
        self.hub.reply(slot, &info, 1, &mut self.sockets);
    }

    /// Whether the thread may end: everyone is gone, or the time is up.
    pub(super) fn is_finished(&mut self) -> bool {
        let Some(deadline) = self.finish_at else { return false };
        if self.hub.is_flushed() {
            for slot in 0..self.conns.len() as u32 {
                // A command that waits for its outcome is answered first.
                if self.conns[slot as usize].is_open() && self.conns[slot as usize].ledger().is_none() {
                    self.end(slot, End::ShuttingDown);
                }
            }
            self.obey();
        }
        self.open == 0 || self.now.tick >= deadline
    }
}
