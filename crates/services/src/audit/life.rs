//! The server's start and stop in the audit log, and crashes detected at the next start.
//!
//! The file `{data_dir}/running` exists from the start to a clean stop. If it exists at a start, the previous run
//! crashed.

use super::{Audit, AuditEvent, Outcome, Severity};
use std::path::{Path, PathBuf};

/// A running server; [`Life::end`] records its stop.
#[derive(Debug)]
pub struct Life {
    file: PathBuf,
}

impl Life {
    /// Records the start, and before it a crash of the previous run.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn begin(data_dir: &Path, audit: &Audit) -> std::io::Result<Self> {
        let file = data_dir.join("running");
        match std::fs::read_to_string(&file) {
            Ok(left) => {
                let died = AuditEvent::new("sys_crash", Outcome::Failure).severity(Severity::Alert);
                audit.record(died.reason("no_clean_shutdown").detail("last_life", left.trim()));
                tracing::warn!("the server's previous run did not stop cleanly");
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

    /// Records the stop and waits until everything is written and sealed.
    pub async fn end(self, audit: &Audit, reason: &str) {
        audit.record(AuditEvent::new("sys_shutdown", Outcome::Success).reason(reason));
        audit.close().await;
        let _gone = std::fs::remove_file(&self.file);
    }
}
