//! Sessions across a graceful restart: the file `{data_dir}/sessions.snapshot`.
//!
//! It is written while the server stops, when all sockets are closed, and removed when the next start has opened it: a
//! file left by a crash is never read. Format: [`MAGIC`]; each session after its length in four bytes, little endian,
//! in the order of last use ([`KeptSession::encode`], then its user's login if it has one); a length of 0; the SHA-256
//! of everything before. An incomplete file causes one warning and restores no session.

use super::SessionService;
use fanfare_core::model::{IssuerIdentity, Principal, Role};
use fanfare_core::session::{KeptSession, SessionCode, read_text, write_text};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Error, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The file's name in the data folder.
pub const FILE: &str = "sessions.snapshot";
/// Begins the file; the last byte is the format's version.
const MAGIC: &[u8; 8] = b"fanses\0\x01";
/// Maximum bytes of one session: its data and the rest, far above what `session.max_data_bytes` allows.
const MAX_RECORD_BYTES: usize = 256 * 1024 * 1024;

impl SessionService {
    /// Writes all sessions that have not expired into a folder, complete or not at all; returns their number.
    ///
    /// # Errors
    /// Of the file system; a partial file is removed.
    pub fn save(&self, folder: &Path, now_ms: u64) -> io::Result<usize> {
        let (new, file) = (folder.join(format!("{FILE}.new")), folder.join(FILE));
        let written = self.write(&new, now_ms);
        let done = written.and_then(|count| {
            std::fs::rename(&new, &file)?;
            File::open(folder)?.sync_all()?;
            Ok(count)
        });
        if done.is_err() {
            let _gone = std::fs::remove_file(&new);
        }
        done
    }

    fn write(&self, path: &Path, now_ms: u64) -> io::Result<usize> {
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
        let mut out = Hashed { inner: BufWriter::new(file), hash: Sha256::new() };
        out.write_all(MAGIC)?;
        let (mut count, mut failed, mut record) = (0, None, Vec::new());
        self.table.export(now_ms, &mut |kept| {
            if failed.is_some() {
                return;
            }
            record.clear();
            kept.encode(&mut record);
            if let Some(principal) = self.remembered(kept.code) {
                write_principal(&mut record, &principal);
            }
            let len = (record.len() as u32).to_le_bytes();
            match out.write_all(&len).and_then(|()| out.write_all(&record)) {
                Ok(()) => count += 1,
                Err(error) => failed = Some(error),
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        out.write_all(&0_u32.to_le_bytes())?;
        let Hashed { mut inner, hash } = out;
        inner.write_all(&hash.finalize())?;
        inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(count)
    }

    /// Reads the sessions of the last stop from a folder, and removes the file; returns the number of restored
    /// sessions. Must be called before anything uses sessions.
    ///
    /// # Errors
    /// Of the file system, or `InvalidData` when the file is damaged or of another version; then no session was
    /// restored.
    pub fn restore(&self, folder: &Path, now_ms: u64) -> io::Result<usize> {
        let path = folder.join(FILE);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        // Before it is read: sessions that end from now on must not be restored after a crash.
        std::fs::remove_file(&path)?;
        // Checked as a whole before any of it is used.
        read(&mut file, |_| Some(()))?;
        file.seek(SeekFrom::Start(0))?;
        let mut count = 0;
        read(&mut file, |record| {
            let (kept, mut rest) = KeptSession::decode(record)?;
            let principal = if rest.is_empty() { None } else { Some(read_principal(&mut rest)?) };
            count += usize::from(self.take_in(kept, principal, now_ms));
            Some(())
        })?;
        Ok(count)
    }

    fn take_in(&self, kept: KeptSession, principal: Option<Principal>, now_ms: u64) -> bool {
        let code: SessionCode = kept.code;
        let taken = self.table.import(kept, now_ms);
        if let Some(principal) = principal.filter(|_| taken) {
            self.remember(code, &Arc::new(principal));
        }
        taken
    }
}

/// Passes each record of a file to `each` and checks its end.
fn read(file: &mut File, mut each: impl FnMut(&[u8]) -> Option<()>) -> io::Result<()> {
    let mut from = Hashed { inner: BufReader::new(file), hash: Sha256::new() };
    let mut magic = [0; 8];
    from.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(damaged("it is of another version"));
    }
    let mut record = Vec::new();
    loop {
        let mut len = [0; 4];
        from.read_exact(&mut len)?;
        let len = u32::from_le_bytes(len) as usize;
        if len == 0 {
            break;
        }
        if len > MAX_RECORD_BYTES {
            return Err(damaged("a session is larger than any can be"));
        }
        record.clear();
        from.by_ref().take(len as u64).read_to_end(&mut record)?;
        if record.len() < len {
            return Err(damaged("it is cut short"));
        }
        each(&record).ok_or_else(|| damaged("a session cannot be read"))?;
    }
    let Hashed { mut inner, hash } = from;
    let (mut sum, mut more) = ([0; 32], [0; 1]);
    inner.read_exact(&mut sum)?;
    if sum != *hash.finalize() || inner.read(&mut more)? > 0 {
        return Err(damaged("its checksum is wrong"));
    }
    Ok(())
}

fn damaged(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, why)
}

fn write_principal(out: &mut Vec<u8>, principal: &Principal) {
    for text in [&principal.user_id, &principal.username, &principal.session_id] {
        write_text(out, text);
    }
    write_text(out, principal.role.as_str());
    write_text(out, principal.device_id.as_deref().unwrap_or_default());
    out.extend_from_slice(&principal.expires_at_ms.to_le_bytes());
    if let Some(issuer) = &principal.issuer {
        write_text(out, &issuer.name);
        write_text(out, &issuer.claim);
        out.extend_from_slice(&issuer.issued_at_s.unwrap_or(u64::MAX).to_le_bytes());
        out.extend_from_slice(&issuer.token);
    }
}

fn read_principal(from: &mut &[u8]) -> Option<Principal> {
    let (user_id, username) = (read_text(from)?.into(), read_text(from)?.into());
    let session_id = read_text(from)?.into();
    let role = Role::parse(read_text(from)?)?;
    let device = read_text(from)?;
    let device_id = (!device.is_empty()).then(|| device.into());
    let expires_at_ms = read_u64(from)?;
    let issuer = if from.is_empty() { None } else { Some(read_issuer(from)?) };
    from.is_empty().then_some(Principal {
        user_id,
        username,
        role,
        session_id,
        device_id,
        expires_at_ms,
        issuer,
    })
}

fn read_issuer(from: &mut &[u8]) -> Option<IssuerIdentity> {
    let (name, claim) = (read_text(from)?.into(), read_text(from)?.into());
    let issued_at_s = Some(read_u64(from)?).filter(|at| *at != u64::MAX);
    let (token, rest) = from.split_first_chunk::<32>()?;
    *from = rest;
    Some(IssuerIdentity { name, claim, issued_at_s, token: *token })
}

fn read_u64(from: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = from.split_first_chunk::<8>()?;
    *from = rest;
    Some(u64::from_le_bytes(*bytes))
}

/// Hashes the bytes passing through.
struct Hashed<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for record in records {
            bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
            bytes.extend_from_slice(record);
        }
        bytes.extend_from_slice(&[0; 4]);
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    fn records_of(bytes: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut file = tempfile::tempfile()?;
        file.write_all(bytes)?;
        file.seek(SeekFrom::Start(0))?;
        let mut records = Vec::new();
        read(&mut file, |record| {
            records.push(record.to_vec());
            Some(())
        })?;
        Ok(records)
    }

