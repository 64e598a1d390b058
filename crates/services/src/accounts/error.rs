//! Errors of operations on accounts.

use crate::admin::AdminError;
use fanfare_auth::password::Busy;
use fanfare_core::model::Refusal;
use fanfare_store::StoreError;
use std::borrow::Cow;

/// A refusal: nothing was changed. Texts are public and hold no secret.
#[derive(Debug)]
pub enum AccountError {
    /// A field breaks a rule.
    Field(&'static str, Cow<'static, str>),
    /// A public key that proves nothing: of small order, or with a non-canonical encoding.
    WeakKey(&'static str),
    /// A signature that the field's key did not make over the required text.
    BadSignature(&'static str),
    /// Name, password, signature, challenge or refresh token are invalid. Does not say which on purpose.
    Credentials,
    /// The caller is known, but lacks the right.
    Forbidden(&'static str),
    /// The password that confirms a change is wrong, or missing where the login alone is no proof.
    Unproven(&'static str),
    /// The proof held when it was checked but not when the change was to be stored.
    Outdated,
    /// The object does not exist, or not for the caller.
    NotFound(&'static str),
    /// Contradicts the present state.
    Conflict(Cow<'static, str>),
    /// Too many attempts; the next is allowed after the number of milliseconds given.
    TooOften(&'static str, u64),
    /// All hashers are busy and the queue is full.
    Busy,
    /// The store failed.
    Store(StoreError),
}

impl AccountError {
    /// A field that breaks a rule.
    pub fn field(field: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::Field(field, why.into())
    }
}

impl From<Refusal> for AccountError {
    fn from(refusal: Refusal) -> Self {
        Self::Conflict(refusal.message)
    }
}

impl From<Busy> for AccountError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict("username") => {
                Self::Conflict("this user name is taken; choose another".into())
            }
            StoreError::Conflict("public_key") => {
                Self::Conflict("one of these keys belongs to another user; make new ones".into())
            }
            StoreError::Conflict("last_admin") => Self::Conflict(AdminError::LAST_ADMIN.into()),
            StoreError::Conflict("n") => {
                Self::Conflict("the keys were changed meanwhile; read them and sign again".into())
            }
            error => Self::Store(error),
        }
    }
}
