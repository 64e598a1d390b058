//! The rules of configuration, a table each, by theme.

mod effects;
mod loading;
mod mistakes;
mod pages;

use super::*;
use std::ffi::OsString;
use std::path::Path;

/// A folder of its own that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fanfare-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// No file, nothing but these variables and flags.
fn sources(env: &[(&str, &str)], set: &[&str]) -> Sources {
    Sources {
        folder: Path::new("/nonexistent").into(),
        env: env.iter().map(|(k, v)| (OsString::from(k), OsString::from(v))).collect(),
        set: set.iter().map(|s| (*s).to_owned()).collect(),
        ..Sources::default()
    }
}

fn set(set: &[&str]) -> Result<Config, ConfigError> {
    Config::load(&sources(&[], set)).map(|loaded| loaded.config)
}

fn env(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::load(&sources(env, &[])).map(|loaded| loaded.config)
}

fn line(result: Result<Config, ConfigError>) -> String {
    let text = result.unwrap_err().to_string();
    assert!(!text.contains('\n'), "one line: {text}");
    text
}

fn file(name: &str, text: &str) -> Result<Config, ConfigError> {
    let folder = Folder::new(name);
    let file = Some(folder.write("my.toml", text));
    Config::load(&Sources { file, ..sources(&[], &[]) }).map(|loaded| loaded.config)
}
