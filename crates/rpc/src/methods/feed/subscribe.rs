//! `feed.subscribe`.

use super::{Done, Params, done};
use crate::{Access, Caller, Example, Method};
use fanfare_core::model::{Command, Refusal};
use serde_json::json;

pub(crate) struct Subscribe;

impl Method for Subscribe {
    const NAME: &'static str = "feed.subscribe";
    const SUMMARY: &'static str = "Hears a feed; records come as `feed.event`";
    const ACCESS: Access = Access::ANYONE.on_connection();
    type Params<'a> = Params<'a>;
    type Result = Done;

    fn example() -> Example {
        Example::new(json!({ "channel": "dashboard" }), json!({ "channel": "dashboard" }))
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Done, Refusal> {
        let channel = params.channel.clone().into_owned();
        let reply = caller.execute(Command::SubscribeFeed { channel: params.channel })?;
        Ok(done(channel, reply))
    }
}
