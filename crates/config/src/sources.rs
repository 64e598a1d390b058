//! The sources of values and their order: default < file < bare variable < `FANFARE__` variable < flag.

use super::basic::quote;
use super::error::{ConfigError, Fault, Source};
use super::nearest::{nearest, unknown};
use super::node::{Data, Node, NotToml};
use super::table::KeyInfo;
use super::{Given, SECTIONS, Values, keys};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The file that is read from the current folder when none is named.
const DEFAULT_FILE: &str = "fanfare.toml";

/// Prefix of the variables that every key has.
const PREFIX: &str = "FANFARE__";

/// The flag that says a proxy in front serves HTTPS.
const PROXY_FLAG: &str = "--insecure-behind-proxy";

/// Where values may come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`: must exist.
    pub file: Option<PathBuf>,
    /// Where `fanfare.toml` is looked for when no file is named.
    pub folder: PathBuf,
    /// Environment variables.
    pub env: Vec<(OsString, OsString)>,
    /// `--set key=value`, in order.
    pub set: Vec<String>,
    /// `--insecure-behind-proxy`.
    pub behind_proxy: bool,
}

impl Sources {
    /// Nothing but the environment and current folder of this process.
    pub fn of_process() -> Self {
        Self { env: std::env::vars_os().collect(), ..Self::default() }
    }

    /// The values of all sources, the higher over the lower, each checked by its type.
    pub(super) fn values(&self) -> Result<Values, ConfigError> {
        let mut values = Values::default();
        match &self.file {
            Some(path) => values.add_file(path, true)?,
            None => values.add_file(&self.folder.join(DEFAULT_FILE), false)?,
        }
        let env = self.known_variables()?;
        values.add_bare_variables(&env)?;
        values.add_prefixed_variables(&env)?;
        for setting in &self.set {
            values.add_flag(setting)?;
        }
        if self.behind_proxy {
            values.add("server.behind_proxy", Node::new(Data::Bool(true)), Source::Flag(PROXY_FLAG))?;
        }
        Ok(values)
    }

    /// The variables that are meant for this server and not empty, by name.
    fn known_variables(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut known = Vec::new();
        for (name, value) in &self.env {
            let Some(name) = name.to_str() else { continue };
            let ours = name.starts_with(PREFIX) || keys().any(|key| key.bare == Some(name));
            if !ours || value.is_empty() {
                continue;
            }
            let Some(value) = value.to_str() else {
                let source = Source::Variable(name.to_owned());
                return Err(ConfigError::source(source, "is not valid UTF-8"));
            };
            known.push((name.to_owned(), value.to_owned()));
        }
        known.sort();
        Ok(known)
    }
}

fn key_of(path: &str) -> Option<&'static KeyInfo> {
    keys().find(|key| key.path() == path)
}

/// The known key nearest to a mistyped one.
fn near_key(path: &str) -> Option<String> {
    let all: Vec<String> = keys().map(KeyInfo::path).collect();
    nearest(path, all.iter().map(String::as_str)).map(str::to_owned)
}

impl Values {
    /// Takes a value once it is checked, over any that a lower source gave.
    fn add(&mut self, path: &str, node: Node, source: Source) -> Result<(), ConfigError> {
        let Some(key) = key_of(path) else {
            let fault = Fault::new(unknown(near_key(path))).inside("", node.line);
            return Err(ConfigError::fault(&source, path, fault));
        };
        if let Err(fault) = key.check(&node) {
            return Err(ConfigError::fault(&source, path, fault.inside("", node.line)));
        }
        let source = match source {
            Source::File(file, _) => Source::File(file, node.line),
            other => other,
        };
        self.0.insert(path.to_owned(), Given { node, source });
        Ok(())
    }

    /// Takes a text: a variable's or a flag's.
    fn add_text(&mut self, path: &str, text: &str, source: Source) -> Result<(), ConfigError> {
        let node = match key_of(path) {
            Some(key) => key.parse(text).map_err(|fault| ConfigError::fault(&source, path, fault))?,
            None => Node::text(text),
        };
        self.add(path, node, source)
    }

    fn add_file(&mut self, path: &Path, required: bool) -> Result<(), ConfigError> {
        let source = Source::File(path.to_owned(), None);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && !required => return Ok(()),
            Err(error) => return Err(ConfigError::source(source, format!("cannot be read: {error}"))),
        };
        let root = Node::from_toml(&text).map_err(|NotToml { line, why }| {
            ConfigError::source(Source::File(path.to_owned(), line), format!("is no valid TOML: {why}"))
        })?;
        for (name, node) in root {
            self.add_file_entry(name, node, &source)?;
        }
        Ok(())
    }

    /// An entry of the file's root: a section, or one of the keys before the first.
    fn add_file_entry(&mut self, name: String, node: Node, source: &Source) -> Result<(), ConfigError> {
        let section = SECTIONS.iter().any(|section| !section.name.is_empty() && section.name == name);
        let line = node.line;
        let fault = |what: String| ConfigError::fault(source, &name, Fault::new(what).inside("", line));
        match node.data {
            Data::Table(entries) if section => {
                for (key, value) in entries {
                    self.add(&format!("{name}.{key}"), value, source.clone())?;
                }
                Ok(())
            }
            _ if section => Err(fault(format!("is a section: write `[{name}]` and its keys below"))),
            Data::Table(_) if key_of(&name).is_none() => {
                let near = nearest(&name, SECTIONS.iter().map(|s| s.name).filter(|n| !n.is_empty()));
                let near = near.map(|n| format!(", did you mean `[{n}]`?")).unwrap_or_default();
                Err(fault(format!("unknown section{near}")))
            }
            data => self.add(&name, Node { data, line }, source.clone()),
        }
    }

    fn add_bare_variables(&mut self, env: &[(String, String)]) -> Result<(), ConfigError> {
        for key in keys() {
            let set = env.iter().find(|(name, _)| key.bare == Some(name));
            if let Some((name, value)) = set {
                self.add_text(&key.path(), value, Source::Variable(name.clone()))?;
            }
        }
        Ok(())
    }

    fn add_prefixed_variables(&mut self, env: &[(String, String)]) -> Result<(), ConfigError> {
        for (name, value) in env {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let path = rest.replace("__", ".").to_ascii_lowercase();
            let source = Source::Variable(name.clone());
            if key_of(&path).is_none() {
                let near = near_key(&path).and_then(|near| key_of(&near)).map(KeyInfo::variable);
                return Err(ConfigError::fault(&source, &path, Fault::new(unknown(near))));
            }
            self.add_text(&path, value, source)?;
        }
        Ok(())
    }

    fn add_flag(&mut self, setting: &str) -> Result<(), ConfigError> {
        let source = Source::Flag("--set");
        let Some((path, value)) = setting.split_once('=') else {
            return Err(ConfigError::source(
                source,
                format!("{} is no setting: write `--set key=value`", quote(setting)),
            ));
        };
        self.add_text(path.trim(), value, source)
    }
}
