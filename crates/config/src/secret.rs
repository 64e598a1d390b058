//! Settings nobody may read back: keys, and tables that may hold them.

use super::basic::text_of;
use super::error::Fault;
use super::node::{Data, Node};
use super::table::{Form, Setting};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// Least length of a key in bytes (`accounts-and-messages.md`, RFC 7518 3.2).
pub const MIN_SECRET_BYTES: usize = 32;

/// A key of at least [`MIN_SECRET_BYTES`] bytes; `Debug` does not show it. Line ends behind it are not part of it: a secret that
/// was read from a file often brings one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    was_trimmed: bool,
}

impl Secret {
    /// The key.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether a line end was taken off.
    pub const fn was_trimmed(&self) -> bool {
        self.was_trimmed
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Setting for Secret {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "secret of at least 32 bytes".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let given = text_of(node, "a text")?;
        let text = given.trim_end_matches(['\r', '\n']);
        if text.len() < MIN_SECRET_BYTES {
            let have = text.len();
            let what = format!(
                "has {have} bytes, a secret needs {MIN_SECRET_BYTES}: make one with `openssl rand -base64 48`"
            );
            return Err(Fault::new(what));
        }
        Ok(Self { text: text.to_owned(), was_trimmed: text.len() < given.len() })
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(&self.text))
    }
}

/// The SHA-256 of an API key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Setting for KeyHash {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "64 hexadecimal digits".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = text_of(node, "a text")?.trim();
        let wrong = || {
            Fault::new(
                "must be the key's SHA-256 in 64 hexadecimal digits, as `fanfare admin create-api-key` makes it",
            )
        };
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        if text.len() != 64 {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let (high, low) = (digit(pair[0]).ok_or_else(wrong)?, digit(pair[1]).ok_or_else(wrong)?);
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(self.0.iter().map(|b| format!("{b:02x}")).collect::<String>()))
    }
}

/// Names and values handed on to a library. `Debug` shows the names only: values may be passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties(pub BTreeMap<String, String>);

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Setting for Properties {
    const FORM: Form = Form::Json;

    fn shape() -> Cow<'static, str> {
        "table of names and values".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let Data::Table(entries) = &node.data else {
            return Err(Fault::new(format!("is {}, not a {}", node.name(), Self::shape())));
        };
        let mut flat = BTreeMap::new();
        flatten("", entries, &mut flat)?;
        Ok(Self(flat))
    }

    fn show(&self) -> Option<Node> {
        let entry = |(name, value): (&String, &String)| (name.clone(), Node::text(value));
        Some(Node::new(Data::Table(self.0.iter().map(entry).collect())))
    }
}

/// TOML reads an unquoted `security.protocol = …` as nested tables: joined again with dots.
fn flatten(
    prefix: &str,
    entries: &[(String, Node)],
    into: &mut BTreeMap<String, String>,
) -> Result<(), Fault> {
    for (name, node) in entries {
        let path = format!("{prefix}{name}");
        let value = match &node.data {
            Data::Table(inner) => {
                flatten(&format!("{path}."), inner, into)?;
                continue;
            }
            Data::Text(text) => text.clone(),
            Data::Int(number) => number.to_string(),
            Data::Bool(flag) => flag.to_string(),
            _ => {
                return Err(Fault::new(format!("is {}, not a text", node.name()))
                    .inside(&format!(".{path}"), node.line));
            }
        };
        into.insert(path, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_refused_without_being_shown() {
        let fault = Secret::read(&Node::text("hunter2")).unwrap_err();
        assert!(fault.what.contains("32") && !fault.what.contains("hunter2"));
        let secret = Secret::read(&Node::text("0123456789abcdef0123456789abcdef")).unwrap();
        assert_eq!(format!("{secret:?}"), "***");
    }

    #[test]
    fn line_ends_behind_a_secret_are_no_part_of_it() {
        let plain = "0123456789abcdef 123456789abcdef";
        for (end, trimmed) in [("", false), ("\n", true), ("\r\n", true), ("\n\n", true)] {
            let secret = Secret::read(&Node::text(format!("{plain}{end}"))).unwrap();
            assert_eq!((secret.expose(), secret.was_trimmed()), (plain, trimmed), "{end:?}");
        }
        let inner = format!(" {plain}\n{plain} ");
        assert_eq!(Secret::read(&Node::text(&inner)).unwrap().expose(), inner, "nothing else is taken off");
        assert!(Secret::read(&Node::text(format!("{}\n", &plain[1..]))).is_err(), "31 bytes");
    }

    #[test]
    fn a_key_hash_is_hexadecimal() {
        let text = "00ff".repeat(16);
        let hash = KeyHash::read(&Node::text(&text)).unwrap();
        assert_eq!((hash.0[0], hash.0[1]), (0, 255));
        assert_eq!(hash.show().unwrap().to_string(), format!("\"{text}\""));
        for bad in ["", "00", &"zz".repeat(32), &"é".repeat(32)] {
            assert!(KeyHash::read(&Node::text(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn properties_take_dotted_and_quoted_names() {
        let toml = "[p]\nsecurity.protocol = 'SSL'\n'fetch.max.bytes' = 5\nflag = true\n";
        let entries = Node::from_toml(toml).unwrap();
        let read = Properties::read(&entries[0].1).unwrap();
        let want = [("fetch.max.bytes", "5"), ("flag", "true"), ("security.protocol", "SSL")];
        assert_eq!(read.0, want.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert!(!format!("{read:?}").contains("SSL"));
    }
}
