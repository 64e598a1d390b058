//! A setting's value before it has a type: what a TOML file, a variable or a flag says, with the line it stands on.
//!
//! All sources come down to [`Node`], so that a type reads its value in one way wherever it was written. A node is
//! also how a typed value is shown again, in TOML.

use std::fmt;
use toml::de::{DeInteger, DeTable, DeValue};

/// One value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value.
    pub data: Data,
    /// Line in the file, from 1; `None` for variables and flags.
    pub line: Option<usize>,
}

/// A table's entries, in order of lines.
pub(super) type Entries = Vec<(String, Node)>;

/// Why a document is no TOML.
#[derive(Clone, Debug)]
pub struct NotToml {
    /// The line, when it is known.
    pub line: Option<usize>,
    /// The reason, in one line.
    pub why: String,
}

/// The shapes a value can have.
#[derive(Clone, Debug)]
pub enum Data {
    /// `"text"`.
    Text(String),
    /// `42`.
    Int(i64),
    /// `true`.
    Bool(bool),
    /// `[…]`.
    List(Vec<Node>),
    /// `{…}`.
    Table(Entries),
    /// Anything no setting takes (fractions, dates, `null`), named for the message.
    Other(&'static str),
}

impl Node {
    /// A value that stands in no file.
    pub fn new(data: Data) -> Self {
        Self { data, line: None }
    }

    /// A text that stands in no file.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Data::Text(text.into()))
    }

    /// A number that stands in no file.
    pub fn int(value: impl TryInto<i64>) -> Self {
        Self::new(Data::Int(value.try_into().unwrap_or(i64::MAX)))
    }

    /// What it is, for a message: never the value itself.
    pub fn name(&self) -> &'static str {
        match &self.data {
            Data::Text(_) => "a text",
            Data::Int(_) => "a number",
            Data::Bool(_) => "true or false",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
            Data::Other(name) => name,
        }
    }

    /// The root table of a TOML document.
    ///
    /// # Errors
    /// Where and why it is no TOML.
    pub fn from_toml(source: &str) -> Result<Entries, NotToml> {
        let lines = Lines::new(source);
        match DeTable::parse(source) {
            Ok(root) => Ok(lines.table(root.get_ref())),
            Err(error) => {
                let line = error.span().map(|span| lines.at(span.start));
                let why = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
                Err(NotToml { line, why })
            }
        }
    }

    /// A JSON text.
    ///
    /// # Errors
    /// The parser's reason, in one line.
    pub fn from_json(source: &str) -> Result<Self, String> {
        serde_json::from_str(source).map(Self::json).map_err(|e| e.to_string())
    }

    /// The value as JSON.
    pub fn into_json(self) -> serde_json::Value {
        use serde_json::Value;
        match self.data {
            Data::Text(text) => Value::String(text),
            Data::Int(number) => Value::from(number),
            Data::Bool(b) => Value::Bool(b),
            Data::Other(name) => Value::from(name),
            Data::List(items) => Value::Array(items.into_iter().map(Self::into_json).collect()),
            Data::Table(entries) => {
                Value::Object(entries.into_iter().map(|(key, node)| (key, node.into_json())).collect())
            }
        }
    }

    fn json(value: serde_json::Value) -> Self {
        use serde_json::Value;
        Self::new(match value {
            Value::Null => Data::Other("null"),
            Value::Bool(b) => Data::Bool(b),
            Value::Number(n) => n.as_i64().map_or(Data::Other("a fraction or too large a number"), Data::Int),
            Value::String(s) => Data::Text(s),
            Value::Array(items) => Data::List(items.into_iter().map(Self::json).collect()),
            Value::Object(map) => Data::Table(map.into_iter().map(|(k, v)| (k, Self::json(v))).collect()),
        })
    }
}

