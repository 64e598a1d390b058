use super::{Actions, IssuerConfig, IssuerError, IssuerKey, Issuers, Login, Subscription};
use crate::issuers::key::Key;
use fanfare_e2ee::b64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

const NOW: u64 = 1_780_000_000;
const SECRET: &str = "a shared secret of at least 32 bytes";
/// Key pairs made for these tests: (algorithm, private PKCS#8, public).
const PAIRS: [(Algorithm, &str, &str); 3] = [
    (Algorithm::EdDSA, include_str!("testdata/ed25519.key"), include_str!("testdata/ed25519.pem")),
    (Algorithm::ES256, include_str!("testdata/p256.key"), include_str!("testdata/p256.pem")),
    (Algorithm::RS256, include_str!("testdata/rsa2048.key"), include_str!("testdata/rsa2048.pem")),
];

fn row(key: IssuerKey) -> IssuerConfig {
    IssuerConfig {
        name: "shop".into(),
        issuer: "https://shop.example/".into(),
        audience: "live".into(),
        user_claim: "sub".into(),
        key,
    }
}

fn shop() -> Issuers {
    Issuers::new(vec![row(IssuerKey::Hmac(SECRET.into()))]).unwrap()
}

fn claims() -> Value {
    json!({"iss": "https://shop.example/", "aud": "live", "iat": NOW, "exp": NOW + 600, "sub": "zoe"})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn sign(claims: &Value) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// Any header and payload, signed with the secret.
fn forge(header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", b64::encode(header.as_bytes()), b64::encode(payload.as_bytes()));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    format!("{signed}.{}", jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap())
}

async fn login(claims: &Value) -> Result<Login, IssuerError> {
    shop().login(&sign(claims), NOW).await
}

fn encoding_key(algorithm: Algorithm, pem: &str) -> EncodingKey {
    match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()).unwrap(),
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
    }
}

#[tokio::test]
async fn each_kind_of_key_verifies_its_own_algorithm_only() {
    for (algorithm, private, public) in PAIRS {
        let issuers = Issuers::new(vec![row(IssuerKey::Pem(public.into()))]).unwrap();
        let header = Header { kid: Some("any".into()), ..Header::new(algorithm) };
        let valid = encode(&header, &claims(), &encoding_key(algorithm, private)).unwrap();
        assert_eq!(issuers.login(&valid, NOW).await.unwrap().username, "shop:zoe");
        // The public key as a shared secret, in both available forms.
        for secret in [public.as_bytes(), public.trim().as_bytes()] {
            let forged = encode(&Header::default(), &claims(), &EncodingKey::from_secret(secret)).unwrap();
            assert_eq!(issuers.login(&forged, NOW).await, Err(IssuerError::Invalid));
        }
        for (other, private, _) in PAIRS.into_iter().filter(|pair| pair.0 != algorithm) {
            let forged = encode(&Header::new(other), &claims(), &encoding_key(other, private)).unwrap();
            assert_eq!(issuers.login(&forged, NOW).await, Err(IssuerError::Invalid), "{other:?}");
        }
        let (signed, _) = valid.rsplit_once('.').unwrap();
        for bent in [format!("{signed}.AAAA"), format!("{valid}."), format!("{signed}.")] {
            assert_eq!(issuers.login(&bent, NOW).await, Err(IssuerError::Invalid));
        }
    }
}

