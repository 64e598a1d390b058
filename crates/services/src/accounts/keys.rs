//! Public keys: set at registration or later, changed, published with their log.
//!
//! A user has one device in this version. Its identity key (Ed25519) signs, its encryption key (X25519) is encrypted
//! to; a binding is the identity key's signature over both, under this server's id and the user's name. Every change is
//! an entry of the user's log, chained by hashes. A new identity key signed by the previous one is a rotation; for any
//! other one, clients warn.
//!
//! Logins by key are possible, so a stolen access token must not suffice to set keys: a first key, or another identity
//! key that the previous one did not sign, needs the password or a recent login ([`super::proof`]). Another identity
//! key ends all other logins.

use super::{AccountError, Accounts};
use crate::audit::Severity;
use crate::clock::unix_ms;
use fanfare_core::model::Origin;
use fanfare_core::model::Principal;
use fanfare_e2ee::{EncryptionKey, IdentityKey, KeyError, NO_PREVIOUS};
use fanfare_store::{DeviceKeys, EndedLogin, KeyLogEntry, KeysPut, User};

/// The default device.
const MAIN: &str = "main";
/// Maximum entries of a log in one response (`accounts-and-messages.md`).
const LOG_PAGE: u32 = 50;

/// Keys from a request, decoded.
#[derive(Debug)]
pub struct NewKeys {
    /// `[a-z0-9-]{1,64}`; by default the existing device or `main`.
    pub device_id: Option<String>,
    /// Ed25519.
    pub ik: [u8; 32],
    /// X25519.
    pub ek: [u8; 32],
    /// The identity key's signature over both.
    pub key_binding: Option<[u8; 64]>,
    /// The previous identity key's signature over the log's new entry.
    pub rotation: Option<[u8; 64]>,
}

impl NewKeys {
    /// Whether these keys equal the stored ones.
    fn are(&self, before: &DeviceKeys) -> bool {
        let device = self.device_id.as_ref().is_none_or(|id| *id == before.device_id);
        device && self.ik == before.ik && self.ek == before.ek && self.key_binding == before.key_binding
    }
}

/// The public part of a user's keys.
#[derive(Debug)]
pub struct Directory {
    /// The username.
    pub username: String,
    /// The devices in use.
    pub devices: Vec<DeviceKeys>,
    /// The newest changes, or those before an entry, in ascending order.
    pub log: Vec<KeyLogEntry>,
}

/// The result of a change of keys.
#[derive(Debug)]
pub struct PutKeys {
    /// The change; `None` if the keys were the same.
    pub changed: Option<KeyChanged>,
    /// Logins that the change ended.
    pub ended: Vec<EndedLogin>,
    /// The keys after the change.
    pub directory: Directory,
}

/// A change of keys, sent to users who share a message with the user (`accounts-and-messages.md`, `key_changed`).
#[derive(Debug)]
pub struct KeyChanged {
    /// The username.
    pub user: String,
    /// The new keys.
    pub keys: DeviceKeys,
    /// The number of the log entry.
    pub n: i64,
    /// Whether the previous identity key signed the change, or did not change. Otherwise clients warn.
    pub signed_by_previous: bool,
}

impl Accounts {
    /// Checks a new user's first keys: a device and the first entry of the log.
    pub(super) fn first_keys(
        &self,
        username: &str,
        keys: NewKeys,
        now: i64,
    ) -> Result<(DeviceKeys, KeyLogEntry), AccountError> {
        if keys.rotation.is_some() {
            return Err(AccountError::field(
                "rotation",
                "there are no keys yet that could sign for new ones",
            ));
        }
        let device = self.device(username, MAIN, &keys, now)?;
        let entry = entry(&device, 1, "add", NO_PREVIOUS, None, now);
        Ok((device, entry))
    }

