//! The vectors of `vectors/`, which are generated without this crate (`vectors/make.py`); clients in other languages
//! run the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use fanfare_e2ee::{
    EncryptionKey, IdentityKey, KeyKind, NO_PREVIOUS, b64, key_binding_text, key_log_hash, key_log_text, kid,
    pae, safety_number, verify, verify_key_binding,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

fn read<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    b64::decode_array(text).unwrap()
}

#[derive(Deserialize)]
struct Cases<T> {
    cases: Vec<T>,
}

#[test]
fn pae_is_paseto_s() {
    #[derive(Deserialize)]
    struct Case {
        pieces: Vec<String>,
        pae: String,
    }
    let cases = read::<Cases<Case>>("pae.json").cases;
    assert_eq!(cases.len(), 7);
    for case in cases {
        let pieces: Vec<Vec<u8>> = case.pieces.iter().map(|piece| b64::decode(piece).unwrap()).collect();
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        assert_eq!(b64::encode(&pae(&pieces)), case.pae);
    }
}

#[test]
fn base64_is_read_strictly() {
    #[derive(Deserialize)]
    struct Good {
        text: String,
        hex: String,
    }
    #[derive(Deserialize)]
    struct File {
        good: Vec<Good>,
        bad: Vec<String>,
    }
    let File { good, bad } = read("base64.json");
    assert!(good.len() >= 7 && bad.len() >= 14);
    for Good { text, hex } in good {
        let bytes = b64::decode(&text).unwrap();
        assert_eq!(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>(), hex, "{text}");
    }
    for text in bad {
        assert!(b64::decode(&text).is_err(), "{text:?}");
    }
}

#[test]
fn key_ids() {
    #[derive(Deserialize)]
    struct Case {
        kind: String,
        key: String,
        kid: String,
    }
    let cases = read::<Cases<Case>>("kid.json").cases;
    assert_eq!(cases.len(), 6);
    for case in cases {
        let kind = if case.kind == "ed25519" { KeyKind::Ed25519 } else { KeyKind::X25519 };
        assert_eq!(kid(kind, &array(&case.key)), case.kid);
    }
}

#[derive(Deserialize)]
struct Binding {
    server_id: String,
    username: String,
    device_id: String,
    ik: String,
    ek: String,
    key_binding: String,
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    why: String,
}

impl Binding {
    fn holds(&self) -> bool {
        let Self { server_id, username, device_id, .. } = self;
        let ik = IdentityKey::new(array(&self.ik)).unwrap();
        let ek = EncryptionKey::new(array(&self.ek)).unwrap();
        verify_key_binding(server_id, username, device_id, &ik, &ek, &array(&self.key_binding))
    }
}

#[test]
fn key_bindings() {
    #[derive(Deserialize)]
    struct File {
        good: Vec<Binding>,
        bad: Vec<Binding>,
    }
    let File { good, bad } = read("key-binding.json");
    assert_eq!((good.len(), bad.len()), (3, 10));
    for case in good {
        let text = key_binding_text(
            &case.server_id,
            &case.username,
            &case.device_id,
            &array(&case.ik),
            &array(&case.ek),
        );
        assert_eq!(Some(b64::encode(&text)), case.text);
        assert!(case.holds());
    }
    for case in bad {
        assert!(!case.holds(), "{}", case.why);
    }
}

#[test]
fn a_key_log_is_a_chain() {
    #[derive(Deserialize)]
    struct Entry {
        n: u64,
        action: String,
        ik: String,
        ek: String,
        key_binding: Option<String>,
        prev_hash: String,
        rotation: Option<String>,
        text: String,
        hash: String,
    }
    #[derive(Deserialize)]
    struct File {
        server_id: String,
        username: String,
        entries: Vec<Entry>,
    }
    let File { server_id, username, entries } = read("key-log.json");
    assert_eq!(entries.len(), 3);
    let (mut last, mut signer) = (NO_PREVIOUS, None::<IdentityKey>);
    for entry in entries {
        let (ik, ek) = (array(&entry.ik), array(&entry.ek));
        let binding = entry.key_binding.as_deref().map(array::<64>);
        assert_eq!(array::<32>(&entry.prev_hash), last);
        let text =
            key_log_text(&server_id, &username, entry.n, &entry.action, &ik, &ek, binding.as_ref(), &last);
        assert_eq!(b64::encode(&text), entry.text);
        let rotation = entry.rotation.as_deref().map(array::<64>);
        if let Some(signature) = &rotation {
            assert!(verify(&signer.unwrap(), &text, signature));
            assert!(!verify(&IdentityKey::new(ik).unwrap(), &text, signature), "not by the new key");
        }
        last = key_log_hash(&text, rotation.as_ref());
        assert_eq!(b64::encode(&last), entry.hash);
        assert_ne!(last, key_log_hash(&text, Some(&[0; 64])));
        signer = Some(IdentityKey::new(ik).unwrap());
    }
}

#[test]
fn safety_numbers() {
    #[derive(Deserialize)]
    struct Device {
        ik: String,
        ek: String,
    }
    #[derive(Deserialize)]
    struct User {
        username: String,
        devices: Vec<Device>,
    }
    #[derive(Deserialize)]
    struct Case {
        a: User,
        b: User,
        number: String,
    }
    let keys = |user: &User| -> Vec<_> {
        user.devices.iter().map(|device| (array(&device.ik), array(&device.ek))).collect()
    };
    let cases = read::<Cases<Case>>("safety-number.json").cases;
    assert_eq!(cases.len(), 3);
    for Case { a, b, number } in cases {
        let (mut of_a, of_b) = (keys(&a), keys(&b));
        assert_eq!(safety_number((&a.username, &of_a), (&b.username, &of_b)), number);
        assert_eq!(safety_number((&b.username, &of_b), (&a.username, &of_a)), number, "in either order");
        assert!(number.len() == 60 && number.bytes().all(|b| b.is_ascii_digit()));
        of_a.reverse();
        assert_eq!(
            safety_number((&a.username, &of_a), (&b.username, &of_b)),
            number,
            "devices in either order"
        );
        of_a[0].1[0] ^= 1;
        assert_ne!(safety_number((&a.username, &of_a), (&b.username, &of_b)), number);
    }
}