/// Turns byte positions of a document into line numbers.
struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    fn new(source: &str) -> Self {
        let after_breaks = source.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    fn at(&self, position: usize) -> usize {
        self.starts.partition_point(|start| *start <= position)
    }

    /// A value takes the line of its key: that is where a reader looks for it.
    fn table(&self, table: &DeTable<'_>) -> Entries {
        let entry =
            |(key, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
                let line = self.at(key.span().start);
                (key.get_ref().to_string(), Node { data: self.data(value.get_ref()), line: Some(line) })
            };
        let mut entries: Vec<_> = table.iter().map(entry).collect();
        entries.sort_by_key(|(_, node)| node.line);
        entries
    }

    fn data(&self, value: &DeValue<'_>) -> Data {
        match value {
            DeValue::String(text) => Data::Text(text.to_string()),
            DeValue::Integer(number) => integer(number),
            DeValue::Boolean(b) => Data::Bool(*b),
            DeValue::Float(_) => Data::Other("a fraction"),
            DeValue::Datetime(_) => Data::Other("a date"),
            DeValue::Array(items) => {
                let item = |v: &toml::Spanned<DeValue<'_>>| Node {
                    data: self.data(v.get_ref()),
                    line: Some(self.at(v.span().start)),
                };
                Data::List(items.iter().map(item).collect())
            }
            DeValue::Table(table) => Data::Table(self.table(table)),
        }
    }
}

fn integer(number: &DeInteger<'_>) -> Data {
    i64::from_str_radix(number.as_str(), number.radix()).map_or(Data::Other("too large a number"), Data::Int)
}

/// The value in TOML, on one line.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.data {
            Data::Text(text) => f.write_str(&quoted(text)),
            Data::Int(number) => write!(f, "{number}"),
            Data::Bool(b) => write!(f, "{b}"),
            Data::Other(name) => write!(f, "<{name}>"),
            Data::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Data::Table(entries) if entries.is_empty() => f.write_str("{}"),
            Data::Table(entries) => {
                for (i, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{} {} = {value}", if i == 0 { "{" } else { "," }, bare_or_quoted(key))?;
                }
                f.write_str(" }")
            }
        }
    }
}

/// A TOML basic string. TOML knows all of JSON's escapes and wants one more character escaped.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

fn bare_or_quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { quoted(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(entries: &[(String, Node)], into: &mut Vec<(String, usize)>) {
        for (key, node) in entries {
            into.push((key.clone(), node.line.unwrap()));
            match &node.data {
                Data::Table(inner) => lines(inner, into),
                Data::List(items) => {
                    for item in items {
                        if let Data::Table(inner) = &item.data {
                            lines(inner, into);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_key_knows_its_line() {
        let source =
            "data_dir = 'x'\n\n[limits]\nqueue = 5\n[[rules]]\npattern = 'a'\n[[rules]]\npattern = 'b'\n";
        let mut got = Vec::new();
        lines(&Node::from_toml(source).unwrap(), &mut got);
        let want =
            [("data_dir", 1), ("limits", 3), ("queue", 4), ("rules", 5), ("pattern", 6), ("pattern", 8)];
        assert_eq!(got, want.map(|(k, n)| (k.to_owned(), n)));
    }

    /// Both parsers stop at a depth of their own, before anything here walks the value.
    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert!(Node::from_json(&deep(50)).is_ok() && Node::from_toml(&format!("a = {}", deep(50))).is_ok());
        for n in [129, 100_000] {
            assert!(Node::from_json(&deep(n)).is_err(), "{n}");
            assert!(Node::from_toml(&format!("a = {}", deep(n))).is_err(), "{n}");
            assert!(Node::from_toml(&format!("a{} = 1", ".a".repeat(n))).is_err(), "{n}");
        }
        let magic = Node::from_json(r#"{"$serde_json::private::RawValue":"[1]"}"#).unwrap();
        assert_eq!(magic.into_json().to_string(), r#"{"$serde_json::private::RawValue":"[1]"}"#);
    }

    #[test]
    fn broken_toml_says_where_in_one_line() {
        let NotToml { line, why } = Node::from_toml("a = 1\n[server\nport = 0\n").unwrap_err();
        assert_eq!(line, Some(2));
        assert!(!why.is_empty() && !why.contains('\n'), "{why}");
    }

    #[test]
    fn what_is_shown_reads_back() {
        let text = "quo\"te \\ line\nbreak \u{7f} \u{1} ü";
        let node = Node::new(Data::List(vec![
            Node::text(text),
            Node::int(-5),
            Node::new(Data::Table(vec![
                ("a.b c".into(), Node::new(Data::Bool(true))),
                ("d".into(), Node::int(1)),
            ])),
            Node::new(Data::Table(Vec::new())),
        ]));
        let shown = format!("x = {node}\n");
        let read = Node::from_toml(&shown).unwrap();
        assert_eq!(read[0].1.to_string(), node.to_string());
        assert!(!node.to_string().contains('\n'));
    }
}
