//! The reference page and the example environment, from the table of settings.

use super::Config;
use super::node::{Data, Node};
use super::print::{awaits, comment, each_section};
use super::table::KeyInfo;
use std::fmt::Write;

/// What the page says before the tables.
const HEAD: &str = include_str!("reference_head.md");

/// The reference as Markdown: the committed `docs/configuration.md`.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    each_section(&Config::default(), |section, rows| {
        let title = if section.name.is_empty() { "Before the first section" } else { section.name };
        let _ = write!(out, "\n## {title}\n\n{}\n\n", flat(section.head));
        out.push_str("| Key | Type | Default | Variable | What it does |\n|---|---|---|---|---|\n");
        for (key, value) in &rows {
            let row =
                [code(&key.path()), kind(key), default(key, value.as_ref()), variable(key), meaning(key)];
            let _ = writeln!(out, "| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
        }
        for (key, _) in rows {
            fields(&mut out, key);
        }
    });
    out
}

/// The fields of a list of tables.
fn fields(out: &mut String, key: &KeyInfo) {
    let fields = (key.fields)();
    if fields.is_empty() {
        return;
    }
    let _ = write!(out, "\nTables of `{}`:\n\n| Field | Type | What it does |\n|---|---|---|\n", key.path());
    for field in fields {
        let row = [code(field.name), kind(field), flat(field.doc)];
        let _ = writeln!(out, "| {} |", row.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
}

/// The variables of the seeds with their defaults: the committed `.env.example`.
pub fn env_example() -> String {
    let mut out = String::new();
    comment(
        &mut out,
        "Environment of Fanfare: the short names. Every other key has its variable too (docs/configuration.md), such as FANFARE__LIMITS__QUEUE_BYTES. An empty variable counts as unset.",
    );
    each_section(&Config::default(), |_, rows| {
        for (key, value) in rows {
            let Some(bare) = key.bare else { continue };
            out.push('\n');
            comment(&mut out, &meaning(key));
            let open = if value.is_none() || key.default_words.is_some() { "# " } else { "" };
            let _ = writeln!(out, "{open}{bare}={}", value.map(|v| as_variable(&v)).unwrap_or_default());
        }
    });
    out
}

/// A value the way a variable holds it.
fn as_variable(value: &Node) -> String {
    match &value.data {
        Data::Text(text) => text.clone(),
        Data::List(items) => items.iter().map(as_variable).collect::<Vec<_>>().join(","),
        _ => value.to_string(),
    }
}

fn kind(key: &KeyInfo) -> String {
    let shape = (key.shape)();
    key.counts.map_or(shape.to_string(), |unit| format!("{shape} ({unit})"))
}

fn default(key: &KeyInfo, value: Option<&Node>) -> String {
    match (key.default_words, value) {
        (Some(words), _) => words.to_owned(),
        (None, None) => "unset".to_owned(),
        (None, Some(value)) => {
            let remark = (key.remark)(value).map(|r| format!(" ({r})")).unwrap_or_default();
            format!("{}{remark}", code(&value.to_string()))
        }
    }
}

fn variable(key: &KeyInfo) -> String {
    key.bare.map(code).unwrap_or_default()
}

fn meaning(key: &KeyInfo) -> String {
    [Some(flat(key.doc)), awaits(key)].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// A doc comment as one line.
fn flat(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn code(text: &str) -> String {
    format!("`{text}`")
}