#[tokio::test]
async fn a_login_has_its_user_and_expiry() {
    let found = login(&with("jti", json!("t1"))).await.unwrap();
    let expected = Login {
        issuer: "shop".into(),
        username: "shop:zoe".into(),
        claim: "zoe".into(),
        exp: NOW + 600,
        jti: Some("t1".into()),
        iat: Some(NOW),
    };
    assert_eq!(found, expected);
    assert_eq!(login(&without("iat")).await.unwrap().iat, None);
    assert!(login(&with("aud", json!(["other", "live"]))).await.is_ok(), "RFC 7519 4.1.3");
    assert!(login(&with("sub", json!("ü".repeat(200)))).await.is_ok());
    assert!(shop().knows(&sign(&claims())));
    assert!(!shop().knows(&sign(&with("iss", json!("https://other.example")))) && !shop().knows("a.b.c"));
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    for name in ["iss", "aud", "exp", "sub"] {
        assert_eq!(login(&without(name)).await, Err(IssuerError::Invalid), "{name}");
    }
    for (name, value) in [
        ("iss", json!("https://shop.example")),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(["live", 1])),
        ("aud", json!({"live": true})),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!("x".repeat(201))),
        ("sub", json!("a\nb")),
        ("sub", json!("a\u{0}")),
        ("exp", json!(-1)),
        ("exp", json!(-0.5)),
        ("exp", json!(1e300)),
        ("exp", json!(u64::MAX)),
        ("exp", json!("1780000600")),
        ("nbf", json!(NOW + 6)),
        ("nbf", json!("soon")),
        ("iat", json!(NOW + 6)),
        ("iat", json!(-5)),
        ("jti", json!(5)),
        ("jti", json!("x".repeat(257))),
        ("topic", json!("a subscription token cannot log in")),
        ("topic", Value::Null),
    ] {
        assert_eq!(login(&with(name, value.clone())).await, Err(IssuerError::Invalid), "{name} {value}");
    }
    assert_eq!(login(&with("exp", json!(NOW))).await, Err(IssuerError::Expired));
    assert!(login(&with("nbf", json!(NOW + 5))).await.is_ok());
}

#[tokio::test]
async fn only_a_genuine_token_is_called_expired() {
    let expired = with("exp", json!(NOW - 1));
    let forged = encode(&Header::default(), &expired, &EncodingKey::from_secret(b"another secret")).unwrap();
    assert_eq!(shop().login(&forged, NOW).await, Err(IssuerError::Invalid));
    assert_eq!(shop().login(&sign(&expired), NOW).await, Err(IssuerError::Expired));
}

