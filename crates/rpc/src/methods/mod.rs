//! The methods, one file each.

mod feed;
mod server;
mod session;
mod test;
mod topic;

use crate::registry::RegistryBuilder;
use fanfare_json::RawBuf;
use schemars::JsonSchema;
use serde::Deserialize;

/// Params of a method that takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

impl RegistryBuilder {
    /// Adds the methods every server has.
    #[must_use]
    pub fn standard(self) -> Self {
        let commands = server::ListCommands(self.documents());
        self.method(test::Echo)
            .method(test::Example)
            .method(session::Get)
            .method(session::Set)
            .method(session::Resume)
            .method(session::Authenticate)
            .method(topic::Subscribe)
            .method(topic::Unsubscribe)
            .method(topic::Publish)
            .method(topic::List)
            .method(topic::History)
            .either_method(feed::Subscribe)
            .method(feed::Unsubscribe)
            .method(feed::List)
            .method(server::Ping)
            .method(server::Echo)
            .method(server::Info)
            .method(server::UserCount)
            .method(server::Whoami)
            .method(commands)
    }

    /// Adds the methods of `rpc.test_methods`: those of the specification's examples, one that panics and one that waits.
    #[must_use]
    pub fn test_methods(self) -> Self {
        self.method(test::Subtract)
            .method(test::Sum)
            .method(test::Update)
            .method(test::GetData)
            .method(test::NotifyHello)
            .method(test::NotifySum)
            .method(test::Panic)
            .async_method(test::Sleep)
    }
}

/// JSON text as a value to write; text that is none is null.
fn json(text: &str) -> RawBuf {
    RawBuf::new(text).unwrap_or_default()
}

/// The services answered something that is no answer to the command: a fault of ours.
fn unexpected(reply: &fanfare_core::model::Reply<'_>) -> fanfare_core::model::Refusal {
    fanfare_core::model::Refusal::new(
        fanfare_core::model::ErrorCode::Internal,
        format!("unexpected reply {:?}", std::mem::discriminant(reply)),
    )
}
