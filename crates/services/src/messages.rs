//! Rate limits of messages and server commands per user and address (`limits.messages_per_second_per_user` and its
//! like).

use crate::clock::Uptime;
use crate::identity::{Bucket, UserState, Users};
use crate::ports::Refused;
use crate::rates::AddressBuckets;
use fanfare_core::model::{Actor, Caller, ErrorCode, Refusal};
use std::net::IpAddr;
use std::sync::Arc;

/// The buckets shared by the connections of a user and of an address. A connection's own bucket is separate.
#[derive(Debug)]
pub struct MessageRates {
    users: Arc<Users>,
    addresses: AddressBuckets,
    uptime: Uptime,
    refused: Arc<dyn Refused>,
}

impl MessageRates {
    /// Creates full buckets.
    pub fn new(
        users: Arc<Users>,
        addresses: AddressBuckets,
        uptime: Uptime,
        refused: Arc<dyn Refused>,
    ) -> Self {
        Self { users, addresses, uptime, refused }
    }

    /// Takes a message of a connection out of the buckets of its user and of its address.
    ///
    /// # Errors
    /// Milliseconds until there is one.
    pub fn take_on_connection(
        &self,
        user: Option<&UserState>,
        address: Option<IpAddr>,
        now_ns: u64,
    ) -> Result<(), u64> {
        if let Some(user) = user {
            self.users.take(Bucket::Message, user, now_ns).inspect_err(|_| self.refused.refused("user"))?;
        }
        match address {
            Some(address) => {
                self.addresses.take(address, now_ns).inspect_err(|_| self.refused.refused("address"))
            }
            None => Ok(()),
        }
    }

    /// Takes a message of a caller without a connection. The application's backend has no such limit.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub fn take(&self, actor: &Actor<'_>) -> Result<(), Refusal> {
        let limited = |whose: &'static str, why: &'static str| {
            move |wait: u64| {
                self.refused.refused(whose);
                Refusal::new(ErrorCode::RateLimited, why).retry_after(wait)
            }
        };
        let now = self.uptime.ns();
        match actor.caller {
            Caller::Server(_) => return Ok(()),
            Caller::User(user) => {
                let why = "too many messages of this user; this one was not processed";
                let taken = self.users.take_apart(Bucket::Message, &user.user_id, now);
                taken.map_err(limited("user", why))?;
            }
            Caller::Anonymous => {}
        }
        let why = "too many messages from this address; this one was not processed";
        self.addresses.take(actor.origin.ip, now).map_err(limited("address", why))
    }

    /// Takes a server command of a connection out of its user's bucket.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub fn take_command_on_connection(&self, user: &UserState, now_ns: u64) -> Result<(), Refusal> {
        self.users.take(Bucket::Command, user, now_ns).map_err(|wait| self.command_refused(wait))
    }

    /// Takes a server command of a caller without a connection. Only users have such a bucket.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub fn take_command(&self, caller: &Caller) -> Result<(), Refusal> {
        let Caller::User(user) = caller else { return Ok(()) };
        let taken = self.users.take_apart(Bucket::Command, &user.user_id, self.uptime.ns());
        taken.map_err(|wait| self.command_refused(wait))
    }

    fn command_refused(&self, wait: u64) -> Refusal {
        self.refused.refused("command");
        let why = "too many server commands; this one was not carried out";
        Refusal::new(ErrorCode::RateLimited, why).retry_after(wait)
    }
}