#[tokio::test]
async fn wrong_headers_are_refused() {
    let payload = claims().to_string();
    let check = async |header: Value| shop().login(&forge(&header.to_string(), &payload), NOW).await.is_ok();
    for typ in ["JWT", "jwt", "at+jwt", "application/jwt"] {
        assert!(check(json!({"alg": "HS256", "typ": typ, "kid": "k", "x5t": "AA"})).await, "{typ}");
    }
    assert!(check(json!({"alg": "HS256"})).await);
    for header in [
        json!({}),
        json!({"alg": "none"}),
        json!({"alg": "NONE"}),
        json!({"alg": "hs256"}),
        json!({"alg": "HS384"}),
        json!({"alg": "RS256"}),
        json!({"alg": "EdDSA"}),
        json!({"alg": null}),
        json!({"alg": "HS256", "typ": "logout+jwt"}),
        json!({"alg": "HS256", "typ": 1}),
        json!({"alg": "HS256", "kid": 1}),
        json!({"alg": "HS256", "crit": ["exp"]}),
        json!({"alg": "HS256", "jku": "http://evil.example"}),
        json!({"alg": "HS256", "jwk": {}}),
        json!({"alg": "HS256", "x5u": ""}),
        json!({"alg": "HS256", "x5c": []}),
    ] {
        assert!(!check(header.clone()).await, "{header}");
    }
    let (header, twice) = (r#"{"alg":"HS256"}"#, payload.replacen('{', r#"{"exp":1,"#, 1));
    assert_eq!(shop().login(&forge(header, &twice), NOW).await, Err(IssuerError::Invalid));
    let nested = format!(r#"{{"a":{}1{},{}"#, "[".repeat(3000), "]".repeat(3000), &payload[1..]);
    assert_eq!(shop().login(&forge(header, &nested), NOW).await, Err(IssuerError::Invalid));
    let huge = with("x", json!("x".repeat(8192)));
    assert_eq!(login(&huge).await, Err(IssuerError::Invalid));
}

#[tokio::test]
async fn subscription_tokens() {
    let check = async |more: Value| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        shop().subscription(&sign(&claims), NOW).await
    };
    let actions = |subscribe, history, publish| Actions { subscribe, history, publish };
    let found = check(json!({"topic": "token/a"})).await.unwrap();
    let expected = Subscription {
        issuer: "shop".into(),
        sub: "zoe".into(),
        topic: "token/a".into(),
        actions: actions(true, true, false),
        exp: NOW + 600,
    };
    assert_eq!(found, expected);
    for (words, expected) in [
        (json!([]), actions(false, false, false)),
        (json!(["publish"]), actions(false, false, true)),
        (json!(["subscribe", "history", "publish"]), actions(true, true, true)),
    ] {
        assert_eq!(check(json!({"topic": "t", "actions": words})).await.unwrap().actions, expected);
    }
    for invalid in [
        json!({}),
        json!({"topic": ""}),
        json!({"topic": 1}),
        json!({"topic": "t", "sub": ""}),
        json!({"topic": "t", "sub": null}),
        json!({"topic": "t", "aud": "other"}),
        json!({"topic": "t", "actions": "publish"}),
        json!({"topic": "t", "actions": null}),
        json!({"topic": "t", "actions": ["admin"]}),
        json!({"topic": "t", "actions": [1]}),
    ] {
        assert_eq!(check(invalid.clone()).await, Err(IssuerError::Invalid), "{invalid}");
    }
    assert_eq!(check(json!({"topic": "t", "exp": NOW})).await, Err(IssuerError::Expired));
}

#[tokio::test]
async fn the_user_is_the_claim_that_the_row_names_and_the_issuer_its_own() {
    let rows = vec![
        row(IssuerKey::Hmac(SECRET.into())),
        IssuerConfig {
            name: "desk".into(),
            issuer: "https://desk.example/".into(),
            user_claim: "uid".into(),
            ..row(IssuerKey::Hmac("another secret of at least 32 bytes".into()))
        },
    ];
    let issuers = Issuers::new(rows).unwrap();
    let mut claims = claims();
    claims["uid"] = json!("ida");
    assert_eq!(issuers.login(&sign(&claims), NOW).await.unwrap().username, "shop:zoe");
    claims["iss"] = json!("https://desk.example/");
    assert_eq!(
        issuers.login(&sign(&claims), NOW).await,
        Err(IssuerError::Invalid),
        "one issuer's key under another's name"
    );
    let key = EncodingKey::from_secret(b"another secret of at least 32 bytes");
    let token = encode(&Header::default(), &claims, &key).unwrap();
    assert_eq!(issuers.login(&token, NOW).await.unwrap().username, "desk:ida");
}

#[test]
fn errors_name_the_invalid_row() {
    let valid = || row(IssuerKey::Hmac(SECRET.into()));
    let wrong = |rows| Issuers::new(rows).unwrap_err();
    let pem = |text: &str| row(IssuerKey::Pem(text.into()));
    for (rows, why) in [
        (vec![row(IssuerKey::Hmac("short".into()))], "hmac_secret"),
        (vec![IssuerConfig { name: "a:b".into(), ..valid() }], "name"),
        (vec![IssuerConfig { name: String::new(), ..valid() }], "name"),
        (vec![IssuerConfig { issuer: String::new(), ..valid() }], "`issuer`"),
        (vec![IssuerConfig { audience: String::new(), ..valid() }], "audience"),
        (vec![IssuerConfig { user_claim: String::new(), ..valid() }], "user_claim"),
        (vec![valid(), valid()], "two have this name"),
        (vec![valid(), IssuerConfig { name: "other".into(), ..valid() }], "same `issuer`"),
        (vec![pem("nonsense")], "public_key"),
        (vec![pem(PAIRS[0].1)], "private key"),
        (vec![pem(include_str!("testdata/rsa1024.pem"))], "2048"),
        (vec![pem(include_str!("testdata/p384.pem"))], "P-256"),
        (vec![row(IssuerKey::Jwks("nonsense".into()))], "jwks_url"),
        (vec![row(IssuerKey::Jwks("ftp://a.example/".into()))], "https:"),
        (vec![row(IssuerKey::Jwks("https://u:p@a.example/".into()))], "without a user"),
    ] {
        let said = wrong(rows);
        assert!(said.contains(why) && said.contains("issuer"), "{said}");
        assert!(!said.contains("short") || why != "hmac_secret" || !said.contains("\"short\""), "{said}");
    }
    assert!(row(IssuerKey::Jwks("http://a.example/".into())).is_plain_http());
    assert!(!row(IssuerKey::Jwks("https://a.example/".into())).is_plain_http() && !valid().is_plain_http());
    assert!(!format!("{:?} {:?}", valid(), Issuers::new(vec![valid()])).contains("shared secret"));
}

#[test]
fn members_of_a_set_that_are_not_for_verifying_are_skipped() {
    let (ed, ec) = (include_str!("testdata/ed25519.jwk"), include_str!("testdata/p256.jwk"));
    let member = |text: &str, name: &str, value: Value| {
        let mut jwk: Value = serde_json::from_str(text).unwrap();
        jwk[name] = value;
        Key::jwk(jwk.as_object().unwrap()).is_ok()
    };
    for text in [ed, ec, include_str!("testdata/rsa2048.jwk")] {
        assert!(member(text, "kid", json!("k")));
        assert!(!member(text, "use", json!("enc")));
        assert!(!member(text, "key_ops", json!(["encrypt"])));
        assert!(!member(text, "alg", json!("HS256")));
        assert!(!member(text, "kty", json!("oct")));
    }
    assert!(!member(ed, "crv", json!("X25519")) && !member(ed, "x", json!("AA")));
    let identity = b64::encode(&[&[1][..], &[0; 31]].concat());
    assert!(!member(ed, "x", json!(identity)), "a weak key");
    assert!(!member(ec, "crv", json!("P-384")) && !member(ec, "y", json!("AA")));
    assert!(!member(include_str!("testdata/rsa2048.jwk"), "n", json!("AQAB")));
    let oct = json!({"kty": "oct", "k": b64::encode(SECRET.as_bytes()), "kid": "k", "alg": "HS256"});
    assert_eq!(Key::jwk(oct.as_object().unwrap()).unwrap_err(), "key", "no shared secrets in a public set");
}

/// Issue 10, entry 24: members that RFC 7517 allows to ignore do not invalidate the key.
#[test]
fn empty_optional_members_are_ignored() {
    let plain: Value = serde_json::from_str(include_str!("testdata/p256.jwk")).unwrap();
    for name in ["use", "key_ops", "alg", "kid", "x5u", "x5c", "x5t", "x5t#S256", "ext", "exp"] {
        for empty in [Value::Null, json!(""), json!([])] {
            let mut jwk = plain.clone();
            jwk[name] = empty.clone();
            let read = Key::jwk(jwk.as_object().unwrap());
            assert!(read.is_ok(), "{name} {empty}: {:?}", read.err());
            assert!(name != "kid" || read.unwrap().0.is_none(), "a key without a name");
        }
    }
    for (name, value) in
        [("x5c", json!(["AA", 5])), ("x5u", json!(5)), ("key_ops", json!(["verify", "other", 1]))]
    {
        let mut jwk = plain.clone();
        jwk[name] = value;
        assert!(Key::jwk(jwk.as_object().unwrap()).is_ok(), "{name}");
    }
    for (name, value) in [
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!("verify")),
        ("alg", json!("ES384")),
    ] {
        let mut jwk = plain.clone();
        jwk[name] = value;
        assert_eq!(Key::jwk(jwk.as_object().unwrap()).unwrap_err(), name);
    }
}

