//! Who calls a method, and the connection it acts on. The server implements both for a socket, and [`Caller`] for `POST /rpc`.
//!
//! What a method does beyond its connection it does through services that it holds itself: a new family of methods adds nothing
//! here.

use fanfare_core::model::{Actor, Command, Either, Refusal, Reply};
use fanfare_core::session::SessionCode;

/// On whose behalf a method runs. Nothing here waits.
pub trait Caller {
    /// Who calls, from where, with which verified tokens.
    fn actor(&self) -> Actor<'_>;

    /// The connection the call came over; none for `POST /rpc`.
    fn connection(&mut self) -> Option<&mut dyn Connection>;

    /// Whether `auth.require` is on and nobody has authenticated here.
    fn must_authenticate(&self) -> bool;

    /// Called for every call of a batch but the first, which its message stands for; an error refuses the call.
    ///
    /// # Errors
    /// `RATE_LIMITED` where the caller may not send so many.
    fn admit(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Called before a method runs; an error refuses the call.
    ///
    /// # Errors
    /// `RATE_LIMITED` where the caller may not call it so often.
    fn begin(&mut self, method: &'static str) -> Result<(), Refusal> {
        let _ = method;
        Ok(())
    }

    /// Called when a method that [`Caller::begin`] let through has run, or has gone to run elsewhere.
    fn ended(&mut self, method: &'static str, succeeded: bool) {
        let _ = (method, succeeded);
    }
}

/// A connection that outlives the call.
pub trait Connection {
    /// Carries out a command on topics or feeds; its reply comes later where something else decides it.
    ///
    /// # Errors
    /// Whatever the services refuse; nothing was changed.
    fn execute(&mut self, command: Command<'_>) -> Result<Either<Reply<'static>>, Refusal>;

    /// Logs in with an access token. The session gets a new code.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for a bad token.
    fn authenticate(&mut self, token: &str) -> Result<SessionGrant, Refusal>;

    /// Takes over another session.
    ///
    /// # Errors
    /// `UNAUTHORIZED` alike for every reason, `RATE_LIMITED` after too many.
    fn resume_session(&mut self, code: &str, token: &str) -> Result<SessionGrant, Refusal>;

    /// The session; none before the authentication that `auth.require` demands.
    fn session(&self) -> Option<SessionCode>;
}

/// A session that a connection was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// Its code.
    pub code: String,
    /// What resumes it next.
    pub token: String,
    /// Its user: id and name.
    pub user: Option<(String, String)>,
}
