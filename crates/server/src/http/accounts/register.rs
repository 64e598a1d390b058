//! `POST /auth/register`.

use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::fields::Fields;
use super::{answer, pass};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use fanfare_services::accounts::{Gate, NewKeys, Registration};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Members of [`Register`].
const MEMBERS: [&str; 6] =
    ["username", "password", "public_key", "x25519_public_key", "device_id", "key_binding"];

/// A registration with a password, with keys, or both. Keys are sent as `public_key` (Ed25519) and `x25519_public_key`,
/// base64url of 32 bytes each, with `device_id` (`main` by default) and `key_binding`, the identity key's signature
/// over both (docs/auth.md).
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct Register {
    /// Becomes lower case; some names are reserved.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{2,31}$", example = "alice")]
    username: String,
    /// At least `auth.min_password_length` characters; common ones are refused.
    #[schema(min_length = 8, max_length = 128, example = "Quiet-Otter-swims-9-miles")]
    password: String,
    /// Ed25519 identity key, base64url of 32 bytes.
    #[schema(ignore)]
    public_key: Option<String>,
    /// X25519 encryption key, base64url of 32 bytes.
    #[schema(ignore)]
    x25519_public_key: Option<String>,
    /// Name of the device of the keys; `main` by default.
    #[schema(ignore)]
    device_id: Option<String>,
    /// The identity key's signature over both keys, base64url of 64 bytes.
    #[schema(ignore)]
    key_binding: Option<String>,
}

/// A created account.
#[derive(Serialize, ToSchema)]
pub(super) struct RegisterAnswer {
    /// Its id.
    id: String,
    /// Its name in lower case.
    #[schema(example = "alice")]
    username: String,
    /// The device of its keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<String>,
}

/// Creates an account. It returns no token: log in next.
#[utoipa::path(post, path = "/auth/register", tag = "Accounts", operation_id = "register", request_body(content = Register, examples(
    ("password" = (summary = "With a password", value = json!({ "username": "alice", "password": "Quiet-Otter-swims-9-miles" }))),
    ("keys" = (summary = "With keys", value = json!({ "username": "bob",
        "public_key": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "x25519_public_key": "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo" }))))), params(
    ("Idempotency-Key" = Option<String>, Header, description = "A repeat gets the first answer", min_length = 1, max_length = 128)), responses(
    (status = 201, description = "Made", body = RegisterAnswer),
    (status = 400, description = "A field is wrong: `invalid_field`, `weak_key`, `bad_signature`"),
    (status = 409, description = "The name or a key is taken, or the Idempotency-Key was used with another body"),
    (status = 413, description = "The body is over 16 KiB"),
    (status = 429, description = "Too many registrations from this address"),
    (status = 503, description = "Too many passwords at once, or the store does not respond")))]
pub(super) async fn register(
    State(http): State<Http>,
    sender: Sender,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let node = &http.node;
    pass(node, Gate::Register, &sender.origin)?;
    let (fields, text) = Fields::read(node, &headers, content, &MEMBERS).await?;
    let new = registration(fields)?;
    // Anonymous: scoped to the address. A client that can repeat the exact body knows the password in it.
    let key = http.repeat_key(&headers, &text)?;
    let made = node.services.accounts.register_once(key, new, &sender.origin).await?;
    let body = RegisterAnswer { id: made.id, username: made.username, device_id: made.device_id };
    Ok(answer(StatusCode::CREATED, &body))
}

fn registration(mut fields: Fields) -> Result<Registration, Problem> {
    let username = fields.text("username")?;
    let password = fields.optional("password")?;
    let keys = optional_keys(&mut fields)?;
    if password.is_none() && keys.is_none() {
        let why = "send a password, or public_key and x25519_public_key, or both";
        return Err(Problem::invalid("password", why));
    }
    Ok(Registration { username, password, keys })
}

/// Optional keys; both or none.
fn optional_keys(fields: &mut Fields) -> Result<Option<NewKeys>, Problem> {
    if ["public_key", "x25519_public_key"].iter().any(|name| fields.has(name)) {
        return keys(fields).map(Some);
    }
    for name in ["key_binding", "device_id"] {
        if fields.has(name) {
            return Err(Problem::invalid(
                name,
                format!("{name} belongs to keys; send public_key and x25519_public_key"),
            ));
        }
    }
    Ok(None)
}

/// Required keys.
pub(super) fn keys(fields: &mut Fields) -> Result<NewKeys, Problem> {
    let missing = |name| {
        Problem::invalid(name, format!("{name} is missing: public_key and x25519_public_key go together"))
    };
    let ik = fields.bytes("public_key")?.ok_or_else(|| missing("public_key"))?;
    let ek = fields.bytes("x25519_public_key")?.ok_or_else(|| missing("x25519_public_key"))?;
    let device_id = fields.optional("device_id")?;
    let form = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if device_id.as_ref().is_some_and(|id| !(1..=64).contains(&id.len()) || !id.bytes().all(form)) {
        return Err(Problem::invalid("device_id", "device_id is 1 to 64 characters of a-z, 0-9 and -"));
    }
    Ok(NewKeys {
        device_id,
        ik,
        ek,
        key_binding: fields.bytes("key_binding")?,
        rotation: fields.bytes("rotation")?,
    })
}