/// The log names the check that rejected a token.
#[tokio::test]
async fn a_refusal_names_its_check() {
    let check = async |token: String| {
        shop().judged(&token, |rules, claims| rules.login(claims, NOW)).await.unwrap_err().check
    };
    for (name, value) in [
        ("iss", json!("https://other.example")),
        ("aud", json!("other")),
        ("exp", json!(NOW)),
        ("exp", json!("soon")),
        ("nbf", json!(NOW + 6)),
        ("iat", json!(NOW + 6)),
        ("jti", json!(5)),
        ("topic", json!("t")),
    ] {
        assert_eq!(check(sign(&with(name, value.clone()))).await, name, "{value}");
    }
    assert_eq!(check(sign(&with("sub", json!("")))).await, "user claim");
    assert_eq!(check("a.b".into()).await, "form");
    let payload = claims().to_string();
    for (header, name) in [
        (json!({"alg": "none"}), "algorithm"),
        (json!({"alg": "RS256"}), "algorithm"),
        (json!({"alg": "HS256", "typ": "logout+jwt"}), "typ"),
        (json!({"alg": "HS256", "kid": 5}), "kid"),
        (json!({"alg": "HS256", "crit": ["b64"]}), "header"),
    ] {
        assert_eq!(check(forge(&header.to_string(), &payload)).await, name, "{header}");
    }
    let other = EncodingKey::from_secret(b"another secret of at least 32 bytes");
    assert_eq!(check(encode(&Header::default(), &claims(), &other).unwrap()).await, "signature");
}
