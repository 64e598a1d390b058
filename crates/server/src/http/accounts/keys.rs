//! `PUT /users/me/keys`.

use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::answer;
use super::directory::KeysAnswer;
use super::fields::Fields;
use super::register;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;

/// The new keys.
#[derive(Deserialize, ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is parsed manually for its exact errors")]
pub(super) struct NewKeysBody {
    /// Ed25519 identity key, base64url of 32 bytes.
    #[schema(min_length = 43, max_length = 44)]
    public_key: String,
    /// X25519 encryption key, base64url of 32 bytes.
    #[schema(min_length = 43, max_length = 44)]
    x25519_public_key: String,
    /// The existing device, or for the first keys its name; `main` by default.
    #[schema(pattern = "^[a-z0-9-]{1,64}$", example = "main")]
    device_id: Option<String>,
    /// The identity key's signature over both; required if `public_key` is unchanged.
    #[schema(min_length = 86, max_length = 88)]
    key_binding: Option<String>,
    /// The previous identity key's signature over the log's new entry; without it contacts are warned.
    #[schema(min_length = 86, max_length = 88)]
    rotation: Option<String>,
    /// Your password. Without it or a `rotation`, a first or another `public_key` needs a login of the last 60 s.
    current: Option<String>,
}

/// Sets or changes your keys: signed by the previous key (`rotation`), with the same identity key, or with a warning to
/// contacts. Another identity key ends your other logins and closes their sockets.
#[utoipa::path(put, path = "/users/me/keys", tag = "Directory", operation_id = "putKeys", request_body = NewKeysBody, responses(
    (status = 200, description = "Your keys now", body = KeysAnswer),
    (status = 400, description = "A field is wrong: `invalid_field`, `weak_key`, `bad_signature`"),
    (status = 403, description = "Nothing proves that it is you: `current` is wrong, or missing and the login is old; or an API key has no keys"),
    (status = 409, description = "A key is another user's, or the keys were changed meanwhile"),
    (status = 413, description = "The body is over 16 KiB"),
    (status = 429, description = "More than ten changes within an hour, or too many failures")))]
pub(super) async fn put(
    State(http): State<Http>,
    sender: Sender,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Problem> {
    let who = sender.caller.principal()?;
    let members = ["public_key", "x25519_public_key", "device_id", "key_binding", "rotation", "current"];
    let (mut fields, _) = Fields::read(&http.node, &headers, content, &members).await?;
    let (keys, current) = (register::keys(&mut fields)?, fields.optional("current")?);
    let put = http.node.services.accounts.put_keys(who, keys, current, &sender.origin).await?;
    http.node.services.sessions.end_logins(&put.ended);
    Ok(answer(StatusCode::OK, &KeysAnswer::from(put.directory)))
}
