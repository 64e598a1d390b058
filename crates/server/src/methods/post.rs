//! The caller of a `POST /rpc`, which has no connection that outlives it.

use fanfare_core::model::{self, Actor, Origin, Refusal};
use fanfare_rpc::{Caller, Connection};
use fanfare_services::audit::{Audit, AuditEvent};
use fanfare_services::credentials::Verified;
use fanfare_services::messages::MessageRates;

/// A caller without a connection; see the module's head.
#[derive(Debug)]
pub(crate) struct PostCaller<'a> {
    /// The caller.
    pub(crate) by: &'a model::Caller,
    /// The origin of the request.
    pub(crate) origin: &'a Origin,
    /// The verified tokens of the request.
    pub(crate) verified: Verified,
    /// The rate limits of the caller.
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
