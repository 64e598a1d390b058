use super::{Claims, Keys, TokenError, Tokens};
use fanfare_e2ee::b64;
use serde_json::{Value, json};

const NOW: u64 = 1_780_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ORIGIN: &str = "https://chat.example";

fn tokens() -> Tokens {
    Tokens::new(Keys::from_secret(SECRET).unwrap(), ORIGIN.into(), vec!["http://localhost:8080".into()])
}

fn claims() -> Claims {
    Claims {
        sub: "u1".into(),
        sid: "s1".into(),
        jti: "j1".into(),
        iat: NOW,
        nbf: NOW,
        exp: NOW + 900,
        dev: Some("main".into()),
        name: "alice".into(),
        role: "user".into(),
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "at+jwt", "kid": Keys::from_secret(SECRET).unwrap().kid()})
}

fn body() -> Value {
    json!({"iss": ORIGIN, "aud": "fanfare-api", "sub": "u1", "sid": "s1", "jti": "j1", "iat": NOW, "nbf": NOW, "exp": NOW + 900,
        "name": "alice", "role": "user"})
}

/// A token signed by the right key, with any header and body.
fn forge(header: &str, body: &str) -> String {
    let signed = format!("{}.{}", b64::encode(header.as_bytes()), b64::encode(body.as_bytes()));
    let signature = Keys::from_secret(SECRET).unwrap().sign(signed.as_bytes());
    format!("{signed}.{}", b64::encode(&signature))
}

fn with(mut object: Value, name: &str, value: Value) -> String {
    object[name] = value;
    object.to_string()
}

fn without(mut object: Value, name: &str) -> String {
    object.as_object_mut().unwrap().remove(name);
    object.to_string()
}

#[track_caller]
fn refused(token: &str) {
    assert_eq!(tokens().verify(token, NOW), Err(TokenError::Invalid), "{token}");
}

/// Made by Python's hmac, hashlib and cryptography; PyJWT accepts it.
#[test]
fn a_token_is_byte_exact() {
    assert_eq!(tokens().sign(&claims()), include_str!("golden.jwt").trim());
}

#[test]
fn a_token_verifies_to_its_claims() {
    let tokens = tokens();
    let plain = Claims { dev: None, ..claims() };
    for claims in [claims(), plain] {
        let token = tokens.sign(&claims);
        assert_eq!(tokens.verify(&token, NOW), Ok(claims));
    }
    assert!(
        tokens.verify(&forge(&header().to_string(), &body().to_string()), NOW).is_ok(),
        "the token that `forge` changes is valid"
    );
}

#[test]
fn both_ends_of_the_validity_are_checked() {
    let (tokens, token) = (tokens(), tokens().sign(&claims()));
    assert!(tokens.verify(&token, NOW + 899).is_ok());
    assert_eq!(tokens.verify(&token, NOW + 900), Err(TokenError::Expired));
    assert!(tokens.verify(&token, NOW - 5).is_ok(), "another node's clock may be 5 s ahead");
    assert_eq!(tokens.verify(&token, NOW - 6), Err(TokenError::Invalid));
    refused(&forge(&header().to_string(), &with(body(), "nbf", json!(NOW + 6))));
    refused(&forge(&header().to_string(), &with(body(), "iat", json!(NOW + 6))));
}

#[test]
fn only_previous_origins_are_accepted_too() {
    let issued =
        |iss: &str| tokens().verify(&forge(&header().to_string(), &with(body(), "iss", json!(iss))), NOW);
    assert!(issued("http://localhost:8080").is_ok());
    for iss in [
        "https://evil.example",
        "https://chat.example/",
        "",
        "HTTPS://CHAT.EXAMPLE",
        "https://chat.example.evil",
    ] {
        assert_eq!(issued(iss), Err(TokenError::Invalid), "{iss}");
    }
}

