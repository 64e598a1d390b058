//! The traits that methods implement.

use crate::access::Access;
use crate::caller::Caller;
use crate::schema::Violation;
use fanfare_core::model::{self, Either, Refusal, TokenUse};
use schemars::JsonSchema;
use serde::de::{Deserialize, DeserializeOwned};
use serde::ser::Serialize;
use serde_json::Value;
use std::future::Future;
use std::sync::Arc;

/// A method that returns its result at once, on the thread of the connection that called.
///
/// Limits of params and result are attributes of their fields (`#[schemars(length(min = 3, max = 100))]`,
/// `#[schemars(range(min = 0, max = 1000))]`, enums for choices, [`crate::SessionCodeText`]); params derive with
/// `#[serde(deny_unknown_fields)]`, without which the registry rejects the method.
pub trait Method: Send + Sync + 'static {
    /// The name clients call.
    const NAME: &'static str;
    /// One sentence for the documents and `server.list_commands`.
    const SUMMARY: &'static str;
    /// The callers that may call it.
    const ACCESS: Access = Access::ANYONE;
    /// The use of its param `token`, if that is verified before the call.
    const TOKEN: Option<TokenUse> = None;
    /// The state it has effects on.
    const ORDER: Order = Order::Free;
    /// How positional params are read.
    const POSITIONAL: Positional = Positional::InOrder;

    /// The params, an object; it may borrow from the request.
    type Params<'a>: Deserialize<'a> + JsonSchema;
    /// The result.
    type Result: Serialize + JsonSchema;

    /// A call and its result for the documents.
    fn example() -> Example;

    /// Checks rules that span several params, after each param was found valid.
    ///
    /// # Errors
    /// The rule that the params break.
    fn validate(_params: &Self::Params<'_>) -> Result<(), Violation> {
        Ok(())
    }

    /// Executes the call.
    ///
    /// # Errors
    /// A refusal with a documented code; nothing was changed.
    fn call(&self, caller: &mut dyn Caller, params: Self::Params<'_>) -> Result<Self::Result, Refusal>;
}

/// A method that returns its result at once if it can, else when the awaited value arrives; see [`Method`] for the
/// rest.
pub trait EitherMethod: Send + Sync + 'static {
    /// The name clients call.
    const NAME: &'static str;
    /// One sentence for the documents.
    const SUMMARY: &'static str;
    /// The callers that may call it.
    const ACCESS: Access = Access::ANYONE;
    /// The use of its param `token`, if that is verified before the call.
    const TOKEN: Option<TokenUse> = None;
    /// The state it has effects on.
    const ORDER: Order = Order::Free;

    /// The params, an object; it may borrow from the request.
    type Params<'a>: Deserialize<'a> + JsonSchema;
    /// The result.
    type Result: Serialize + JsonSchema;

    /// A call and its result for the documents.
    fn example() -> Example;

    /// Checks rules that span several params, after each param was found valid.
    ///
    /// # Errors
    /// The rule that the params break.
    fn validate(_params: &Self::Params<'_>) -> Result<(), Violation> {
        Ok(())
    }

    /// Executes the call, on the thread of the connection that called.
    ///
    /// # Errors
    /// A refusal with a documented code; nothing was changed.
    fn call(
        &self,
        caller: &mut dyn Caller,
        params: Self::Params<'_>,
    ) -> Result<Either<Self::Result>, Refusal>;
}

/// A method that waits for something: it runs elsewhere, within a deadline the server sets, and later calls may respond
/// before it.
pub trait AsyncMethod: Send + Sync + 'static {
    /// The name clients call.
    const NAME: &'static str;
    /// One sentence for the documents.
    const SUMMARY: &'static str;
    /// The callers that may call it.
    const ACCESS: Access = Access::ANYONE;

    /// The params, an object.
    type Params: DeserializeOwned + JsonSchema + Send + 'static;
    /// The result.
    type Result: Serialize + JsonSchema;

    /// A call and its result for the documents.
    fn example() -> Example;

    /// Checks rules that span several params, after each param was found valid.
    ///
    /// # Errors
    /// The rule that the params break.
    fn validate(_params: &Self::Params) -> Result<(), Violation> {
        Ok(())
    }

    /// Executes the call. Dropped at the deadline.
    ///
    /// # Errors
    /// A refusal with a documented code.
    fn call(
        self: Arc<Self>,
        caller: model::Caller,
        params: Self::Params,
    ) -> impl Future<Output = Result<Self::Result, Refusal>> + Send + 'static;
}

/// Params of a method that takes none.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

/// The state a method has effects on: calls of one connection with the same effects are executed in the order sent
/// (`protocol.md` 3). The calls of one batch may run concurrently, as JSON-RPC 2.0 section 6 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// No state that another call changes.
    Free,
    /// The topic that the param `topic` names.
    Topic,
    /// The log of the topic that the param `topic` names.
    Log,
    /// The channel that the param `channel` names.
    Channel,
    /// The connection's login or session.
    Login,
}

/// How positional params are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positional {
    /// One value for each named param in the order of the type's fields.
    InOrder,
    /// All values together are the one named param, an array.
    Rest,
}

/// A call and its result.
#[derive(Clone, Debug)]
pub struct Example {
    /// Named params, an object.
    pub params: Value,
    /// The result.
    pub result: Value,
}

impl Example {
    /// Creates an example from two JSON values.
    pub fn new(params: Value, result: Value) -> Self {
        Self { params, result }
    }
}
