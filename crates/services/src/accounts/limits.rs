//! Rate limits of login, registration and tickets by address (`limits.login_per_minute` and its like), and of refreshes
//! and account changes by user.

use super::{AccountError, Accounts};
use crate::rates::{AddressBuckets, Buckets, Rate};
use fanfare_config as config;
use std::net::IpAddr;
use std::time::Instant;

/// A rate-limited route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Every `POST /auth/login`, refused or not.
    Login,
    /// Every `POST /auth/register`.
    Register,
    /// Every `POST /auth/ws-ticket`.
    Ticket,
}

impl Gate {
    /// The name in metrics and audit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Register => "register",
            Self::Ticket => "ticket",
        }
    }
}

/// Refreshes of one user a minute, over all logins: one login needs one in a quarter of an hour.
const REFRESHES_PER_MINUTE: u32 = 60;
/// Changes of the profile and of the password together, of one user a minute: each is a row of the audit log.
const CHANGES_PER_MINUTE: u32 = 30;

/// An operation of users on their own account, with its own rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserGate {
    /// `POST /auth/refresh`.
    Refresh,
    /// `PATCH /users/me` and `PUT /users/me/password`.
    Change,
}

impl UserGate {
    /// The name in metrics and audit.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Change => "account_change",
        }
    }
}

/// The buckets of all limits, by address or user; a full minute's worth may come at once.
#[derive(Debug)]
pub struct Limits {
    started: Instant,
    login: AddressBuckets,
    register: AddressBuckets,
    ticket: AddressBuckets,
    refresh: Buckets<String>,
    change: Buckets<String>,
}

impl Limits {
    /// Creates full buckets.
    pub fn new(limits: &config::Limits) -> Self {
        let buckets = |per_minute| AddressBuckets::new(Rate::per_minute(per_minute));
        Self {
            started: Instant::now(),
            login: buckets(limits.login_per_minute),
            register: buckets(limits.register_per_minute),
            ticket: buckets(limits.tickets_per_minute),
            refresh: Buckets::new(Rate::per_minute(REFRESHES_PER_MINUTE)),
            change: Buckets::new(Rate::per_minute(CHANGES_PER_MINUTE)),
        }
    }

    /// Takes one request from a gate's bucket.
    ///
    /// # Errors
    /// Milliseconds until the address may try again.
    pub fn pass(&self, gate: Gate, address: IpAddr) -> Result<(), u64> {
        let buckets = match gate {
            Gate::Login => &self.login,
            Gate::Register => &self.register,
            Gate::Ticket => &self.ticket,
        };
        buckets.take(address, self.now_ns())
    }

    fn pass_user(&self, gate: UserGate, user_id: &str) -> Result<(), u64> {
        let buckets = match gate {
            UserGate::Refresh => &self.refresh,
            UserGate::Change => &self.change,
        };
        buckets.take(user_id.to_owned(), self.now_ns())
    }

    /// Starts at 1 s: a bucket that was never used is full at 0.
    fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64 + 1_000_000_000
    }
}

impl Accounts {
    /// Takes one request from a user's bucket.
    ///
    /// # Errors
    /// `TooOften`.
    pub fn bound(&self, gate: UserGate, user_id: &str) -> Result<(), AccountError> {
        self.limits().pass_user(gate, user_id).map_err(|ms| {
            let why = match gate {
                UserGate::Refresh => "more refreshes of this user than 60 a minute",
                UserGate::Change => "more changes of this account than 30 a minute",
            };
            AccountError::TooOften(why, ms)
        })
    }
}
