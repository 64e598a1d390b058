//! Checkpoints: the head of a chain, signed by a key that is used for nothing else.
//!
//! An attacker who can write to the database can build a new chain, but not sign it. The signed text is
//! `PAE("fanfare/v2/audit-checkpoint", node, seq (8 bytes, big-endian), h_seq, time)`. Versions before signed heads
//! signed every minute only, under `fanfare/v1/audit-checkpoint`: rows may follow such a checkpoint, but never one of
//! the second kind. The key is `{data_dir}/keys/audit.key`, the 32-byte seed of an Ed25519 key, readable by the
//! server's user alone; its public half is logged at every start and stored in `keys/audit.pub`, to be kept elsewhere.

use super::event::hex;
use crate::data_dir;
use ed25519_dalek::{Signer, SigningKey};
use fanfare_config::ConfigError;
use fanfare_e2ee::{IdentityKey, b64, pae};
use fanfare_store::Checkpoint;
use std::path::Path;

const LABEL: &[u8] = b"fanfare/v2/audit-checkpoint";
/// The label of versions that did not sign every append.
const OLD_LABEL: &[u8] = b"fanfare/v1/audit-checkpoint";
/// The key's file, in the folder `keys`.
const KEY_FILE: &str = "audit.key";
/// Its public half in base64url, one line.
const PUBLIC_FILE: &str = "audit.pub";
/// The name of this node's chain if `cluster.node_id` is not set.
const NODE_FILE: &str = "node.id";

/// Signs checkpoints.
pub struct Sealer(SigningKey);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sealer").field(&self.public()).finish()
    }
}

impl Sealer {
    /// The key of a data folder, generated if there is none.
    ///
    /// # Errors
    /// One line that names `data_dir`.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, ConfigError> {
        let sealer = Self::from_seed(&data_dir::key_in(data_dir, KEY_FILE)?);
        data_dir::write_in(&data_dir.join("keys"), PUBLIC_FILE, format!("{}\n", sealer.public()).as_bytes())?;
        Ok(sealer)
    }

    /// The key of this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half in base64url.
    pub fn public(&self) -> String {
        b64::encode(self.0.verifying_key().as_bytes())
    }

    /// Signs a head.
    pub fn seal(&self, node: &str, seq: i64, hash: [u8; 32], time: String) -> Checkpoint {
        let sig = self.sign(&text(LABEL, node, seq, &hash, &time));
        Checkpoint { node: node.to_owned(), seq, hash, time, sig }
    }

    /// Signs a text that begins with its own label.
    pub(super) fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.0.sign(text).to_bytes()
    }

    /// The public half, to verify with.
    pub(super) fn judge(&self) -> Judge {
        Judge(IdentityKey::new(*self.0.verifying_key().as_bytes()).ok())
    }

    /// Creates a checkpoint as versions before signed heads did.
    #[cfg(test)]
    pub(super) fn seal_as_before(&self, node: &str, seq: i64, hash: [u8; 32], time: String) -> Checkpoint {
        let sig = self.sign(&text(OLD_LABEL, node, seq, &hash, &time));
        Checkpoint { node: node.to_owned(), seq, hash, time, sig }
    }
}

/// The kinds of checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// The head of an append: no row of this key's chain followed it when it was signed.
    Head,
    /// From a version before signed heads: rows may follow it.
    Checkpoint,
}

/// The public half, to verify a chain.
#[derive(Clone, Debug)]
pub struct Judge(Option<IdentityKey>);

impl Judge {
    /// The key of a data folder, if it has one. Creates nothing.
    ///
    /// # Errors
    /// One line that names `data_dir`.
    pub fn of_folder(data_dir: &Path) -> Result<Option<Self>, ConfigError> {
        match data_dir::existing_key_in(data_dir, KEY_FILE)? {
            Some(seed) => Ok(Self::parse(&Sealer::from_seed(&seed).public())),
            None => Ok(None),
        }
    }

