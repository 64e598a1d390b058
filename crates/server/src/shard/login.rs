//! Logging in on an open connection, and what a login means for it.
//!
//! The tokens of a command are verified before it is carried out ([`super::waits`]); their outcomes are in [`Driver::verified`].

use super::conn::{Phase, Rare};
use super::{Driver, conn_interest};
use crate::posts::NewSession;
use fanfare_core::hub::ConnAddr;
use fanfare_core::model::{Caller, Principal};
use fanfare_core::model::{End, ErrorCode, Refusal};
use fanfare_core::ports::Info;
use fanfare_core::session::{Opened, SessionCode};
use fanfare_services::audit::{AuditEvent, Outcome};
use fanfare_store::{ConnectionRow, Role};
use std::sync::Arc;

/// How long before the end of a token its client is notified, in milliseconds (`accounts-and-messages.md` "Login").
const WARN_MS: u64 = 60_000;

/// A login that was carried out.
pub(super) struct Authenticated {
    pub(super) principal: Arc<Principal>,
    pub(super) session_code: String,
    pub(super) resume_token: String,
}

impl Driver {
    /// Logs a connection in, or keeps it logged in with a newer token of the same login.
    pub(super) fn authenticate(&mut self, slot: u32, token: &str) -> Result<Authenticated, Refusal> {
        let principal = self.verified.login(token)?;
        if self.conns[slot as usize].system {
            let why = "auth frames are for /ws and /rpc; connect again with the newer token";
            return Err(Refusal::new(ErrorCode::InvalidMessageType, why).field("type"));
        }
        if self.node.services.sessions.has_ended(&principal) {
            return Err(
                Refusal::new(ErrorCode::Unauthorized, "this login has ended: log in again").field("token")
            );
        }
        let principal = self.node.services.sessions.with_current_role(principal);
        match &self.conns[slot as usize].login {
            Some(login) => {
                let own = login.principal();
                if own.user_id != principal.user_id || own.session_id != principal.session_id {
                    let why = "this connection is logged in already: a newer token must be of the same login";
                    return Err(Refusal::new(ErrorCode::Unauthorized, why).field("token"));
                }
                self.keep_logged_in(slot, principal)
            }
            None => self.log_in(slot, principal),
        }
    }

    fn keep_logged_in(&mut self, slot: u32, principal: Arc<Principal>) -> Result<Authenticated, Refusal> {
        let conn = &mut self.conns[slot as usize];
        let code = conn.session.ok_or_else(session_ended)?;
        let resume_token =
            self.node.services.sessions.table().reissue(code, self.now.ms).ok_or_else(session_ended)?;
        if let Some(login) = conn.login.as_mut() {
            login.refresh(principal.clone());
        }
        self.node.services.sessions.remember(code, &principal);
        Ok(Authenticated { principal, session_code: code.to_string(), resume_token })
    }

    fn log_in(&mut self, slot: u32, principal: Arc<Principal>) -> Result<Authenticated, Refusal> {
        let node = self.node.clone();
        let Some(mut login) = node.services.users.enter(principal.clone()) else {
            node.metrics.refused_by("connections_per_user");
            let why = "limits.max_connections_per_user is reached";
            return Err(Refusal::new(ErrorCode::LimitExceeded, why));
        };
        let addr = self.hub.addr(slot);
        let now = self.now.ms;
        let opened = match self.conns[slot as usize].session {
            // The session keeps its data and gets a new name, so that nobody who knew the old one comes along.
            Some(code) => node.services.sessions.table().renew(code, &principal.user_id, now)?,
            None => {
                let opened = node.services.sessions.table().open(Some(&principal.user_id), now)?;
                node.services.sessions.table().attach(opened.code, opened.generation, addr, now);
                self.welcome_owed = Some(owed(&opened));
                opened
            }
        };
        let conn = &mut self.conns[slot as usize];
        login.facts.user_agent = conn.rare().agent.take();
        conn.rare().authenticate_by = None;
        conn.session = Some(opened.code);
        if let Some(permit) = conn.permit.as_mut() {
            permit.authenticated();
        }
        conn.login = Some(login);
        self.seat(slot, addr, Some(opened.code));
        self.note_open(slot);
        Ok(Authenticated { principal, session_code: opened.code.to_string(), resume_token: opened.token })
    }

