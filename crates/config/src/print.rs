//! The settings as TOML: the default file with its comments, and what is in force with where it was given.

use super::group::mask;
use super::node::Node;
use super::table::{Form, KeyInfo};
use super::{Config, Loaded, SECTIONS, SectionInfo};
use std::fmt::Write;

/// Head of the default file.
const HEAD: &str = "\
# Configuration of Fanfare with every key and its default. A line that is commented out shows a default that depends
# on other settings, or a key that is unset. `fanfare config doc` says more; `fanfare config check` tries a file.
";

/// A smaller profile, as seed 002 has it.
const PROFILE: &str = "
# A small dashboard backend, as MAX_CLIENTS=1000 and MESSAGE_BUFFER_SIZE=100 make it:
#
# [limits]
# max_connections = 1000
# queue_messages = 100
";

/// Tables of `topics.rules`, which a comment shows best.
const RULES: &str = "\
# [[topics.rules]]
# pattern = \"inbox-{user}\"
# subscribe = \"user\"
# publish = \"server\"
# history = \"user\"
#
# [[topics.rules]]
# pattern = \"*\"
# subscribe = \"anyone\"
# publish = \"user\"
";

/// The default configuration as a commented TOML file.
pub fn default_toml() -> String {
    let mut out = HEAD.to_owned();
    each_section(&Config::default(), |section, rows| {
        out.push('\n');
        comment(&mut out, section.head);
        if !section.name.is_empty() {
            line(&mut out, &format!("[{}]", section.name));
        }
        for (key, value) in rows {
            out.push('\n');
            default_entry(&mut out, key, value);
        }
    });
    out.push_str(PROFILE);
    out
}

fn default_entry(out: &mut String, key: &KeyInfo, value: Option<Node>) {
    comment(out, key.doc);
    if let Some(sentence) = awaits(key) {
        comment(out, &sentence);
    }
    if let Some(words) = key.default_words {
        comment(out, &format!("Default: {words}."));
    }
    if let Some(bare) = key.bare {
        comment(out, &format!("Variable: {bare}."));
    }
    // As an active value these would stand in the way of `[[section.key]]` further down.
    let commented = value.is_none() || key.default_words.is_some() || key.form == Form::Json;
    let remark = value.as_ref().and_then(key.remark).map(|r| format!(" # {r}")).unwrap_or_default();
    let value = value.map_or("\"\"".to_owned(), |v| v.to_string());
    line(out, &format!("{}{} = {value}{remark}", if commented { "# " } else { "" }, key.name));
    if key.path() == "topics.rules" {
        out.push_str(RULES);
    }
}

/// What is in force: every key, where it was given when that is not the default, secrets masked.
pub fn show(loaded: &Loaded) -> String {
    let mut out = String::new();
    each_section(&loaded.config, |section, rows| {
        if !section.name.is_empty() {
            line(&mut out, &format!("\n[{}]", section.name));
        }
        for (key, value) in rows {
            let source = loaded.source(&key.path()).map(|s| format!(" # {s}")).unwrap_or_default();
            match value {
                Some(value) => line(&mut out, &format!("{} = {}{source}", key.name, mask(key, value))),
                None => line(&mut out, &format!("# {} is unset{source}", key.name)),
            }
        }
    });
    out
}

/// What is in force as JSON: sections of keys; a key that is unset is null, secrets are masked.
pub fn json(config: &Config) -> serde_json::Value {
    let mut out = serde_json::Map::new();
    each_section(config, |section, rows| {
        let rows = rows.into_iter().map(|(key, value)| {
            let shown = value.map_or(serde_json::Value::Null, |value| mask(key, value).into_json());
            (key.name.to_owned(), shown)
        });
        if section.name.is_empty() {
            out.extend(rows);
        } else {
            out.insert(section.name.to_owned(), serde_json::Value::Object(rows.collect()));
        }
    });
    serde_json::Value::Object(out)
}

/// Calls `each` with every section and its keys with their values.
pub(super) fn each_section(
    config: &Config,
    mut each: impl FnMut(&SectionInfo, Vec<(&'static KeyInfo, Option<Node>)>),
) {
    let mut values = config.values().into_iter();
    for section in SECTIONS {
        let rows = section.keys.iter().map(|key| (key, values.next().flatten())).collect();
        each(section, rows);
    }
}

/// The sentence for a key whose feature is not in this release.
pub(super) fn awaits(key: &KeyInfo) -> Option<String> {
    key.awaits().map(|feature| format!("Takes effect with {}, not in this release.", feature.name()))
}

fn line(out: &mut String, text: &str) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "{text}");
}

/// Text as comment lines of at most 110 characters.
pub(super) fn comment(out: &mut String, text: &str) {
    let mut current = String::from("#");
    for word in text.split_whitespace() {
        if current.len() + 1 + word.len() > 110 {
            line(out, &current);
            current = String::from("#");
        }
        current.push(' ');
        current.push_str(word);
    }
    line(out, &current);
}