    /// A public key in base64url, as in `keys/audit.pub`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = b64::decode_array::<32>(text.trim()).ok()?;
        IdentityKey::new(bytes).ok().map(|key| Self(Some(key)))
    }

    /// The kind of this checkpoint, if this key signed it.
    pub fn accepts(&self, c: &Checkpoint) -> Option<Sealed> {
        let signed = |label| self.signed(&text(label, &c.node, c.seq, &c.hash, &c.time), &c.sig);
        match () {
            () if signed(LABEL) => Some(Sealed::Head),
            () if signed(OLD_LABEL) => Some(Sealed::Checkpoint),
            () => None,
        }
    }

    /// Whether this key signed the text.
    pub(super) fn signed(&self, text: &[u8], sig: &[u8; 64]) -> bool {
        self.0.as_ref().is_some_and(|key| fanfare_e2ee::verify(key, text, sig))
    }
}

/// The name of this node's chain: `cluster.node_id`, or else a name generated once and stored beside the keys.
///
/// # Errors
/// One line that names `data_dir`.
pub fn node_name(configured: Option<&str>, data_dir: &Path) -> Result<String, ConfigError> {
    match configured {
        Some(name) => Ok(name.to_owned()),
        None => Ok(format!("n{}", hex(&data_dir::key_in(data_dir, NODE_FILE)?[..8]))),
    }
}

/// The same without creating it; `None` when nothing was ever written from this folder.
///
/// # Errors
/// One line that names `data_dir`.
pub fn existing_node_name(configured: Option<&str>, data_dir: &Path) -> Result<Option<String>, ConfigError> {
    match configured {
        Some(name) => Ok(Some(name.to_owned())),
        None => {
            let drawn = data_dir::existing_key_in(data_dir, NODE_FILE)?;
            Ok(drawn.map(|drawn| format!("n{}", hex(&drawn[..8]))))
        }
    }
}

fn text(label: &[u8], node: &str, seq: i64, hash: &[u8; 32], time: &str) -> Vec<u8> {
    pae(&[label, node.as_bytes(), &seq.to_be_bytes(), hash, time.as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_valid_for_its_key_and_its_text_only() {
        let sealer = Sealer::from_seed(&[7; 32]);
        let judge = Judge::parse(&sealer.public()).unwrap();
        let valid = sealer.seal("n", 5, [1; 32], "2026-11-21T11:21:00.000Z".into());
        assert_eq!(judge.accepts(&valid), Some(Sealed::Head));
        let before = sealer.seal_as_before("n", 5, [1; 32], String::new());
        assert_eq!(judge.accepts(&before), Some(Sealed::Checkpoint));
        let other = Judge::parse(&Sealer::from_seed(&[8; 32]).public()).unwrap();
        assert_eq!(other.accepts(&valid), None);
        let changes: [fn(&mut Checkpoint); 5] = [
            |c| c.node.push('x'),
            |c| c.seq = 6,
            |c| c.hash[31] ^= 1,
            |c| c.time.push('x'),
            |c| c.sig[0] ^= 1,
        ];
        for change in changes {
            let mut invalid = valid.clone();
            change(&mut invalid);
            assert_eq!(judge.accepts(&invalid), None, "{invalid:?}");
        }
    }

    #[test]
    fn a_folder_keeps_its_key_and_its_name() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Judge::of_folder(dir.path()).unwrap().is_none());
        assert_eq!(existing_node_name(None, dir.path()).unwrap(), None);
        let sealer = Sealer::load_or_create(dir.path()).unwrap();
        let again = Sealer::load_or_create(dir.path()).unwrap();
        assert_eq!(sealer.public(), again.public());
        let made = sealer.seal("n", 1, [0; 32], String::new());
        assert!(Judge::of_folder(dir.path()).unwrap().unwrap().accepts(&made).is_some());
        let published = std::fs::read_to_string(dir.path().join("keys/audit.pub")).unwrap();
        assert!(Judge::parse(&published).unwrap().accepts(&made).is_some());
        let name = node_name(None, dir.path()).unwrap();
        assert_eq!(node_name(None, dir.path()).unwrap(), name);
        assert_eq!(existing_node_name(None, dir.path()).unwrap(), Some(name));
        assert_eq!(node_name(Some("a"), dir.path()).unwrap(), "a");
    }
}
