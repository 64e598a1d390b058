//! Notices of administrators to everyone on `/ws/system` (`http-api.md` "Admin").

use crate::admin::Administrator;
use crate::ports::Sockets;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_core::ports::Info;

/// Maximum characters of a message.
pub const MAX_CHARS: usize = 2000;
/// The allowed severities.
const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The text.
    pub message: String,
    /// `info`, `warning` or `critical`.
    pub severity: &'static str,
}

impl Notice {
    /// Creates a notice of this text; `info` unless a severity is given.
    ///
    /// # Errors
    /// `INVALID_FIELD` that names `message` or `severity`.
    pub fn new(message: Option<&str>, severity: Option<&str>) -> Result<Self, Refusal> {
        let wrong = |field, why| Err(Refusal::new(ErrorCode::InvalidField, why).field(field));
        let sound = |m: &&str| (1..=MAX_CHARS).contains(&m.chars().count()) && !m.trim().is_empty();
        let Some(message) = message.filter(sound) else {
            return wrong("message", "message is a text of 1 to 2000 characters");
        };
        let severity = severity.unwrap_or(SEVERITIES[0]);
        match SEVERITIES.into_iter().find(|known| *known == severity) {
            Some(severity) => Ok(Self { message: message.to_owned(), severity }),
            None => wrong("severity", "severity is info, warning or critical"),
        }
    }
}

/// Sends a notice: an `info` with the code `NOTICE`.
pub fn send(by: &Administrator<'_>, sockets: &dyn Sockets, notice: &Notice) {
    sockets.notify_system(&Info::Notice { message: &notice.message, severity: notice.severity });
    let chars = notice.message.chars().count();
    by.did("notice", |event| event.detail("severity", notice.severity).detail("characters", chars));
}
