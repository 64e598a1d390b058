//! The server's own life in the audit log: it started, it was stopped, or it had died before.
//!
//! The file `{data_dir}/running` is there from the start to a clean end. Found at a start, it means that the last life
//! ended without one.

use super::{Audit, AuditEvent, Outcome, Severity};
use std::path::{Path, PathBuf};

/// A running server; its end is told by [`Life::end`].
#[derive(Debug)]
pub struct Life {
    file: PathBuf,
}

impl Life {
    /// Tells the start, and before it the death of the life before, if it died.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn begin(data_dir: &Path, audit: &Audit) -> std::io::Result<Self> {
        let file = data_dir.join("running");
        match std::fs::read_to_string(&file) {
            Ok(left) => {
                let died = AuditEvent::new("sys_crash", Outcome::Failure).severity(Severity::Alert);
                audit.record(died.reason("no_clean_shutdown").detail("last_life", left.trim()));
                tracing::warn!("the server's last life had no clean end");
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let started = fanfare_core::time::rfc3339_ms(crate::clock::unix_ms());
        std::fs::write(&file, format!("version {} started {started}\n", crate::VERSION))?;
        let event = AuditEvent::new("sys_startup", Outcome::Success).detail("version", crate::VERSION);
        audit.record(event);
        Ok(Self { file })
    }

    /// Tells the end and waits until everything is written and sealed.
    pub async fn end(self, audit: &Audit, reason: &str) {
        audit.record(AuditEvent::new("sys_shutdown", Outcome::Success).reason(reason));
        audit.close().await;
        let _gone = std::fs::remove_file(&self.file);
    }
}