    /// Checks keys and their binding.
    fn device(
        &self,
        username: &str,
        default: &str,
        keys: &NewKeys,
        now: i64,
    ) -> Result<DeviceKeys, AccountError> {
        let device_id = keys.device_id.clone().unwrap_or_else(|| default.to_owned());
        let ik = IdentityKey::new(keys.ik).map_err(|e| unfit("public_key", &e))?;
        let ek = EncryptionKey::new(keys.ek).map_err(|e| unfit("x25519_public_key", &e))?;
        if keys.ik == keys.ek {
            return Err(AccountError::WeakKey("x25519_public_key"));
        }
        let (id, signed) = (&self.0.server_id, &keys.key_binding);
        let holds = |sig| fanfare_e2ee::verify_key_binding(id, username, &device_id, &ik, &ek, sig);
        if signed.as_ref().is_some_and(|sig| !holds(sig)) {
            return Err(AccountError::BadSignature("key_binding"));
        }
        if signed.is_none() && self.0.require_key_binding {
            let why = "this server takes only keys with a key_binding (auth.require_key_binding)";
            return Err(AccountError::field("key_binding", why));
        }
        Ok(DeviceKeys { device_id, ik: keys.ik, ek: keys.ek, key_binding: keys.key_binding, created_at: now })
    }

    /// Sets or changes the caller's keys. `current` is the password, if it was given.
    ///
    /// # Errors
    /// A weak key or another user's, an invalid signature, no proof, a concurrent change, too many changes.
    pub async fn put_keys(
        &self,
        who: &Principal,
        keys: NewKeys,
        current: Option<String>,
        from: &Origin,
    ) -> Result<PutKeys, AccountError> {
        let now = unix_ms() as i64;
        let before = self.0.store.device_keys(&who.user_id).await?.into_iter().next();
        if before.as_ref().is_some_and(|before| keys.are(before)) {
            // A repeat, perhaps after a lost reply: nothing changes, and the log does not grow.
            self.prove_change(who, current, false, from).await?;
            let directory = self.directory_of(self.me(who).await?, None).await?;
            return Ok(PutKeys { changed: None, ended: Vec::new(), directory });
        }
        let last = self.0.store.key_log(&who.user_id, None, 1).await?.pop();
        let (device, entry) = match (&before, last) {
            (Some(before), Some(last)) => self.next_keys(&who.username, before, &last, &keys, now)?,
            (_, last) => {
                let (device, first) = self.first_keys(&who.username, keys, now)?;
                let (n, prev) =
                    last.map_or((1, NO_PREVIOUS), |last| (last.n + 1, self.hash(&who.username, &last)));
                let entry = KeyLogEntry { n, prev_hash: prev, ..first };
                (device, entry)
            }
        };
        let needs_proof = matches!(entry.action.as_str(), "add" | "replace");
        let proven = self.prove_change(who, current, needs_proof, from).await?;
        let replaces = before.as_ref().is_some_and(|before| before.ik != device.ik);
        let put =
            self.0.store.put_keys(&who.user_id, proven, device.clone(), entry.clone(), replaces).await?;
        let ended = match put {
            KeysPut::Done(ended) => ended,
            KeysPut::Unproven => return Err(AccountError::Outdated),
            KeysPut::TooOften { again_at } => {
                let wait = again_at.saturating_sub(unix_ms() as i64).max(1).unsigned_abs();
                return Err(AccountError::TooOften("keys change at most ten times an hour", wait));
            }
        };
        let changed = self.note_change(who, device, &entry, ended.len(), from);
        let directory = self.directory_of(self.me(who).await?, None).await?;
        Ok(PutKeys { changed: Some(changed), ended, directory })
    }

