//! `test.sleep`: a method that waits, to show that other calls do not wait for it.

use crate::{AsyncMethod, Example};
use fanfare_core::model::{Caller, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Sleep;

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Span {
    /// Milliseconds to wait.
    #[schemars(range(max = 60_000))]
    ms: u64,
}

impl AsyncMethod for Sleep {
    const NAME: &'static str = "test.sleep";
    const SUMMARY: &'static str = "Answers after a while";
    type Params = Span;
    type Result = Span;

    fn example() -> Example {
        Example::new(json!({ "ms": 10 }), json!({ "ms": 10 }))
    }

    async fn call(self: Arc<Self>, _: Caller, span: Span) -> Result<Span, Refusal> {
        tokio::time::sleep(Duration::from_millis(span.ms)).await;
        Ok(span)
    }
}
