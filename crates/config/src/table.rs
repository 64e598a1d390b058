//! What the table of settings knows of a key, and what a type must know to be a setting's.

use super::Feature;
use super::error::Fault;
use super::node::{Data, Node};
use std::borrow::Cow;

/// How a text (a variable's or a flag's) is read as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it stands; in double quotes, as a JSON string.
    Text,
    /// `true`, `false` or a whole number.
    Plain,
    /// Comma-separated texts (`[::1]:9092,[::2]:9092` too), or a JSON list.
    List,
    /// JSON only.
    Json,
}

/// A type a setting can have: its rules are checked while it is read.
pub trait Setting: Sized {
    /// How a text is read as a value of this type.
    const FORM: Form;

    /// What the reference calls the type, such as ``a duration such as `30s` ``.
    fn shape() -> Cow<'static, str>;

    /// Reads a value.
    ///
    /// # Errors
    /// Why it is none of this type; never repeats a secret.
    fn read(node: &Node) -> Result<Self, Fault>;

    /// The value as it would be written; `None` when unset.
    fn show(&self) -> Option<Node>;

    /// Zero, for keys marked [`KeyInfo::positive`].
    fn is_zero(&self) -> bool {
        false
    }

    /// The fields of a table, for the reference.
    fn fields() -> &'static [KeyInfo] {
        &[]
    }

    /// The value said in another way, for a remark beside it.
    fn remark(&self) -> Option<String> {
        None
    }
}

/// Whether a value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// As it is.
    Open,
    /// Its passwords are masked.
    Passwords,
    /// Masked as a whole.
    Whole,
}

/// One key of the table.
#[derive(Debug)]
pub struct KeyInfo {
    /// The section; empty at the top level and in tables of a list.
    pub section: &'static str,
    /// The name within the section.
    pub name: &'static str,
    /// What it does: the field's doc comment.
    pub doc: &'static str,
    /// The variable of the seeds that sets it, beside `FANFARE__SECTION__KEY`.
    pub bare: Option<&'static str>,
    /// What a plain number counts.
    pub counts: Option<&'static str>,
    /// The default in words, when it depends on other settings.
    pub default_words: Option<&'static str>,
    /// The feature it belongs to, when that may not be in this release.
    pub feature: Option<Feature>,
    /// Whether it may be shown.
    pub secrecy: Secrecy,
    /// How a text is read.
    pub form: Form,
    /// What the reference calls the type.
    pub shape: fn() -> Cow<'static, str>,
    /// The fields of a table, for the reference.
    pub fields: fn() -> &'static [KeyInfo],
    /// A value said in another way, such as `64KiB` for 65536.
    pub remark: fn(&Node) -> Option<String>,
    check: fn(&KeyInfo, &Node) -> Result<(), Fault>,
    above_zero: bool,
}

impl KeyInfo {
    /// A key of type `T` without attributes.
    pub const fn new<T: Setting>(section: &'static str, name: &'static str, doc: &'static str) -> Self {
        Self {
            section,
            name,
            doc,
            bare: None,
            counts: None,
            default_words: None,
            feature: None,
            secrecy: Secrecy::Open,
            form: T::FORM,
            shape: T::shape,
            fields: T::fields,
            remark: |node| T::read(node).ok().and_then(|value| value.remark()),
            check: |info, node| info.read::<T>(node).map(drop),
            above_zero: false,
        }
    }

    /// Attribute: the variable of the seeds that sets it too.
    #[must_use]
    pub const fn env(mut self, name: &'static str) -> Self {
        self.bare = Some(name);
        self
    }

    /// Attribute: what its number counts.
    #[must_use]
    pub const fn unit(mut self, name: &'static str) -> Self {
        self.counts = Some(name);
        self
    }

    /// Attribute: the default depends on other settings, as these words say.
    #[must_use]
    pub const fn varies(mut self, words: &'static str) -> Self {
        self.default_words = Some(words);
        self
    }

    /// Attribute: it acts once that feature is there.
    #[must_use]
    pub const fn with(mut self, feature: Feature) -> Self {
        self.feature = Some(feature);
        self
    }

    /// Attribute: never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secrecy = Secrecy::Whole;
        self
    }

    /// Attribute: passwords in it are never shown.
    #[must_use]
    pub const fn passwords(mut self) -> Self {
        self.secrecy = Secrecy::Passwords;
        self
    }

    /// Attribute: zero is refused.
    #[must_use]
    pub const fn positive(mut self) -> Self {
        self.above_zero = true;
        self
    }

    /// The whole key: `section.name`.
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }

    /// The variable that every key has: `FANFARE__SECTION__KEY`.
    pub fn variable(&self) -> String {
        format!("FANFARE__{}", self.path().replace('.', "__").to_ascii_uppercase())
    }

    /// Whether it does nothing in this release.
    pub fn awaits(&self) -> Option<Feature> {
        self.feature.filter(|feature| !feature.released())
    }

    /// Checks a value of it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn check(&self, node: &Node) -> Result<(), Fault> {
        (self.check)(self, node)
    }

    /// Reads a value of it.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn read<T: Setting>(&self, node: &Node) -> Result<T, Fault> {
        let value = T::read(node)?;
        if self.above_zero && value.is_zero() {
            return Err(Fault::new("must be above zero").inside("", node.line));
        }
        Ok(value)
    }

    /// A text (of a variable or a flag) as a value.
    ///
    /// # Errors
    /// When JSON is asked for and it is none.
    pub fn parse(&self, text: &str) -> Result<Node, Fault> {
        let json = |text| {
            let why = |e| Fault::new(format!("is written as JSON here, {}: {e}", (self.shape)()));
            Node::from_json(text).map_err(why)
        };
        match self.form {
            Form::Text if text.starts_with('"') => {
                Ok(Node::from_json(text).unwrap_or_else(|_| Node::text(text)))
            }
            Form::Text => Ok(Node::text(text)),
            Form::Plain => Ok(plain(text)),
            // A bracket begins a JSON list, or an item that is an IPv6 address with its port.
            Form::List if text.trim_start().starts_with('[') && !begins_with_ipv6(text) => json(text),
            Form::List => Ok(Node::new(Data::List(items(text)))),
            Form::Json => json(text),
        }
    }
}

fn plain(text: &str) -> Node {
    match text.trim() {
        "true" => Node::new(Data::Bool(true)),
        "false" => Node::new(Data::Bool(false)),
        other => other.parse().map_or_else(|_| Node::text(text), |number| Node::new(Data::Int(number))),
    }
}

/// Whether a list's first item is an IPv6 address in brackets.
fn begins_with_ipv6(text: &str) -> bool {
    let bracketed = text.trim_start().strip_prefix('[').and_then(|rest| rest.split_once(']'));
    bracketed.is_some_and(|(inside, _)| inside.parse::<std::net::Ipv6Addr>().is_ok())
}

fn items(text: &str) -> Vec<Node> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Node::text).collect()
}
