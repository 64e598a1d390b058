//! Permissions: which callers may call a method.

use crate::caller::Caller;
use crate::failure::Failure;
use fanfare_core::model::{self, ErrorCode, Refusal};

/// A method's permission. Rights that depend on params (topics, channels) are checked by the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    who: Group,
    connection: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Everybody,
    Admitted,
    User,
}

impl Access {
    /// Every caller, even before the authentication that `auth.require` demands.
    pub const OPEN: Self = Self { who: Group::Everybody, connection: false };
    /// Every caller the server admits: with `auth.require` only authenticated ones.
    pub const ANYONE: Self = Self { who: Group::Admitted, connection: false };
    /// Users and the app's own backend.
    pub const USER: Self = Self { who: Group::User, connection: false };

    /// The same, but only on a connection: `POST /rpc` has no connection it could act on.
    #[must_use]
    pub const fn on_connection(self) -> Self {
        Self { connection: true, ..self }
    }

    /// Whether it needs a connection.
    pub const fn needs_connection(self) -> bool {
        self.connection
    }

    pub(crate) fn check(self, caller: &mut dyn Caller) -> Result<(), Failure> {
        let anonymous = matches!(caller.actor().caller, model::Caller::Anonymous);
        let denied = match self.who {
            Group::Everybody => false,
            Group::Admitted => anonymous && caller.must_authenticate(),
            Group::User => anonymous,
        };
        if denied {
            return Err(Refusal::new(ErrorCode::Unauthorized, "authenticate first").into());
        }
        if self.connection && caller.connection().is_none() {
            return Err(Failure::NeedsConnection);
        }
        Ok(())
    }
}
