//! Settings that are one of a few words.

use super::basic::{quote, text_of};
use super::error::Fault;
use super::nearest::nearest;
use super::node::Node;
use super::table::{Form, Setting};
use fanfare_core::model::Scope;
use fanfare_core::topics::rules::{Backpressure, Right};
use std::borrow::Cow;

/// Gives an enum its words in configuration; upper and lower case are alike.
macro_rules! words {
    ($ty:ty { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl Setting for $ty {
            const FORM: Form = Form::Text;

            fn shape() -> Cow<'static, str> {
                [$(concat!("`", $word, "`")),+].join(", ").into()
            }

            fn read(node: &Node) -> Result<Self, Fault> {
                let text = text_of(node, &format!("one of {}", Self::shape()))?;
                let words = [$($word),+];
                $(if text.eq_ignore_ascii_case($word) { return Ok(Self::$variant); })+
                let near = nearest(&text.to_ascii_lowercase(), words.into_iter());
                let near = near.map(|word| format!(", did you mean `{word}`?")).unwrap_or_default();
                Err(Fault::new(format!("{} is none of {}{near}", quote(text), Self::shape())))
            }

            fn show(&self) -> Option<Node> {
                Some(Node::text(match self { $(Self::$variant => $word),+ }))
            }
        }
    };
}

/// Whether safety or convenience comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Environment {
    /// On the developer's own machine.
    #[default]
    Development,
    /// Where others rely on it: unsafe settings are refused.
    Production,
}
words!(Environment { Development = "development", Production = "production" });

/// The least severe log lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Failures that need an operator.
    Error,
    /// What is likely wrong.
    Warn,
    /// What an operator follows.
    Info,
    /// What a developer follows.
    Debug,
    /// Everything.
    Trace,
}
words!(LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" });

impl LogLevel {
    /// The level in `tracing`'s terms, as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}
words!(LogFormat { Pretty = "pretty", Json = "json" });

/// What a stored message survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut.
    PowerSafe,
    /// A crash of the server.
    ProcessSafe,
    /// Nothing.
    Memory,
}
words!(Durability { PowerSafe = "power-safe", ProcessSafe = "process-safe", Memory = "memory" });

/// How several nodes share Kafka's partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaMode {
    /// `shared` on one node or with a cluster, else `broadcast`.
    Auto,
    /// The nodes form one consumer group and relay through the cluster.
    Shared,
    /// Every node reads all partitions.
    Broadcast,
}
words!(KafkaMode { Auto = "auto", Shared = "shared", Broadcast = "broadcast" });

/// Where reading starts without a stored position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the end.
    Latest,
    /// At the beginning.
    Earliest,
}
words!(OffsetReset { Latest = "latest", Earliest = "earliest" });

/// What happens to a record that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBadRecord {
    /// It is logged and counted.
    Skip,
    /// It goes to `<topic>.dlq`.
    Dlq,
    /// Its partition stops.
    Halt,
}
words!(OnBadRecord { Skip = "skip", Dlq = "dlq", Halt = "halt" });

/// Whether something is done for each record key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PerKey {
    /// It is not done.
    None,
    /// It is done.
    Key,
}
words!(PerKey { None = "none", Key = "key" });

words!(Scope { Publish = "publish", Topics = "topics", Sessions = "sessions", Admin = "admin" });

words!(Right { Anyone = "anyone", User = "user", Server = "server", Token = "token" });
words!(Backpressure { Disconnect = "disconnect", DropOldest = "drop_oldest" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_mistakes_point_to_the_nearest() {
        assert_eq!(Environment::read(&Node::text("Production")), Ok(Environment::Production));
        assert_eq!(LogLevel::read(&Node::text("INFO")), Ok(LogLevel::Info));
        let what = Environment::read(&Node::text("moon")).unwrap_err().what;
        assert_eq!(what, "\"moon\" is none of `development`, `production`");
        let what = Backpressure::read(&Node::text("drop_newest")).unwrap_err().what;
        assert!(what.ends_with("did you mean `drop_oldest`?"), "{what}");
        assert!(LogLevel::read(&Node::int(3)).is_err());
    }
}
