//! The newest published head of this node's chain, in the file `{data_dir}/audit.head`: an attacker who can only write
//! to the database cannot roll the chain back to an older head, because this file names the newer one.
//!
//! One line of JSON: `{"node":…,"seq":…,"hash":…}`. A backup leaves it out and a restore removes it, because a restored
//! store is older on purpose.

use super::event::hex;
use super::verify::unhex;
use crate::data_dir;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file, in the data folder.
pub const FILE: &str = "audit.head";

/// A row's number and hash; (0, zeros) before the first.
pub(super) type Head = (i64, [u8; 32]);

/// The stored newest head.
#[derive(Clone, Debug)]
pub struct Mark {
    data_dir: Option<PathBuf>,
}

#[derive(Deserialize, Serialize)]
struct Line {
    node: String,
    seq: i64,
    hash: String,
}

impl Mark {
    /// The mark of a data folder.
    pub fn of_folder(data_dir: &Path) -> Self {
        Self { data_dir: Some(data_dir.to_owned()) }
    }

    /// A mark that stores nothing.
    pub const fn none() -> Self {
        Self { data_dir: None }
    }

    /// The stored head of this node's chain.
    pub fn read(&self, node: &str) -> Option<Head> {
        let file = self.data_dir.as_ref()?.join(FILE);
        let text = std::fs::read_to_string(&file).ok()?;
        let parsed = serde_json::from_str::<Line>(&text).ok();
        let head = parsed.and_then(|line| Some((line.node == node, line.seq, unhex(&line.hash)?)));
        match head {
            Some((true, seq, hash)) => Some((seq, hash)),
            // It belongs to a chain of another name.
            Some((false, ..)) => None,
            None => {
                tracing::error!(file = %file.display(), "the newest head of the audit chain cannot be read from this file");
                None
            }
        }
    }

    /// Stores a head.
    pub(super) fn write(&self, node: &str, (seq, hash): Head) {
        let Some(folder) = &self.data_dir else { return };
        let line = Line { node: node.to_owned(), seq, hash: hex(&hash) };
        let text = serde_json::to_string(&line).unwrap_or_default() + "\n";
        if let Err(error) = data_dir::write_in(folder, FILE, text.as_bytes()) {
            tracing::warn!(%error, "the newest head of the audit chain cannot be written beside it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_stores_the_head_of_its_own_chain() {
        let dir = tempfile::tempdir().unwrap();
        let mark = Mark::of_folder(dir.path());
        assert_eq!(mark.read("n"), None);
        mark.write("n", (7, [9; 32]));
        assert_eq!(mark.read("n"), Some((7, [9; 32])));
        assert_eq!(mark.read("m"), None);
        std::fs::write(dir.path().join(FILE), "x").unwrap();
        assert_eq!(mark.read("n"), None);
        Mark::none().write("n", (1, [0; 32]));
        assert_eq!(Mark::none().read("n"), None);
    }
}