    // --- server commands --------------------------------------------------------------------------------------------

    /// Takes one server command out of the user's bucket. Who is nobody has the connection's rate of messages only.
    pub(super) fn admit_command(&mut self, slot: u32) -> Result<(), Refusal> {
        let Some(login) = &self.conns[slot as usize].login else { return Ok(()) };
        self.node.services.rates.take_command_on_connection(&login.state, self.now.ns)
    }

    /// Writes a user's server command down.
    pub(super) fn note_command(&mut self, slot: u32, command: &'static str, succeeded: bool) {
        self.note(slot, |user| AuditEvent::server_command(command, succeeded, user));
    }

    /// Writes down what a connection's user did. What nobody known does would only fill the log.
    pub(super) fn note(&self, slot: u32, event: impl FnOnce(&Principal) -> AuditEvent) {
        let conn = &self.conns[slot as usize];
        let Some(login) = &conn.login else { return };
        self.node.services.audit.activity(&login.principal().user_id, || {
            let mut event = event(login.principal());
            if let Some(permit) = &conn.permit {
                event = event.ip(permit.address());
            }
            if let Some(agent) = &login.facts.user_agent {
                event = event.agent(agent);
            }
            event
        });
    }

    /// Writes an audit event that a user's socket opened, or that a connection logged in.
    pub(super) fn note_open(&self, slot: u32) {
        self.note(slot, |user| {
            let event = AuditEvent::new("ws_open", Outcome::Success);
            event.user(&user.user_id).session(&user.session_id)
        });
    }

    // --- ends of tokens ---------------------------------------------------------------------------------------------

    /// Writes a connection of a user down that has closed (table `sessions` of seed 003).
    pub(super) fn write_down(&mut self, slot: u32, code: u16, sent: u32) {
        let conn = &self.conns[slot as usize];
        let Some(login) = &conn.login else { return };
        self.note(slot, |user| {
            let event = AuditEvent::new("ws_close", Outcome::Success).detail("code", code);
            event.user(&user.user_id).session(&user.session_id)
        });
        let ip = conn.permit.as_ref().map(crate::admission::Permit::address);
        self.node.services.connections_log.closed(ConnectionRow {
            user_id: login.principal().user_id.to_string(),
            session_code: conn.session.map(|code| code.to_string()).unwrap_or_default(),
            connected_at: login.facts.connected_at_ms as i64,
            disconnected_at: self.now.ms as i64,
            messages_sent: i64::from(sent),
            messages_received: login.facts.received as i64,
            ip_address: ip.map(|ip| ip.to_string()),
            user_agent: login.facts.user_agent.as_deref().map(str::to_owned),
            close_code: Some(i64::from(code)),
        });
    }

    /// Looks at the ends of a connection's login and of the subscriptions that tokens opened.
    pub(super) fn look_at_tokens(&mut self, slot: u32) {
        let now = self.now.ms;
        let conn = &mut self.conns[slot as usize];
        if conn.phase != Phase::Open {
            return;
        }
        if let Some(login) = conn.login.as_mut() {
            let ends = login.principal().expires_at_ms;
            if now >= ends {
                self.end(slot, End::TokenExpired);
                return;
            }
            if now + WARN_MS >= ends && !login.warned {
                login.warned = true;
                self.send_info(slot, &Info::TokenExpiring { expires_at_ms: ends });
            }
        }
        let over = |rare: &mut Box<Rare>| {
            let ended: Vec<_> = rare.grants.extract_if(.., |(_, ends)| now >= *ends).collect();
            ended
        };
        let ended = self.conns[slot as usize].rare.as_mut().map(over).unwrap_or_default();
        for (topic, _) in ended {
            self.end_subscription(slot, &topic);
        }
    }

