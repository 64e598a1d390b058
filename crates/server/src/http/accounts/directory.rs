//! `GET /users/{name}`, `GET /users/{name}/keys`.

use super::super::body::{Params, offset};
use super::super::sender::Sender;
use super::super::{Http, Problem};
use super::answer;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use fanfare_core::time::rfc3339_ms;
use fanfare_e2ee::{KeyKind, b64, kid};
use fanfare_services::accounts::{Directory, Profile};
use fanfare_store::{DeviceKeys, KeyLogEntry};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A user's public profile.
#[derive(Serialize, ToSchema)]
pub(super) struct UserCard {
    /// The id.
    id: String,
    /// The username.
    #[schema(example = "alice")]
    username: String,
    /// The display name.
    display_name: Option<String>,
    /// Returned to the user and to admins only.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<Option<String>>,
    /// When the account was created.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    created_at: String,
}

impl From<Profile> for UserCard {
    fn from(profile: Profile) -> Self {
        let user = profile.user;
        Self {
            id: user.id,
            username: user.username,
            display_name: user.display_name,
            email: profile.whole.then_some(user.email),
            created_at: rfc3339_ms(user.created_at.max(0) as u64),
        }
    }
}

/// The name in the path; an invalid one belongs to no user.
fn name(path: Result<Path<String>, PathRejection>) -> String {
    path.map(|Path(name)| name).unwrap_or_default()
}

/// Shows a user.
#[utoipa::path(get, path = "/users/{name}", tag = "Directory", operation_id = "showUser",
    params(("name" = String, Path, description = "The user's name", example = "alice")), responses(
    (status = 200, description = "The user", body = UserCard),
    (status = 403, description = "An API key may not"),
    (status = 404, description = "No such user")))]
pub(super) async fn show(
    State(http): State<Http>,
    sender: Sender,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let profile = http.node.services.accounts.profile(sender.caller.principal()?, &name(path)).await?;
    Ok(answer(StatusCode::OK, &UserCard::from(profile)))
}

/// The public keys of a user.
#[derive(Serialize, ToSchema)]
pub(super) struct KeysAnswer {
    /// The username.
    #[schema(example = "alice")]
    username: String,
    /// The devices in use; none for a user without keys.
    devices: Vec<Device>,
    /// The newest 50 changes, or those below `before`, in ascending order; each has the hash of the previous one.
    log: Vec<LogEntry>,
}

/// A device.
#[derive(Serialize, ToSchema)]
pub(super) struct Device {
    /// Its name.
    #[schema(example = "main")]
    device_id: String,
    /// Ed25519, base64url.
    public_key: String,
    /// X25519, base64url.
    x25519_public_key: String,
    /// The short name of the encryption key that senders use.
    kid: String,
    /// The identity key's signature over both, base64url.
    key_binding: Option<String>,
    /// Whether there is a binding.
    #[schema(pattern = "^(signed|none)$")]
    binding: &'static str,
}

impl From<DeviceKeys> for Device {
    fn from(keys: DeviceKeys) -> Self {
        Self {
            public_key: b64::encode(&keys.ik),
            x25519_public_key: b64::encode(&keys.ek),
            kid: kid(KeyKind::X25519, &keys.ek),
            binding: if keys.key_binding.is_some() { "signed" } else { "none" },
            key_binding: keys.key_binding.map(|sig| b64::encode(&sig)),
            device_id: keys.device_id,
        }
    }
}

/// A change of keys.
#[derive(Serialize, ToSchema)]
pub(super) struct LogEntry {
    /// From 1.
    n: i64,
    /// `add`, `rotate` (signed by the previous key), `replace` (not signed) or `rebind` (the same identity key).
    #[schema(pattern = "^(add|rotate|replace|rebind)$")]
    action: String,
    /// Ed25519, base64url.
    ik: String,
    /// X25519, base64url.
    ek: String,
    /// The binding of the two, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    binding_sig: Option<String>,
    /// The hash of the previous entry, base64url; of the first, zeros.
    prev_hash: String,
    /// The signature of the previous identity key, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotation: Option<String>,
    /// The time of the change.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    at: String,
}

impl From<KeyLogEntry> for LogEntry {
    fn from(entry: KeyLogEntry) -> Self {
        Self {
            n: entry.n,
            action: entry.action,
            ik: b64::encode(&entry.ik),
            ek: b64::encode(&entry.ek),
            binding_sig: entry.binding.map(|sig| b64::encode(&sig)),
            prev_hash: b64::encode(&entry.prev_hash),
            rotation: entry.rotation.map(|sig| b64::encode(&sig)),
            at: rfc3339_ms(entry.at.max(0) as u64),
        }
    }
}

impl From<Directory> for KeysAnswer {
    fn from(found: Directory) -> Self {
        Self {
            username: found.username,
            devices: found.devices.into_iter().map(Device::from).collect(),
            log: found.log.into_iter().map(LogEntry::from).collect(),
        }
    }
}

/// The page of a key log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogParams {
    /// Only entries with a smaller `n`: the least `n` of the previous page. An empty log is the end.
    #[param(value_type = Option<u64>, minimum = 0)]
    before: Option<String>,
}

/// Shows the public keys of a user and the log of their changes.
#[utoipa::path(get, path = "/users/{name}/keys", tag = "Directory", operation_id = "showKeys",
    params(("name" = String, Path, description = "The user's name", example = "alice"), LogParams), responses(
    (status = 200, description = "The keys", body = KeysAnswer),
    (status = 403, description = "An API key may not"),
    (status = 404, description = "No such user")))]
pub(super) async fn keys(
    State(http): State<Http>,
    sender: Sender,
    path: Result<Path<String>, PathRejection>,
    Params(params): Params<LogParams>,
) -> Result<Response, Problem> {
    sender.caller.principal()?;
    let before = offset("before", params.before.as_deref())?.map(|n| i64::try_from(n).unwrap_or(i64::MAX));
    let found = http.node.services.accounts.directory(&name(path), before).await?;
    Ok(answer(StatusCode::OK, &KeysAnswer::from(found)))
}
