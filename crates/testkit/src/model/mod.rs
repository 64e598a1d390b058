//! A model of the hub: its real shards and topics in a simulated world, stepped one atomic act at a time.
//!
//! A [`Program`] says what connections and outside callers do. A [`World`] holds the real `Shard`s and `Topics`, fake
//! sockets that take as many bytes as they have room for, and plays the driver's role; its [`Step`]s are atomic at the
//! granularity of the hub's own locks. [`explore`] walks every schedule of a program that differs in the order of
//! dependent steps. Each answer is held against a reference ([`Truth`]) when it is given, and at the end of a schedule the
//! oracle reads the bytes each socket took.
//!
//! What must always hold: nothing in here repairs what the hub did; the reference is computed from commands alone; and
//! each check has a [`Sabotage`] that makes it fail.

mod explore;
mod oracle;
mod program;
mod text;
mod truth;
mod upstream;
mod world;

pub use explore::{Failure, Outcome, explore, replay};
pub use oracle::{Reached, Stream, judge};
pub use program::{Command, ConnSpec, Program, Sabotage, Step, policy_of};
pub use text::{Record, Socket, Sockets, TextEncoder, encoders, encoders_with, parse};
pub use truth::{Asked, Expect, Heard, Life, Logged, Truth, Turn};
pub use upstream::{Fault, is_followed};
pub use world::World;

/// What a check found to be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// A finding as an error.
///
/// # Errors
/// Always.
pub(crate) fn wrong<T>(what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation(what.into()))
}
