//! What is printed: the default file, what is in force, the reference.

use super::*;
use crate::{print, reference};

#[test]
fn no_secret_is_shown() {
    const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let issuer = format!(
        "auth.issuers=[{{\"name\":\"a\",\"issuer\":\"i\",\"audience\":\"a\",\"hmac_secret\":\"{SECRET}\"}}]"
    );
    let hash = "5e".repeat(32);
    let key = format!("auth.api_keys=[{{\"name\":\"app\",\"hash\":\"{hash}\",\"scopes\":[\"admin\"]}}]");
    let env = [
        ("JWT_SECRET", SECRET),
        ("DATABASE_URL", "postgres://ann:hunter2@db/x"),
        ("REDIS_ADDR", "redis://:hunter2@cache"),
    ];
    let properties = "kafka.properties={\"sasl.password\":\"hunter2\"}";
    let loaded =
        Config::load(&sources(&env, &[&issuer, &key, properties, "limits.queue_messages=77"])).unwrap();
    let shown = print::show(&loaded);
    let as_json = print::json(&loaded.config);
    assert_eq!(as_json["limits"]["queue_messages"], 77);
    assert_eq!(as_json["auth"]["jwt_secret"], "***");
    assert!(as_json["tls"]["cert"].is_null() && as_json["data_dir"].is_string());
    for text in [&shown, &format!("{loaded:?}"), &as_json.to_string()] {
        assert!(!text.contains("hunter2") && !text.contains(&hash), "{text}");
    }
    for want in [
        "jwt_secret = \"***\" # JWT_SECRET",
        "url = \"postgres://ann:***@db/x\" # DATABASE_URL",
        "queue_messages = 77 # --set",
        "name = \"app\"",
        "\"sasl.password\" = \"***\"",
    ] {
        assert!(shown.contains(want), "{want} in {shown}");
    }
    for (name, value) in [
        ("JWT_SECRET", "hunter2"),
        ("DATABASE_URL", "oracle://hunter2"),
        ("REDIS_ADDR", "http://hunter2"),
        ("FANFARE__AUTH__API_KEYS", "[{\"name\":\"a\",\"hash\":\"hunter2\",\"scopes\":[]}]"),
    ] {
        let text = Config::load(&sources(&[(name, value)], &[])).unwrap_err().to_string();
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// A commented key of the default file, as the line it would be in force.
fn uncommented(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ")?;
    let (key, _) = line.split_once(" = ")?;
    (!key.contains([' ', '.'])).then_some(line)
}

#[test]
fn the_default_file_reads_back_as_the_defaults() {
    let text = print::default_toml();
    assert_eq!(file("default", &text).unwrap(), Config::default());
    // With every commented key in force it is the same again.
    let body = text.split("# A small dashboard").next().unwrap().replace("# [[topics.rules]]\n", "");
    let rules = ["pattern", "subscribe", "publish", "history "];
    let all: Vec<&str> = body
        .lines()
        .map(|l| uncommented(l).filter(|l| !rules.iter().any(|r| l.starts_with(r))).unwrap_or(l))
        .collect();
    let all = all.join("\n");
    assert!(all.contains("\nallow_query_token = true") && all.contains("\nredis_url = \"\""), "{all}");
    assert_eq!(file("default-all", &all).unwrap(), Config::default());
    for key in keys() {
        assert!(text.contains(&format!("{} = ", key.name)), "{}", key.path());
    }
}

#[test]
fn what_is_shown_of_the_defaults_reads_back() {
    let shown = print::show(&Config::load(&sources(&[], &[])).unwrap());
    assert_eq!(file("shown", &shown).unwrap(), Config::default());
}

/// The committed pages are what the table says; `FANFARE_WRITE_DOCS=1` writes them again.
#[test]
fn the_committed_pages_are_equal_to_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = [
        ("docs/configuration.md", reference::markdown()),
        ("fanfare.example.toml", print::default_toml()),
        (".env.example", reference::env_example()),
    ];
    for (name, want) in pages {
        if std::env::var_os("FANFARE_WRITE_DOCS").is_some() {
            std::fs::write(root.join(name), &want).unwrap();
        }
        let have = std::fs::read_to_string(root.join(name)).unwrap_or_default();
        assert!(have == want, "{name} is not what the table says: run the test with FANFARE_WRITE_DOCS=1");
    }
}

#[test]
fn every_key_is_once_in_the_table_and_says_what_it_does() {
    let paths: Vec<String> = keys().map(KeyInfo::path).collect();
    for (i, path) in paths.iter().enumerate() {
        assert!(!paths[..i].contains(path), "{path}");
    }
    let bare: Vec<_> = keys().filter_map(|key| key.bare).collect();
    assert_eq!(bare.len(), 17);
    for key in keys() {
        let doc = key.doc.trim();
        assert!(doc.ends_with('.') && doc.len() > 10, "{}", key.path());
        assert!(!key.name.contains("__"), "{}", key.path());
        // A section's name in the table is the one of its struct.
        assert!(
            SECTIONS.iter().any(|s| s.name == key.section && s.keys.iter().any(|k| k.path() == key.path())),
            "{}",
            key.path()
        );
    }
}

#[test]
fn the_pages_own_examples_are_accepted() {
    let page = reference::markdown();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        assert!(!file("example", block).unwrap().topics.rules.is_empty());
    }
    // The default file shows its rules in comments.
    let toml = print::default_toml();
    let (_, comments) = toml.split_once("# [[topics.rules]]\n").unwrap();
    let (rules, _) = comments.split_once("\n\n").unwrap();
    let rules: Vec<&str> = rules.lines().map(|line| line.trim_start_matches(['#', ' '])).collect();
    assert_eq!(
        file("rules", &format!("[[topics.rules]]\n{}", rules.join("\n"))).unwrap().topics.rules.len(),
        2
    );
}
