//! The registry: all methods by name.

use crate::caller::Caller;
use crate::entry::{Entry, Ran};
use crate::failure::Failure;
use crate::method::{AsyncMethod, EitherMethod, Method};
use crate::openrpc;
use crate::schema::SchemaError;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_json::{Raw, RawBuf};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Creates the meters that measure each method's calls.
pub trait Observer: Send + Sync + 'static {
    /// The meter of a method; called once, when the registry is built.
    fn method(&self, name: &'static str) -> Box<dyn Meter>;
}

/// Measures the calls of one method. Called at the end of each, so it takes no lock that methods share.
pub trait Meter: Send + Sync + 'static {
    /// Called when a call has ended: its duration, and its error number if it failed.
    fn ended(&self, took: Duration, error: Option<i32>);
}

/// The registry cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Two methods have one name.
    #[error("{0} is registered twice")]
    Twice(&'static str),
    /// The name is reserved by JSON-RPC.
    #[error("{0}: names that begin with \"rpc.\" are reserved")]
    Reserved(&'static str),
    /// A type's schema cannot be enforced.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// All methods by name; immutable once built.
pub struct Registry {
    by_name: HashMap<&'static str, Arc<Entry>>,
    documents: Arc<OnceLock<Documents>>,
}

/// The documents about the methods, generated once from all of them.
pub(crate) struct Documents {
    /// The OpenRPC document.
    pub openrpc: RawBuf,
    /// The result of `server.list_commands`.
    pub commands: Vec<CommandRow>,
}

/// The server commands of a registry: one of them lists them, so they are known only when the registry is built.
#[derive(Clone)]
pub struct Commands(Arc<OnceLock<Documents>>);

impl Commands {
    /// All of them, ordered by name.
    pub fn list(&self) -> Vec<CommandRow> {
        self.0.get().map(|documents| documents.commands.clone()).unwrap_or_default()
    }
}

/// A server command in a list.
#[derive(Clone, Debug, serde::Serialize, schemars::JsonSchema)]
pub struct CommandRow {
    /// The name in `{"type":"server","command":…}`.
    pub name: String,
    /// One sentence.
    pub description: String,
    /// The JSON Schema of its params.
    pub schema: serde_json::Map<String, serde_json::Value>,
}

/// Collects methods and builds the registry.
pub struct RegistryBuilder {
    version: String,
    entries: Vec<Result<Entry, SchemaError>>,
    documents: Arc<OnceLock<Documents>>,
    observer: Option<Arc<dyn Observer>>,
}

impl Registry {
    /// Starts a builder; `version` is the server's, for the documents.
    pub fn builder(version: impl Into<String>) -> RegistryBuilder {
        RegistryBuilder {
            version: version.into(),
            entries: vec![],
            documents: Arc::default(),
            observer: None,
        }
    }

    /// The names in order.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.by_name.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// The OpenRPC 1.4 document as JSON, for `GET /openrpc.json`.
    pub fn openrpc_document(&self) -> &str {
        self.documents.get().map_or("null", |d| d.openrpc.get())
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&Arc<Entry>> {
        self.by_name.get(name)
    }

    /// Calls a server command by the name the typed dialect gives it and appends the result's JSON: `ping` is `server.ping`,
    /// `server_info` is `server.info`.
    ///
    /// # Errors
    /// `UNKNOWN_COMMAND`, `INVALID_MESSAGE` for params that do not match, and the command's own refusals; nothing is
    /// appended.
    pub fn server_command(
        &self,
        command: &str,
        caller: &mut dyn Caller,
        params: Option<Raw<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let unknown =
            || Refusal::new(ErrorCode::UnknownCommand, "there is no such command: ask list_commands");
        let method = format!("server.{}", if command == "server_info" { "info" } else { command });
        let entry =
            self.entry(&method).filter(|e| command_name(e.name) == Some(command)).ok_or_else(unknown)?;
        match entry.run(caller, entry.bind(params.map(Raw::get)), out) {
            Ok(Ran::Done) => Ok(()),
            // Commands respond in order and at once; an asynchronous method is not available as a command.
            Ok(Ran::Later(_)) => Err(unknown()),
            Err(failure) => Err(failure.to_refusal()),
        }
    }

    /// Runs a synchronous method and appends the result's JSON.
    ///
    /// # Errors
    /// Why it has no result. An asynchronous method is refused as unknown here.
    pub fn call(
        &self,
        method: &str,
        caller: &mut dyn Caller,
        params: Option<Raw<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let entry = self.entry(method).ok_or(Failure::UnknownMethod)?;
        match entry.run(caller, entry.bind(params.map(Raw::get)), out)? {
            Ran::Done => Ok(()),
            Ran::Later(_) => Err(Failure::UnknownMethod),
        }
    }
}

/// The typed dialect's name of a method, if it is a server command.
pub(crate) fn command_name(method: &'static str) -> Option<&'static str> {
    match method.strip_prefix("server.")? {
        "info" => Some("server_info"),
        command => Some(command),
    }
}

impl RegistryBuilder {
    /// Adds a synchronous method.
    #[must_use]
    pub fn method<M: Method>(mut self, method: M) -> Self {
        self.entries.push(Entry::ready(method));
        self
    }

    /// Adds an asynchronous method.
    #[must_use]
    pub fn async_method<M: AsyncMethod>(mut self, method: M) -> Self {
        self.entries.push(Entry::waiting(method));
        self
    }

    /// Adds a method that may have to wait.
    #[must_use]
    pub fn either_method<M: EitherMethod>(mut self, method: M) -> Self {
        self.entries.push(Entry::either(method));
        self
    }

    /// Sets the observer that measures each method's calls.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The server commands the registry will have.
    pub fn commands(&self) -> Commands {
        Commands(self.documents.clone())
    }

    /// Builds the registry, with `rpc.discover`.
    ///
    /// # Errors
    /// Two methods of one name, a reserved name, or a schema that cannot be enforced.
    pub fn build(self) -> Result<Registry, BuildError> {
        let mut discover = Entry::ready(openrpc::Discover(self.documents.clone()))?;
        let meter = |name| self.observer.as_ref().map(|o| o.method(name));
        discover.meter = meter(discover.name);
        let mut by_name = HashMap::new();
        for entry in self.entries {
            let mut entry = entry?;
            if entry.name.starts_with("rpc.") {
                return Err(BuildError::Reserved(entry.name));
            }
            let name = entry.name;
            entry.meter = meter(name);
            if by_name.insert(name, Arc::new(entry)).is_some() {
                return Err(BuildError::Twice(name));
            }
        }
        by_name.insert(discover.name, Arc::new(discover));
        let mut entries: Vec<&Entry> = by_name.values().map(|e| &**e).collect();
        entries.sort_unstable_by_key(|e| e.name);
        self.documents.get_or_init(|| Documents {
            openrpc: openrpc::document(&self.version, &entries),
            commands: entries.iter().filter_map(|e| command_row(e)).collect(),
        });
        Ok(Registry { by_name, documents: self.documents })
    }
}

fn command_row(entry: &Entry) -> Option<CommandRow> {
    Some(CommandRow {
        name: command_name(entry.name)?.into(),
        description: entry.summary.into(),
        schema: entry.params_schema.as_object().cloned().unwrap_or_default(),
    })
}
