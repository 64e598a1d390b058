//! Configuration: one table of settings, four sources, one checked [`Config`].
//!
//! Sources in rising order: the table's defaults, a TOML file, the environment, flags ([`sources`]). All of them come
//! down to one value per key with the place it was given at ([`Values`]); every value is checked there, so that an
//! error names its source. Then each section's struct is read ([`sections`], declared by the macro of [`group`]) and
//! what must hold between keys is checked ([`rules`]). [`mod@print`] and [`mod@reference`] show the same table to people.
//!
//! What always holds: a `Config` that exists is valid; defaults that depend on the environment are resolved in it; no
//! secret is in a `Debug`, a message or what is printed.
//!
//! Source: `configuration.md`.

mod basic;
mod effective;
mod engines;
mod error;
mod feature;
mod group;
mod hosts;
mod nearest;
mod node;
mod origin;
pub mod print;
pub mod reference;
mod rules;
mod secret;
mod sections;
mod sources;
mod table;
mod units;
mod words;

pub use effective::Rate;
pub use engines::{FilesUrl, RedisUrl, SecretUrl, StoreUrl};
pub use error::{ConfigError, Fault, Source};
pub use feature::Feature;
pub use hosts::{BrokerAddr, Host, HostPort, Network};
pub use origin::{CorsOrigins, Origin, WebOrigin};
pub use secret::{KeyHash, MIN_SECRET_BYTES, Properties, Secret};
pub use sections::access::{ApiKey, Auth, Direct, Issuer, IssuerName, PasswordLength, Pem, WebUrl};
pub use sections::durable::{Files, Sketch, Store, Webhooks};
pub use sections::feeds::{Feeds, Kafka, KafkaTopic};
pub use sections::limits::Limits;
pub use sections::serving::{Cluster, Log, MetricsKept, Server, Tls, Ws};
pub use sections::topics::{Presence, Rpc, Session, TopicPattern, TopicRule, Topics};
pub use sources::Sources;
pub use table::KeyInfo;
pub use units::ByteSize;
pub use units::{duration_text, parse_duration};
pub use words::{Durability, Environment, KafkaMode, LogFormat, LogLevel, OffsetReset, OnBadRecord, PerKey};

use group::{Group, Lookup};
use node::{Data, Node};
use sections::serving::General;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What defaults may depend on: settings that are read before the others.
#[derive(Clone, Debug)]
pub struct Context {
    environment: Environment,
    data_dir: PathBuf,
    read_timeout: Duration,
    brokers_set: bool,
}

impl Default for Context {
    fn default() -> Self {
        let (environment, data_dir) = (Environment::default(), PathBuf::from("data"));
        Self { environment, data_dir, read_timeout: Duration::from_secs(60), brokers_set: false }
    }
}

impl Context {
    fn pick<T>(&self, development: T, production: T) -> T {
        match self.environment {
            Environment::Development => development,
            Environment::Production => production,
        }
    }
}

/// A value that some source gave.
#[derive(Clone, Debug)]
struct Given {
    node: Node,
    source: Source,
}

/// The values that sources gave, by key; the highest source's each.
#[derive(Clone, Debug, Default)]
struct Values(BTreeMap<String, Given>);

impl Lookup for Values {
    fn find(&self, key: &KeyInfo) -> Option<&Node> {
        self.0.get(&key.path()).map(|given| &given.node)
    }
}

/// A section of the table.
#[derive(Debug)]
pub struct SectionInfo {
    /// Its name; empty for the keys before the first section.
    pub name: &'static str,
    /// What it is about.
    pub head: &'static str,
    /// Its keys in order.
    pub keys: &'static [KeyInfo],
}

/// Lists the sections once, for the struct, its reading and its showing.
macro_rules! config {
    ($($name:ident: $Group:ty),+ $(,)?) => {
        /// All settings of a server, valid and resolved.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            /// Development or production.
            pub environment: Environment,
            /// Folder for everything the server keeps.
            pub data_dir: PathBuf,
            $(#[doc = concat!("Section `", stringify!($name), "`.")] pub $name: $Group,)+
        }

        /// The table of settings, by section.
        pub const SECTIONS: &[SectionInfo] = &[
            SectionInfo { name: "", head: General::HEAD, keys: General::KEYS },
            $(SectionInfo { name: stringify!($name), head: <$Group>::HEAD, keys: <$Group>::KEYS },)+
        ];

        impl Config {
            fn read(values: &Values, general: General, context: &Context) -> Result<Self, ConfigError> {
                Ok(Self {
                    environment: general.environment,
                    data_dir: general.data_dir,
                    $($name: section(stringify!($name), values, context)?,)+
                })
            }

            /// Every value in the order of [`SECTIONS`]; secrets are not masked yet.
            fn values(&self) -> Vec<Option<Node>> {
                let general = General { environment: self.environment, data_dir: self.data_dir.clone() };
                let mut all = general.values();
                $(all.extend(self.$name.values());)+
                all
            }
        }
    };
}

config! {
    server: Server,
    log: Log,
    metrics: MetricsKept,
    ws: Ws,
    limits: Limits,
    topics: Topics,
    session: Session,
    rpc: Rpc,
    auth: Auth,
    tls: Tls,
    presence: Presence,
    direct: Direct,
    store: Store,
    files: Files,
    sketch: Sketch,
    webhooks: Webhooks,
    feeds: Feeds,
    kafka: Kafka,
    cluster: Cluster,
}

/// Reads one section. Single values were checked when they were given, so only a missing one could fail here.
fn section<T: Group>(name: &str, values: &Values, context: &Context) -> Result<T, ConfigError> {
    T::read(values, context).map_err(|fault| {
        let path = format!("{name}{}", fault.at);
        ConfigError::key(path.trim_start_matches('.'), fault.what)
    })
}

/// A configuration together with where its values were given.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings in force.
    pub config: Config,
    given: BTreeMap<String, Source>,
}

impl Loaded {
    /// Where a key was given; `None` when its default holds.
    pub fn source(&self, key: &str) -> Option<&Source> {
        self.given.get(key)
    }
}

impl Config {
    /// Reads all sources and checks everything but [`Config::check_exposure`].
    ///
    /// # Errors
    /// The first mistake found, as one line that names the key, its source and what to do.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let values = sources.values()?;
        let config = Self::resolve(&values)?;
        let given = values.0.into_iter().map(|(key, given)| (key, given.source)).collect();
        Ok(Loaded { config, given })
    }

    fn resolve(values: &Values) -> Result<Self, ConfigError> {
        let mut context = Context::default();
        let general: General = section("", values, &context)?;
        context.environment = general.environment;
        context.data_dir.clone_from(&general.data_dir);
        let brokers = values.0.get("kafka.brokers").map(|given| &given.node.data);
        context.brokers_set = matches!(brokers, Some(Data::List(list)) if !list.is_empty());
        let ws: Ws = section("ws", values, &context)?;
        context.read_timeout = ws.read_timeout;
        let config = Self::read(values, general, &context)?;
        config.check_rules()?;
        Ok(config)
    }
}

/// The defaults of development, as without any source.
impl Default for Config {
    #[expect(clippy::expect_used, reason = "no source, no mistake: a test loads the defaults")]
    fn default() -> Self {
        Self::resolve(&Values::default()).expect("the defaults are valid")
    }
}

/// All keys in order.
pub fn keys() -> impl Iterator<Item = &'static KeyInfo> {
    SECTIONS.iter().flat_map(|section| section.keys)
}

#[cfg(test)]
mod tests;
