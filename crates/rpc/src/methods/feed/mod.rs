//! `feed.*`: the commands of seed 002 as methods.

mod list;
mod subscribe;
mod unsubscribe;

pub(super) use list::List;
pub(super) use subscribe::Subscribe;
pub(super) use unsubscribe::Unsubscribe;

use fanfare_core::model::Reply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params<'a> {
    /// The feed channel.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 255))]
    channel: Cow<'a, str>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Done {
    /// The feed channel.
    channel: String,
}

/// A feed's order has no reply of its own: that it was carried out says all.
fn done(channel: String, _: Reply<'_>) -> Done {
    Done { channel }
}
