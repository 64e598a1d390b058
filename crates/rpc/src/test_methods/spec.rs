//! The methods of the examples in section 7 of the specification, in one file because none has a meaning of its own.

use crate::NoParams;
use crate::{Caller, Example, Method, Positional};
use fanfare_core::model::Refusal;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

/// Numbers below 2^53, so that no sum of a message's worth of them overflows.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
struct Number(#[schemars(range(min = -9_007_199_254_740_992i64, max = 9_007_199_254_740_992i64))] i64);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    minuend: Number,
    subtrahend: Number,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Numbers {
    /// Any number of values.
    #[schemars(length(max = 1000))]
    numbers: Vec<Number>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Values {
    /// Any number of values.
    #[schemars(length(max = 1000))]
    values: Vec<Value>,
}

pub(crate) struct Subtract;

impl Method for Subtract {
    const NAME: &'static str = "subtract";
    const SUMMARY: &'static str = "The difference of two numbers (JSON-RPC 2.0, section 7)";
    type Params<'a> = Difference;
    type Result = i64;

    fn example() -> Example {
        Example::new(json!({ "minuend": 42, "subtrahend": 23 }), json!(19))
    }

    fn call(&self, _: &mut dyn Caller, of: Difference) -> Result<i64, Refusal> {
        Ok(of.minuend.0 - of.subtrahend.0)
    }
}

pub(crate) struct Sum;

impl Method for Sum {
    const NAME: &'static str = "sum";
    const SUMMARY: &'static str = "The sum of all positional params (JSON-RPC 2.0, section 7)";
    const POSITIONAL: Positional = Positional::Rest;
    type Params<'a> = Numbers;
    type Result = i64;

    fn example() -> Example {
        Example::new(json!({ "numbers": [1, 2, 4] }), json!(7))
    }

    fn call(&self, _: &mut dyn Caller, of: Numbers) -> Result<i64, Refusal> {
        Ok(of.numbers.iter().map(|n| n.0).sum())
    }
}

pub(crate) struct GetData;

impl Method for GetData {
    const NAME: &'static str = "get_data";
    const SUMMARY: &'static str = "A fixed pair (JSON-RPC 2.0, section 7)";
    type Params<'a> = NoParams;
    type Result = (String, i64);

    fn example() -> Example {
        Example::new(json!({}), json!(["hello", 5]))
    }

    fn call(&self, _: &mut dyn Caller, _: NoParams) -> Result<(String, i64), Refusal> {
        Ok(("hello".into(), 5))
    }
}

/// A method without meaning: it returns the number of values it received.
macro_rules! takes_anything {
    ($($method:ident = $name:literal;)*) => {$(
        pub(crate) struct $method;

        impl Method for $method {
            const NAME: &'static str = $name;
            const SUMMARY: &'static str = "Takes any positional params and counts them (JSON-RPC 2.0, section 7)";
            const POSITIONAL: Positional = Positional::Rest;
            type Params<'a> = Values;
            type Result = usize;

            fn example() -> Example {
                Example::new(json!({ "values": [1, 2] }), json!(2))
            }

            fn call(&self, _: &mut dyn Caller, of: Values) -> Result<usize, Refusal> {
                Ok(of.values.len())
            }
        }
    )*};
}

takes_anything! {
    Update = "update";
    NotifyHello = "notify_hello";
    NotifySum = "notify_sum";
}