    /// Records a change in the audit log.
    fn note_change(
        &self,
        who: &Principal,
        keys: DeviceKeys,
        entry: &KeyLogEntry,
        ended: usize,
        from: &Origin,
    ) -> KeyChanged {
        let signed_by_previous = entry.action != "replace";
        let severity = if signed_by_previous { Severity::Info } else { Severity::Warning };
        let event = self.event("key_changed", who, from).severity(severity);
        let event = event.detail("action", entry.action.as_str()).detail("n", entry.n);
        self.0.audit.record(event.detail("sessions_ended", ended));
        if keys.key_binding.is_none() {
            self.0.audit.record(self.event("key_binding_missing", who, from));
        }
        KeyChanged { user: who.username.to_string(), keys, n: entry.n, signed_by_previous }
    }

    /// Replaces the keys.
    fn next_keys(
        &self,
        username: &str,
        before: &DeviceKeys,
        last: &KeyLogEntry,
        keys: &NewKeys,
        now: i64,
    ) -> Result<(DeviceKeys, KeyLogEntry), AccountError> {
        if keys.device_id.as_ref().is_some_and(|id| *id != before.device_id) {
            let why = "a user has one device in this version; give its id or none";
            return Err(AccountError::field("device_id", why));
        }
        let device = self.device(username, &before.device_id, keys, now)?;
        let (n, prev) = (last.n + 1, self.hash(username, last));
        if keys.ik == before.ik {
            if keys.rotation.is_some() {
                let why = "the same public_key needs no rotation, only a new key_binding";
                return Err(AccountError::field("rotation", why));
            }
            if keys.key_binding.is_none() {
                let why = "the same public_key needs a new key_binding";
                return Err(AccountError::field("key_binding", why));
            }
            let entry = entry(&device, n, "rebind", prev, None, now);
            return Ok((device, entry));
        }
        let Some(rotation) = keys.rotation else {
            let entry = entry(&device, n, "replace", prev, None, now);
            return Ok((device, entry));
        };
        let entry = entry(&device, n, "rotate", prev, Some(rotation), now);
        let text = self.log_text(username, &entry);
        let old = IdentityKey::new(before.ik).ok();
        if !old.is_some_and(|old| fanfare_e2ee::verify(&old, &text, &rotation)) {
            return Err(AccountError::BadSignature("rotation"));
        }
        Ok((device, entry))
    }

    /// The keys of a user by name, with the log's newest entries, or those below the entry `before`.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn directory(&self, name: &str, before: Option<i64>) -> Result<Directory, AccountError> {
        let user = self.find(name).await?;
        self.directory_of(user, before).await
    }

    fn log_text(&self, username: &str, entry: &KeyLogEntry) -> Vec<u8> {
        fanfare_e2ee::key_log_text(
            &self.0.server_id,
            username,
            entry.n as u64,
            &entry.action,
            &entry.ik,
            &entry.ek,
            entry.binding.as_ref(),
            &entry.prev_hash,
        )
    }

    /// The hash of an entry, which the next entry contains.
    fn hash(&self, username: &str, entry: &KeyLogEntry) -> [u8; 32] {
        fanfare_e2ee::key_log_hash(&self.log_text(username, entry), entry.rotation.as_ref())
    }

    async fn directory_of(&self, user: User, before: Option<i64>) -> Result<Directory, AccountError> {
        let devices = self.0.store.device_keys(&user.id).await?;
        let log = self.0.store.key_log(&user.id, before, LOG_PAGE).await?;
        Ok(Directory { username: user.username, devices, log })
    }
}

fn unfit(field: &'static str, error: &KeyError) -> AccountError {
    match error {
        KeyError::Weak => AccountError::WeakKey(field),
        KeyError::Malformed => AccountError::field(field, "these 32 bytes are no public key of its kind"),
    }
}

fn entry(
    device: &DeviceKeys,
    n: i64,
    action: &str,
    prev_hash: [u8; 32],
    rotation: Option<[u8; 64]>,
    at: i64,
) -> KeyLogEntry {
    KeyLogEntry {
        n,
        action: action.to_owned(),
        device_id: device.device_id.clone(),
        ik: device.ik,
        ek: device.ek,
        binding: device.key_binding,
        prev_hash,
        rotation,
        at,
    }
}
