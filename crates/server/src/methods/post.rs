//! The caller of a `POST /rpc`: no connection outlives it.

use fanfare_core::model::{self, Actor, Origin, Refusal};
use fanfare_rpc::{Caller, Connection};
use fanfare_services::audit::{Audit, AuditEvent};
use fanfare_services::credentials::Verified;
use fanfare_services::messages::MessageRates;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct PostCaller<'a> {
    /// On whose behalf.
    pub(crate) by: &'a model::Caller,
    /// From where.
    pub(crate) origin: &'a Origin,
    /// Tokens of the request that were verified.
    pub(crate) verified: Verified,
    /// How much the caller may send.
    pub(crate) rates: &'a MessageRates,
    /// The audit log.
    pub(crate) audit: &'a Audit,
    /// `auth.require`.
    pub(crate) must_authenticate: bool,
}

impl Caller for PostCaller<'_> {
    fn actor(&self) -> Actor<'_> {
        Actor { caller: self.by, origin: self.origin, grants: &self.verified.grants }
    }

    fn connection(&mut self) -> Option<&mut dyn Connection> {
        None
    }

    fn must_authenticate(&self) -> bool {
        self.must_authenticate
    }

    fn admit(&mut self) -> Result<(), Refusal> {
        self.rates.take(&self.actor())
    }

    fn begin(&mut self, method: &'static str) -> Result<(), Refusal> {
        if method.starts_with("server.") { self.rates.take_command(self.by) } else { Ok(()) }
    }

    fn ended(&mut self, method: &'static str, succeeded: bool) {
        if let (Some(command), model::Caller::User(user)) = (method.strip_prefix("server."), self.by) {
            let event = || AuditEvent::server_command(command, succeeded, user).by(self.origin);
            self.audit.activity(&user.user_id, event);
        }
    }
}
