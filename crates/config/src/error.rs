//! The errors of a wrong configuration: one line with the place, the key, and the remedy.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The configuration file, with the line when it is known.
    File(PathBuf, Option<usize>),
    /// An environment variable, by its name.
    Variable(String),
    /// `--set` or a flag of its own, by the flag's name.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, Some(line)) => write!(f, "{} line {line}", path.display()),
            Self::File(path, None) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why a value was not taken: found while reading one value, not knowing yet whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Path inside the value: empty, or such as `[2].pattern`.
    pub at: String,
    /// Line of the part at fault, when it stands in a file.
    pub line: Option<usize>,
    /// What is wrong and what would be right; holds no secret.
    pub what: String,
}

impl Fault {
    /// A fault of the value as a whole.
    pub fn new(what: impl Into<String>) -> Self {
        Self { at: String::new(), line: None, what: what.into() }
    }

    /// The same, inside a list's item or a table's field that stands on `line`.
    #[must_use]
    pub fn inside(mut self, at: &str, line: Option<usize>) -> Self {
        self.at.insert_str(0, at);
        self.line = self.line.or(line);
        self
    }
}

/// A configuration that cannot be used. Its `Display` is exactly one line, for standard error; the caller then exits
/// with status 2 (`configuration.md`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the value was given, if one place is at fault.
    pub source: Option<Source>,
    /// The key, with the path inside its value; `None` when a whole file or flag is at fault.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub what: String,
}

impl ConfigError {
    /// An error of a key as such, whatever source set it.
    pub fn key(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { source: None, key: Some(key.into()), what: what.into() }
    }

    /// An error of a source as a whole.
    pub fn source(source: Source, what: impl Into<String>) -> Self {
        Self { source: Some(source), key: None, what: what.into() }
    }

    /// A value of `key`, given by `source`, that was not taken.
    pub fn fault(source: &Source, key: &str, fault: Fault) -> Self {
        let source = match (source, fault.line) {
            (Source::File(path, _), Some(line)) => Source::File(path.clone(), Some(line)),
            _ => source.clone(),
        };
        Self { source: Some(source), key: Some(format!("{key}{}", fault.at)), what: fault.what }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what.replace(['\n', '\r'], " ");
        match (&self.source, &self.key) {
            (Some(Source::Variable(name)), Some(key)) => write!(f, "{name} ({key}): {what}"),
            (Some(Source::Flag(name)), Some(key)) => write!(f, "{name} {key}: {what}"),
            (Some(source), Some(key)) => write!(f, "{source}: {key}: {what}"),
            (Some(source), None) => write!(f, "{source}: {what}"),
            (None, Some(key)) => write!(f, "{key}: {what}"),
            (None, None) => f.write_str(&what),
        }
    }
}

impl std::error::Error for ConfigError {}
