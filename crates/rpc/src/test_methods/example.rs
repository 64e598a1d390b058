//! `test.example`: the method of seed 000's validation tags.

use crate::{Caller, Example as Shown, Method};
use fanfare_core::model::Refusal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(crate) struct Example;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fields {
    /// A text of 3 to 100 characters.
    #[schemars(length(min = 3, max = 100))]
    field1: String,
    /// A number from 0 to 1000; 0 counts as given.
    #[schemars(range(min = 0, max = 1000))]
    field2: i64,
    /// A choice that may be left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    field3: Option<Choice>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Option1,
    Option2,
}

impl Method for Example {
    const NAME: &'static str = "test.example";
    const SUMMARY: &'static str = "Answers the fields it is sent, once they are valid";
    type Params<'a> = Fields;
    type Result = Fields;

    fn example() -> Shown {
        let fields = json!({ "field1": "abc", "field2": 5, "field3": "option1" });
        Shown::new(fields.clone(), fields)
    }

    fn call(&self, _: &mut dyn Caller, fields: Fields) -> Result<Fields, Refusal> {
        Ok(fields)
    }
}
