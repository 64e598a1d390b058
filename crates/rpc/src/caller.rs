//! The caller of a method, and the connection it acts on. The server implements both for a socket, and [`Caller`] for
//! `POST /rpc`.
//!
//! Effects beyond the connection go through services that the method itself holds, so a new family of methods adds
//! nothing here.

use fanfare_core::model::{Actor, Command, Either, Refusal, Reply};
use fanfare_core::session::SessionCode;

/// The caller of a method. Nothing here blocks.
pub trait Caller {
    /// The caller's identity, address and verified tokens.
    fn actor(&self) -> Actor<'_>;

    /// The connection the call came over; none for `POST /rpc`.
    fn connection(&mut self) -> Option<&mut dyn Connection>;

    /// Whether `auth.require` is on and this caller has not authenticated.
    fn must_authenticate(&self) -> bool;

    /// Called for every call of a batch except the first, which counts as the message itself; an error refuses the
    /// call.
    ///
    /// # Errors
    /// `RATE_LIMITED` if the caller has made too many calls.
    fn admit(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Called before a method runs; an error refuses the call.
    ///
    /// # Errors
    /// `RATE_LIMITED` if the caller has called this method too often.
    fn begin(&mut self, method: &'static str) -> Result<(), Refusal> {
        let _ = method;
        Ok(())
    }

    /// Called when a method that [`Caller::begin`] admitted has run, or was handed off to run elsewhere.
    fn ended(&mut self, method: &'static str, succeeded: bool) {
        let _ = (method, succeeded);
    }
}

/// A connection that outlives the call.
pub trait Connection {
    /// Executes a command on topics or feeds; returns the reply later if another party decides it.
    ///
    /// # Errors
    /// Any refusal of the services; nothing was changed.
    fn execute(&mut self, command: Command<'_>) -> Result<Either<Reply<'static>>, Refusal>;

    /// Logs in with an access token. The session gets a new code.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for an invalid token.
    fn authenticate(&mut self, token: &str) -> Result<SessionGrant, Refusal>;

    /// Takes over another session.
    ///
    /// # Errors
    /// `UNAUTHORIZED` for every reason alike, `RATE_LIMITED` after too many attempts.
    fn resume_session(&mut self, code: &str, token: &str) -> Result<SessionGrant, Refusal>;

    /// The session; none before the authentication that `auth.require` demands.
    fn session(&self) -> Option<SessionCode>;
}

/// A session granted to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// Its code.
    pub code: String,
    /// The token that resumes it next.
    pub token: String,
    /// Its user: id and name.
    pub user: Option<(String, String)>,
}
