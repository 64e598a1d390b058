use super::{ChallengeError, Challenges, exact};

const NOW: u64 = 1_780_000_000_123;

fn challenges() -> Challenges {
    Challenges::new([7; 32], "https://chat.example".into())
}

/// Byte-exact, so that clients in other languages can rely on it. The MAC was computed by Python's hmac and hashlib.
#[test]
fn the_text_is_byte_exact() {
    let made = challenges().make_with("alice", NOW, [0xa5; 32]);
    assert_eq!(made.expires_at_ms, 1_780_000_060_000);
    assert_eq!(
        made.text,
        "fanfare-login-v1|https://chat.example|alice|paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU|1780000060|aeCzSzSEuq2VewlGCn9xPg"
    );
}

#[test]
fn a_valid_challenge_returns_its_nonce() {
    let challenges = challenges();
    let made = challenges.make_with("alice", NOW, [9; 32]);
    assert_eq!(challenges.check(&made.text, "alice", NOW), Ok([9; 32]));
    assert_eq!(challenges.check(&made.text, "alice", made.expires_at_ms - 1), Ok([9; 32]));
    assert_eq!(challenges.check(&made.text, "alice", made.expires_at_ms), Err(ChallengeError::Expired));
    assert_ne!(challenges.make("alice", NOW).text, challenges.make("alice", NOW).text);
}

#[test]
fn another_name_origin_or_key_is_wrong() {
    let (here, text) = (challenges(), challenges().make("alice", NOW).text);
    assert_eq!(here.check(&text, "bob", NOW), Err(ChallengeError::Wrong));
    assert_eq!(here.check(&text, "Alice", NOW), Err(ChallengeError::Wrong));
    let elsewhere = Challenges::new([7; 32], "https://evil.example".into());
    assert_eq!(elsewhere.check(&text, "alice", NOW), Err(ChallengeError::Wrong));
    let other = Challenges::new([8; 32], "https://chat.example".into());
    assert_eq!(other.check(&text, "alice", NOW), Err(ChallengeError::Wrong));
}

#[test]
fn no_changed_byte_is_accepted() {
    let challenges = challenges();
    let text = challenges.make("alice", NOW).text;
    for at in 0..text.len() {
        for byte in [b'A', b'|', b'0', b'9', b'=', b' ', text.as_bytes()[at] ^ 1] {
            let mut bytes = text.clone().into_bytes();
            if std::mem::replace(&mut bytes[at], byte) == byte {
                continue;
            }
            let Ok(bent) = String::from_utf8(bytes) else { continue };
            assert!(challenges.check(&bent, "alice", NOW).is_err(), "{bent}");
        }
        assert!(challenges.check(&text[..at], "alice", NOW).is_err());
    }
    for bent in
        [format!("{text}="), format!("{text}|"), format!(" {text}"), format!("{text}\n"), "|".repeat(5000)]
    {
        assert!(challenges.check(&bent, "alice", NOW).is_err(), "{bent}");
    }
}

#[test]
fn only_one_spelling_counts() {
    assert!(exact::<1>("_w").is_some());
    for text in ["/w", "_w==", "_x"] {
        assert!(exact::<1>(text).is_none(), "{text}");
    }
    let challenges = challenges();
    let plain = challenges.make("alice", NOW).text;
    assert_eq!(
        challenges.check(&plain.replace("|1780000060|", "|+1780000060|"), "alice", NOW),
        Err(ChallengeError::Malformed)
    );
    assert_eq!(
        challenges.check(&plain.replace("|1780000060|", "|01780000060|"), "alice", NOW),
        Err(ChallengeError::Malformed)
    );
}

#[test]
fn the_key_is_not_printed() {
    assert!(!format!("{:?}", challenges()).contains('7'));
}