#[test]
fn every_other_header_is_refused() {
    let valid = body().to_string();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("None")),
        ("alg", json!("HS256")),
        ("alg", json!("ES256")),
        ("alg", json!("Ed25519")),
        ("alg", json!("eddsa")),
        ("alg", json!(["EdDSA"])),
        ("alg", Value::Null),
        ("typ", json!("JWT")),
        ("typ", json!("AT+JWT")),
        ("typ", json!("application/at+jwt")),
        ("kid", json!("other")),
        ("kid", json!("../../etc/passwd")),
        ("kid", json!(1)),
        ("jku", json!("https://evil.example/keys")),
        ("jwk", json!({"kty": "OKP"})),
        ("x5u", json!("https://evil.example")),
        ("x5c", json!(["AA"])),
        ("crit", json!([])),
        ("crit", json!(["exp"])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("unknown", json!(1)),
    ] {
        refused(&forge(&with(header(), name, value), &valid));
    }
    for name in ["alg", "typ", "kid"] {
        refused(&forge(&without(header(), name), &valid));
    }
    let header = header().to_string();
    refused(&forge(&header.replacen('{', r#"{"alg":"EdDSA","#, 1), &valid));
    refused(&forge(&format!("[{header}]"), &valid));
}

#[test]
fn every_other_claim_is_refused() {
    let header = header().to_string();
    for name in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp", "name", "role"] {
        refused(&forge(&header, &without(body(), name)));
        refused(&forge(&header, &with(body(), name, Value::Null)));
        refused(&forge(&header, &with(body(), name, json!(["x"]))));
        let first = format!(r#"{{"{name}":{},"#, body()[name]);
        refused(&forge(&header, &body().to_string().replacen('{', &first, 1)));
    }
    for (name, value) in [
        ("aud", json!("other")),
        ("aud", json!(["fanfare-api"])),
        ("sub", json!("")),
        ("sid", json!("")),
        ("jti", json!("")),
        ("exp", json!(-1)),
        ("exp", json!(1_780_000_900.5)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(253_402_300_800_u64)),
        ("exp", json!("1780000900")),
        ("exp", json!(true)),
    ] {
        refused(&forge(&header, &with(body(), name, value)));
    }
}

/// The public key is public; used as an HMAC secret in any of its forms it must verify nothing.
#[test]
fn the_public_key_as_a_shared_secret_opens_nothing() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let keys = Keys::from_secret(SECRET).unwrap();
    let raw = keys.public_jwk();
    let raw: Value = serde_json::from_str(&raw).unwrap();
    let raw = b64::decode(raw["x"].as_str().unwrap()).unwrap();
    for secret in [keys.public_pem().as_bytes(), keys.public_pem().trim().as_bytes(), &raw] {
        let header = Header { kid: Some(keys.kid().into()), typ: Some("at+jwt".into()), ..Header::default() };
        refused(&encode(&header, &body(), &EncodingKey::from_secret(secret)).unwrap());
    }
}

#[test]
fn no_changed_or_added_byte_is_accepted() {
    let token = tokens().sign(&claims());
    for at in 0..token.len() {
        for byte in [b'A', b'.', b'=', b'+', token.as_bytes()[at] ^ 1, token.as_bytes()[at] ^ 2] {
            let mut bytes = token.clone().into_bytes();
            if std::mem::replace(&mut bytes[at], byte) != byte && byte.is_ascii() {
                refused(&String::from_utf8(bytes).unwrap());
            }
        }
    }
    let (signed, signature) = token.rsplit_once('.').unwrap();
    for bent in [
        format!("{token}."),
        format!("{token}.."),
        format!(".{token}"),
        format!("{token}="),
        format!("{token}=="),
        format!("{token} "),
        format!("{token}\n"),
        format!("{token}A"),
        format!("{signed}."),
        signed.to_owned(),
        format!("{signed}.{}", "A".repeat(86)),
        format!("{signed}.{signature}.{signature}"),
        String::new(),
    ] {
        refused(&bent);
    }
    refused(&forge(&header().to_string(), &with(body(), "name", json!("x".repeat(9000)))));
    refused(&"A".repeat(10_000_000));
}

/// A lenient verifier accepts `S` plus the group's order as the same signature.
#[test]
fn a_signature_has_one_spelling() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let token = tokens().sign(&claims());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = b64::decode(signature).unwrap();
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    refused(&format!("{signed}.{}", b64::encode(&bytes)));
}

#[test]
fn another_server_s_token_is_refused() {
    let other = Keys::from_secret("another secret of at least 32 bytes").unwrap();
    let kid = other.kid().to_owned();
    let other = Tokens::new(other, ORIGIN.into(), vec![]);
    refused(&other.sign(&claims()));
    // A key of another server with this server's name.
    let ours = Keys::from_secret(SECRET).unwrap();
    let header = header().to_string();
    assert!(header.contains(ours.kid()));
    refused(&forge(&header.replace(ours.kid(), &kid), &body().to_string()));
}
