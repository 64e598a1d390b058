//! Warnings that clients could cause without end, such as refused origins: each is logged once a minute, and only a few
//! of them.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// Interval in which a subject is logged once.
const EVERY: Duration = Duration::from_secs(60);
/// Maximum subjects logged in [`EVERY`].
const MAX: usize = 16;

/// The subjects that were logged within the last minute.
#[derive(Debug, Default)]
pub(crate) struct RepeatedWarnings(Mutex<Vec<(String, Instant)>>);

impl RepeatedWarnings {
    /// Whether a warning about this subject is to be logged now; if so, it counts as logged.
    pub(crate) fn is_due(&self, subject: &str, now: Instant) -> bool {
        let mut logged = self.0.lock();
        logged.retain(|(_, at)| now.duration_since(*at) < EVERY);
        let due = logged.len() < MAX && !logged.iter().any(|(known, _)| known == subject);
        if due {
            logged.push((subject.to_owned(), now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_is_logged_once_a_minute_and_not_more_than_a_few() {
        let (refused, start) = (RepeatedWarnings::default(), Instant::now());
        assert!(refused.is_due("http://a", start) && refused.is_due("http://b", start));
        assert!(!refused.is_due("http://a", start + EVERY / 2));
        assert!(refused.is_due("http://a", start + EVERY));
        let later = start + 3 * EVERY;
        let logged = (0..1000).filter(|n| refused.is_due(&format!("http://{n}"), later)).count();
        assert_eq!(logged, MAX);
    }
}
