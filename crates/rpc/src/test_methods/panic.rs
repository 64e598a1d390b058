//! `test.panic`: shows that a handler's panic affects no other call.

use crate::NoParams;
use crate::{Caller, Example, Method};
use fanfare_core::model::Refusal;
use serde_json::{Value, json};

pub(crate) struct Panic;

impl Method for Panic {
    const NAME: &'static str = "test.panic";
    const SUMMARY: &'static str = "Panics on purpose; the answer is an internal error with a correlation id";
    type Params<'a> = NoParams;
    type Result = Value;

    fn example() -> Example {
        Example::new(json!({}), json!(null))
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<Value, Refusal> {
        panic!("test.panic was called")
    }
}