    fn end_subscription(&mut self, slot: u32, topic: &str) {
        if !self.hub.is_subscribed(slot, topic) {
            return;
        }
        let Ok(topic_ref) = fanfare_core::model::TopicRef::parse(topic) else { return };
        let unsubscribe = fanfare_core::model::Unsubscribe { topic: topic_ref, client_id: None };
        let mut out = Vec::new();
        let _was_subscribed = self.hub.unsubscribe(slot, &unsubscribe, self.now.ms, &mut out);
        if !out.is_empty() {
            self.hub.reply(slot, &out, 1, &mut self.sockets);
        }
        self.send_info(slot, &Info::SubscriptionExpired { topic });
    }

    /// Notes that a token keeps a subscription open until then.
    pub(super) fn note_grant(&mut self, slot: u32, topic: &str, ends_ms: u64) {
        let grants = &mut self.conns[slot as usize].rare().grants;
        match grants.iter_mut().find(|(known, _)| **known == *topic) {
            Some((_, ends)) => *ends = ends_ms.max(*ends),
            None => grants.push((topic.into(), ends_ms)),
        }
    }

    /// A subscription is no longer open: no token keeps it.
    pub(super) fn forget_grant(&mut self, slot: u32, topic: &str) {
        if let Some(rare) = self.conns[slot as usize].rare.as_mut() {
            rare.grants.retain(|(known, _)| **known != *topic);
        }
    }

    /// Sends one connection a notice.
    pub(super) fn send_info(&mut self, slot: u32, info: &Info<'_>) {
        let mut out = Vec::new();
        self.node.topics.encoders()[usize::from(self.variant(slot))].info(info, self.now.ms, &mut out);
        self.hub.reply(slot, &out, 1, &mut self.sockets);
    }

    /// Counts a connection that has a user among the user's. What ended or changed while it was on its way is applied: whatever
    /// comes later finds it there.
    pub(super) fn seat(&mut self, slot: u32, addr: ConnAddr, code: Option<SessionCode>) {
        let node = self.node.clone();
        let now = self.now.ms;
        let Some(login) = self.conns[slot as usize].login.as_mut() else { return };
        login.place(addr);
        login.facts.connected_at_ms = now;
        let sessions = &node.services.sessions;
        login.set_principal(sessions.with_current_role(login.principal().clone()));
        if let Some(code) = code {
            sessions.remember(code, login.principal());
        }
        if sessions.has_ended(login.principal()) {
            self.end(slot, End::SessionEnded);
            self.watch(slot, conn_interest::READ, true);
        }
    }

    /// Gives a connection's user another role, and ends the subscriptions that it does not allow.
    pub(super) fn change_role(&mut self, addr: ConnAddr, role: Role) {
        let Some(slot) = self.hub.slot_of(addr) else { return };
        let conn = &mut self.conns[slot as usize];
        let Some(login) = conn.login.as_mut() else { return };
        // Users of an issuer have no role here.
        if login.principal().role == role || login.principal().issuer.is_some() {
            return;
        }
        login.set_principal(Arc::new(Principal { role, ..(**login.principal()).clone() }));
        let (caller, code) = (conn.caller().clone(), conn.session);
        let grants = conn.rare.as_ref().map(|rare| &rare.grants[..]).unwrap_or_default();
        let is_granted = |topic: &str| grants.iter().any(|(known, _)| **known == *topic);
        let is_open = |topic: &str| {
            is_granted(topic) || self.node.services.topics.access().subscribe(topic, &caller, None).is_ok()
        };
        let closed: Vec<String> =
            self.hub.subscriptions(slot).filter(|topic| !is_open(topic)).map(str::to_owned).collect();
        if let (Some(code), Caller::User(principal)) = (code, &caller) {
            self.node.services.sessions.remember(code, principal);
        }
        for topic in closed {
            self.end_subscription(slot, &topic);
        }
    }
}

fn owed(opened: &Opened) -> NewSession {
    NewSession {
        code: opened.code,
        generation: opened.generation,
        token: opened.token.clone(),
        resumed: false,
    }
}

fn session_ended() -> Refusal {
    Refusal::new(ErrorCode::Unauthorized, "the session has ended: connect again")
}
