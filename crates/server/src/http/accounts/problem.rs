//! Conversion of account errors to problems.

use super::super::Problem;
use axum::http::StatusCode;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_services::accounts::AccountError;
use fanfare_store::StoreError;

/// Milliseconds before a retry, if no hasher or store is available.
const RETRY_MS: u64 = 1000;

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Field(field, why) => Problem::invalid(field, why),
            AccountError::WeakKey(field) => {
                at(field, "weak_key", "this key gives no security; make a new one with a sound library")
            }
            AccountError::BadSignature(field) => {
                at(field, "bad_signature", "this signature is not the key's over what it must cover")
            }
            AccountError::Credentials => credentials(),
            AccountError::Forbidden(why) => Refusal::new(ErrorCode::Forbidden, why).into(),
            AccountError::Unproven(why) => Refusal::new(ErrorCode::Forbidden, why).field("current").into(),
            AccountError::Outdated => {
                let why = "this login has ended, or the password was changed meanwhile: log in again";
                Refusal::new(ErrorCode::Unauthorized, why).into()
            }
            AccountError::NotFound(why) => Refusal::new(ErrorCode::NotFound, why).into(),
            AccountError::Conflict(why) => Refusal::new(ErrorCode::Conflict, why).into(),
            AccountError::TooOften(why, ms) => {
                Refusal::new(ErrorCode::RateLimited, why).retry_after(ms).into()
            }
            AccountError::Busy => {
                let why = "more passwords are being checked than this server can; try again";
                Refusal::new(ErrorCode::Unavailable, why).retry_after(RETRY_MS).into()
            }
            AccountError::Store(error) => store(&error),
        }
    }
}

/// A failed login has no `WWW-Authenticate`, because no credential was missing.
fn credentials() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "these credentials are not valid")
}

fn at(field: &'static str, code: &'static str, why: &'static str) -> Problem {
    let mut problem = Problem::new(StatusCode::BAD_REQUEST, code, why);
    problem.field = Some(field);
    problem
}

fn store(error: &StoreError) -> Problem {
    match error {
        StoreError::Unavailable(detail) => {
            tracing::warn!(detail, "the store does not respond");
            let why = "the store does not respond; nothing was changed";
            Refusal::new(ErrorCode::Unavailable, why).retry_after(RETRY_MS).into()
        }
        StoreError::Conflict(field) => Refusal::new(ErrorCode::Conflict, format!("{field} is taken")).into(),
        StoreError::Invalid(why) => Problem::invalid("body", *why),
        error => {
            tracing::error!(%error, "the store failed");
            Refusal::new(ErrorCode::Internal, "the server failed; its log has the details under this id")
                .into()
        }
    }
}
