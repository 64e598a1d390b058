//! Users of tests: registered, logged in, with keys; and tokens created explicitly.

use crate::support::start;
use ed25519_dalek::{Signer, SigningKey};
use fanfare_e2ee::b64;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::Server;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::{SystemTime, UNIX_EPOCH};

/// A password that passes.
pub(crate) const PASSWORD: &str = "Quiet-Otter-swims-9-miles";

/// A server without limits on logins, with these settings.
#[track_caller]
pub(crate) fn roomy(settings: &[(&str, &str)]) -> Server {
    let mut all = vec![
        ("limits.login_per_minute", "0"),
        ("limits.register_per_minute", "0"),
        ("limits.tickets_per_minute", "0"),
        ("store.durability", "process-safe"),
    ];
    all.extend_from_slice(settings);
    start(&all)
}

/// A request with a JSON body.
pub(crate) fn send(method: &str, target: &str, body: &Value) -> Request {
    Request::post(target, &body.to_string()).method(method)
}

/// The same with a bearer token.
pub(crate) fn with_token(request: Request, token: &str) -> Request {
    request.header("Authorization", &format!("Bearer {token}"))
}

/// A request without a body.
pub(crate) fn bare(method: &str, target: &str) -> Request {
    Request::get(target).method(method)
}

/// Registers; the answer.
#[track_caller]
pub(crate) fn register(server: &Server, body: &Value) -> Answer {
    server.post("/auth/register", body)
}

/// Somebody with a password, logged in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) token: String,
    pub(crate) refresh: String,
}

impl Person {
    /// Registers and logs in.
    #[track_caller]
    pub(crate) fn new(server: &Server, name: &str) -> Self {
        let made = register(server, &json!({ "username": name, "password": PASSWORD }));
        assert_eq!(made.status, 201, "{made:?}");
        Self::login(server, name, PASSWORD)
    }

    /// Logs in.
    #[track_caller]
    pub(crate) fn login(server: &Server, name: &str, password: &str) -> Self {
        let answer = server.post("/auth/login", &json!({ "username": name, "password": password }));
        assert_eq!(answer.status, 200, "{answer:?}");
        let tokens = answer.json();
        let text = |field: &str| tokens[field].as_str().unwrap().to_owned();
        Self { token: text("access_token"), refresh: text("refresh_token") }
    }

    /// Sends a request as this person.
    #[track_caller]
    pub(crate) fn ask(&self, server: &Server, request: Request) -> Answer {
        with_token(request, &self.token).send(server.addr())
    }

    #[track_caller]
    pub(crate) fn get(&self, server: &Server, target: &str) -> Answer {
        self.ask(server, Request::get(target))
    }

    #[track_caller]
    pub(crate) fn me(&self, server: &Server) -> Answer {
        self.get(server, "/auth/me")
    }
}

/// A pair of identity and encryption keys.
pub(crate) struct Keys {
    pub(crate) signing: SigningKey,
    pub(crate) ek: [u8; 32],
}

impl Keys {
    /// Keys of this seed; the private part of the encryption key is unknown.
    pub(crate) fn new(seed: u8) -> Self {
        let mut ek = [seed; 32];
        ek[31] &= 0x7f;
        Self { signing: SigningKey::from_bytes(&[seed; 32]), ek }
    }

    pub(crate) fn ik(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.signing.sign(text).to_bytes()
    }

    /// The binding of both under a server's id.
    pub(crate) fn binding(&self, server_id: &str, name: &str, device: &str) -> [u8; 64] {
        self.sign(&fanfare_e2ee::key_binding_text(server_id, name, device, &self.ik(), &self.ek))
    }

    /// The members of a body.
    pub(crate) fn body(&self, name: &str) -> Value {
        json!({
            "username": name,
            "public_key": b64::encode(&self.ik()),
            "x25519_public_key": b64::encode(&self.ek),
            "key_binding": b64::encode(&self.binding(SERVER_ID, name, "main")),
        })
    }
}

/// The id of a server on this loopback address.
pub(crate) const SERVER_ID: &str = "127.0.0.1";

/// Asks for a challenge.
#[track_caller]
pub(crate) fn challenge(server: &Server, name: &str) -> String {
    let answer = server.post("/auth/login", &json!({ "username": name }));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["challenge"].as_str().unwrap().to_owned()
}

/// Answers a challenge.
#[track_caller]
pub(crate) fn verify(server: &Server, name: &str, challenge: Option<&str>, signature: &[u8]) -> Answer {
    let mut body = json!({ "username": name, "signature": b64::encode(signature) });
    if let Some(text) = challenge {
        body["challenge"] = text.into();
    }
    server.post("/auth/login?verify=true", &body)
}

/// Seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A JWT created explicitly; `sign` maps the signing input to the signature.
pub(crate) fn jwt(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| b64::encode(value.to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = b64::encode(&sign(text.as_bytes()));
    format!("{text}.{signature}")
}

/// HMAC-SHA256.
pub(crate) fn hs256(secret: &[u8], text: &[u8]) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(secret).unwrap().chain_update(text).finalize().into_bytes().to_vec()
}

/// Everything of an answer that must not differ between two answers: the body without the request's id, and the names
/// of the headers.
#[track_caller]
pub(crate) fn likeness(answer: &Answer) -> (u16, String, Vec<String>) {
    let id = answer.head.get("x-request-id").unwrap();
    let names = answer.head.headers.iter().map(|(name, _)| name.clone()).collect();
    (answer.status, answer.text().replace(id, "ID"), names)
}
