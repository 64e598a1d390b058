//! The key that signs access tokens: from a file of the data folder, or derived from a configured secret.

use crate::secret::{NoRandom, derive, random, try_random};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use fanfare_e2ee::{KeyKind, b64};
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Minimum bytes of a configured secret.
pub const MIN_SECRET: usize = 32;
/// Longest key file that is read; a generated one has 119 bytes.
const MAX_FILE: u64 = 4096;

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or created.
    #[error("{}: {why}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The system's error.
        why: io::Error,
    },
    /// The file exists and is not a key.
    #[error("{}: not an Ed25519 private key in PKCS#8 PEM", .0.display())]
    Malformed(PathBuf),
    /// The file is accessible to others than its owner.
    #[error("{}: others can read this private key; chmod 600", .0.display())]
    Exposed(PathBuf),
    /// A configured secret that is too short.
    #[error("the secret is shorter than {MIN_SECRET} bytes")]
    Short,
    /// The system returned no random bytes for a new key.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// An Ed25519 key pair and its id.
pub struct Keys {
    signing: SigningKey,
    verifying: VerifyingKey,
    kid: String,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Keys {
    fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let verifying = signing.verifying_key();
        Self { kid: fanfare_e2ee::kid(KeyKind::Ed25519, verifying.as_bytes()), signing, verifying }
    }

    /// Reads the key, or creates one at the first start: PKCS#8 PEM, mode 600, its folder with mode 700.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn load_or_create(path: &Path) -> Result<Self, KeysError> {
        let failed = |why| KeysError::File { path: path.to_owned(), why };
        match File::open(path) {
            Ok(file) => return Self::read(path, file),
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        let seed = Zeroizing::new(try_random::<32>()?);
        let pair = KeypairBytes { secret_key: *seed, public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|e| failed(io::Error::other(e.to_string())))?;
        match write_new(path, pem.as_bytes()) {
            Ok(()) => Ok(Self::from_seed(&seed)),
            // Another process created the file first: its key is used.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Self::read(path, File::open(path).map_err(failed)?)
            }
            Err(e) => Err(failed(e)),
        }
    }

    fn read(path: &Path, file: File) -> Result<Self, KeysError> {
        let failed = |why| KeysError::File { path: path.to_owned(), why };
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeysError::Exposed(path.to_owned()));
        }
        let mut pem = Zeroizing::new(String::new());
        file.take(MAX_FILE).read_to_string(&mut pem).map_err(failed)?;
        let signing = SigningKey::from_pkcs8_pem(&pem).map_err(|_| KeysError::Malformed(path.to_owned()))?;
        Ok(Self::from_seed(signing.as_bytes()))
    }

    /// Derives the key from a secret, so that several servers, or one without a disk, have the same.
    ///
    /// # Errors
    /// [`KeysError::Short`] below [`MIN_SECRET`] bytes.
    pub fn from_secret(secret: &str) -> Result<Self, KeysError> {
        if secret.len() < MIN_SECRET {
            return Err(KeysError::Short);
        }
        Ok(Self::from_seed(&derive(secret.as_bytes(), b"fanfare/v1/jwt-signing-key")))
    }

    /// The key's id, as [`fanfare_e2ee::kid`] computes it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as `SubjectPublicKeyInfo` in PEM.
    #[must_use]
    pub fn public_pem(&self) -> String {
        // Encoding a checked key cannot fail.
        self.verifying.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// The public key as a member of a JWK set (RFC 7517, RFC 8037), as JSON.
    #[must_use]
    pub fn public_jwk(&self) -> String {
        let x = b64::encode(self.verifying.as_bytes());
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}","kid":"{}","alg":"EdDSA","use":"sig"}}"#, self.kid)
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.verifying.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// Writes a private file whole or not at all, and never replaces one: linking fails where a rename would replace.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let draft = folder.join(format!(".jwt-{:016x}.new", u64::from_le_bytes(random())));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::hard_link(&draft, path)
    })();
    let _tidied = std::fs::remove_file(&draft);
    written?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{Keys, KeysError};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_created_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/jwt.pem");
        let made = Keys::load_or_create(&path).unwrap();
        let read = Keys::load_or_create(&path).unwrap();
        assert_eq!(made.kid(), read.kid());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(std::fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jwt.pem");
        Keys::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o660] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert!(matches!(Keys::load_or_create(&path), Err(KeysError::Exposed(_))));
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let pem = std::fs::read_to_string(&path).unwrap();
        for text in ["", "nonsense", &pem[..60], &pem.replace("PRIVATE", "PUBLIC")] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Keys::load_or_create(&path), Err(KeysError::Malformed(_))), "{text}");
        }
        assert!(matches!(
            Keys::load_or_create(dir.path()),
            Err(KeysError::File { .. } | KeysError::Exposed(_))
        ));
    }

    #[test]
    fn a_secret_always_gives_the_same_key() {
        let secret = "0123456789abcdef0123456789abcdef";
        assert_eq!(Keys::from_secret(secret).unwrap().kid(), Keys::from_secret(secret).unwrap().kid());
        assert_ne!(
            Keys::from_secret(secret).unwrap().kid(),
            Keys::from_secret(&format!("{secret}!")).unwrap().kid()
        );
        assert!(matches!(Keys::from_secret(&secret[1..]), Err(KeysError::Short)));
    }

    #[test]
    fn public_forms_agree_and_the_private_part_is_not_printed() {
        let keys = Keys::from_secret("0123456789abcdef0123456789abcdef").unwrap();
        let jwk: serde_json::Value = serde_json::from_str(&keys.public_jwk()).unwrap();
        let jwk = serde_json::from_value::<jsonwebtoken::jwk::Jwk>(jwk).unwrap();
        let from_jwk = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
        let from_pem = jsonwebtoken::DecodingKey::from_ed_pem(keys.public_pem().as_bytes()).unwrap();
        assert_eq!(from_jwk.try_get_as_bytes().unwrap(), from_pem.try_get_as_bytes().unwrap());
        assert_eq!(format!("{keys:?}"), format!("Keys {{ kid: {:?}, .. }}", keys.kid()));
    }
}
