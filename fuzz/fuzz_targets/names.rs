//! Any text as a session's code, a resume token, a user's name, a JSON pointer and a JSON number: no panic, and what is read has
//! one way to be written.
#![no_main]

use fanfare_auth::username;
use fanfare_core::feeds::is_pointer;
use fanfare_core::session::{Resume, SessionCode, SessionLimits, Sessions};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const NOW: u64 = 1_780_000_000_000;

/// Sessions with one that is open, and its code and token.
static SESSIONS: LazyLock<(Sessions, String, String)> = LazyLock::new(|| {
    let limits =
        SessionLimits { ttl_ms: 1 << 40, detached_ttl_ms: 1 << 40, max: 10, max_data_bytes: 1000, ..Default::default() };
    let sessions = Sessions::new(limits, &[7; 32]);
    let opened = sessions.open(Some("alice"), NOW).expect("there is room");
    (sessions, opened.code.to_string(), opened.token)
});

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(code) = SessionCode::parse(text) {
        assert!(SessionCode::has_form(text));
        assert_eq!(SessionCode::parse(&code.to_string()), Some(code));
        assert!(code.to_string().eq_ignore_ascii_case(text));
    }
    if let Ok(name) = username::parse(text) {
        assert!(name.eq_ignore_ascii_case(text) && username::parse(&name).as_deref() == Ok(name.as_str()));
    }
    let (sessions, code, token) = &*SESSIONS;
    let bent = format!("{text}{}", token.get(text.len()..).unwrap_or_default());
    for token in [text, &bent].into_iter().filter(|bent| bent != token) {
        assert!(sessions.resume(Resume { code, token, user: None }, NOW).is_err(), "nobody sealed {token:?}");
    }
    if is_pointer(text) {
        assert!(text.is_empty() || text.starts_with('/'));
    }
    if let Some(number) = fanfare_json::integer(text) {
        assert_eq!(fanfare_json::integer(&number.to_string()), Some(number));
    }
});
