//! `feed.unsubscribe`.

use super::{Done, Params, done};
use crate::{Access, Caller, Example, Method};
use fanfare_core::model::{Command, Refusal};
use serde_json::json;

pub(crate) struct Unsubscribe;

impl Method for Unsubscribe {
    const NAME: &'static str = "feed.unsubscribe";
    const SUMMARY: &'static str = "Stops hearing a feed";
    const ACCESS: Access = Access::ANYONE.on_connection();
    type Params<'a> = Params<'a>;
    type Result = Done;

    fn example() -> Example {
        Example::new(json!({ "channel": "dashboard" }), json!({ "channel": "dashboard" }))
    }

    fn call(&self, caller: &mut dyn Caller, params: Params<'_>) -> Result<Done, Refusal> {
        let channel = params.channel.clone().into_owned();
        let reply = caller.execute(Command::UnsubscribeFeed { channel: params.channel })?;
        Ok(done(channel, reply))
    }
}