    #[test]
    fn an_incomplete_file_is_refused() {
        let bytes = whole(&[b"one", b"two and more"]);
        assert_eq!(records_of(&bytes).unwrap(), [b"one".to_vec(), b"two and more".to_vec()]);
        assert_eq!(records_of(&whole(&[])).unwrap(), Vec::<Vec<u8>>::new());
        for len in 0..bytes.len() {
            assert!(records_of(&bytes[..len]).is_err(), "cut at {len}");
        }
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x40;
            assert!(records_of(&flipped).is_err(), "flipped at {at}");
        }
        assert!(records_of(&[&bytes[..], b"more"].concat()).is_err());
    }

    #[test]
    fn a_login_round_trips() {
        let issuer =
            IssuerIdentity { name: "shop".into(), claim: "zoe".into(), issued_at_s: Some(5), token: [9; 32] };
        for issuer in [None, Some(issuer.clone()), Some(IssuerIdentity { issued_at_s: None, ..issuer })] {
            let principal = Principal {
                user_id: "1".into(),
                username: "ann".into(),
                role: Role::Admin,
                session_id: "login".into(),
                device_id: issuer.is_none().then(|| "phone".into()),
                expires_at_ms: 77,
                issuer,
            };
            let mut bytes = Vec::new();
            write_principal(&mut bytes, &principal);
            let read = read_principal(&mut &bytes[..]).unwrap();
            assert_eq!(format!("{read:?}"), format!("{principal:?}"));
            for len in 0..bytes.len() {
                let cut = read_principal(&mut &bytes[..len]);
                // Only the whole issuer may be missing.
                assert!(cut.is_none_or(|p| p.issuer.is_none() && principal.issuer.is_some()), "{len}");
            }
        }
    }
}
