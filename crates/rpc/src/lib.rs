//! The registry of methods that clients call by name, over JSON-RPC and as typed server commands.
//!
//! ```text
//! text ─ jsonrpc::parse ─ Calls: params bound and checked ─ run: access ─ Method::call ─ check result ─ text
//!                                                                └ AsyncMethod ─ Pending ─ run elsewhere ─ text
//! ```
//!
//! A method is a type with a name, a summary, typed params, a typed result and a handler (`docs/adding-a-method.md`).
//! The JSON Schema of both types is published in the documents *and* enforced: params are checked against it before the
//! handler runs, results before they are sent. Invariants: params with unknown properties are refused; a panic in a
//! handler affects no other call; no handler runs longer on a connection's thread than it takes to compute its result
//! (methods that wait are [`AsyncMethod`]s).

mod access;
mod caller;
mod dispatch;
mod entry;
mod failure;
mod method;
mod openrpc;
mod panics;
mod params;
mod pending;
mod registry;
mod room;
mod schema;
mod test_methods;

pub use access::Access;
pub use caller::{Caller, Connection, SessionGrant};
pub use dispatch::{Calls, Outcome, dispatch};
pub use failure::Failure;
pub use fanfare_core::model::Either;
pub use method::{AsyncMethod, EitherMethod, Example, Method, NoParams, Order, Positional};
pub use pending::Pending;
pub use registry::{BuildError, CommandRow, Commands, Meter, Observer, Registry, RegistryBuilder};
pub use schema::{SchemaError, SessionCodeText, Violation, allow_null_for_absent};

/// Re-exports for the derives in a method's file, so that a crate that adds methods needs no dependency but this one.
pub mod reexport {
    pub use schemars;
    pub use serde;
    pub use serde_json;
}
