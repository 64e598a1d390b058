//! How often an address may log in, register and ask for tickets (`limits.login_per_minute` and its like).

use crate::admission::{AddressBuckets, Rate};
use crate::config;
use std::net::IpAddr;
use std::time::Instant;

/// A door with a limit of its own.
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

/// The buckets of all gates, by address; a full minute's worth may come at once.
#[derive(Debug)]
pub struct Limits {
    started: Instant,
    login: AddressBuckets,
    register: AddressBuckets,
    ticket: AddressBuckets,
}

impl Limits {
    /// Full buckets.
    pub fn new(limits: &config::Limits) -> Self {
        let buckets = |per_minute| AddressBuckets::new(Rate::per_minute(per_minute));
        Self {
            started: Instant::now(),
            login: buckets(limits.login_per_minute),
            register: buckets(limits.register_per_minute),
            ticket: buckets(limits.tickets_per_minute),
        }
    }

    /// Goes through a gate.
    ///
    /// # Errors
    /// Milliseconds until the address may again.
    pub fn pass(&self, gate: Gate, address: IpAddr) -> Result<(), u64> {
        let buckets = match gate {
            Gate::Login => &self.login,
            Gate::Register => &self.register,
            Gate::Ticket => &self.ticket,
        };
        // From 1 s on: a bucket that was never used is full at 0.
        buckets.take(address, self.started.elapsed().as_nanos() as u64 + 1_000_000_000)
    }
}
