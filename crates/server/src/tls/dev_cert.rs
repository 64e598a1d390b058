//! `fanfare dev-cert`: a self-signed certificate for this machine. Clients pin its SHA-256.

use fanfare_config::{Config, ConfigError};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// The names of this machine.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Period of validity; browsers reject more than 398 days.
const VALID: Duration = Duration::from_secs(397 * 24 * 3600);

fn wrong(what: String) -> ConfigError {
    ConfigError::key("data_dir", what)
}

/// Writes the pair into `{data_dir}/tls` and prints how to use it.
///
/// # Errors
/// One line that names `data_dir`: the files cannot be written.
pub fn dev_cert(config: &Config) -> Result<ExitCode, ConfigError> {
    let folder = config.data_dir.join("tls");
    let made = make().map_err(|e| wrong(format!("the certificate cannot be created: {e}")))?;
    std::fs::create_dir_all(&config.data_dir)
        .and_then(|()| match DirBuilder::new().mode(0o700).create(&folder) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
            _ => Ok(()),
        })
        .map_err(|e| wrong(format!("{} cannot be created: {e}", folder.display())))?;
    let key = write(&folder, "key.pem", 0o600, &made.key)?;
    let cert = write(&folder, "cert.pem", 0o644, &made.cert)?;
    let text = format!(
        "wrote {cert} and {key}, valid for localhost, 127.0.0.1 and ::1\n\
         serve with:  fanfare serve --set tls.cert={cert} --set tls.key={key} --set tls.port=8443 --set tls.redirect_port=8080\n\
         pin it with: --pin {pin}\n",
        cert = cert.display(),
        key = key.display(),
        pin = made.sha256,
    );
    // Without standard output the result cannot be printed.
    let _best_effort = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

struct Made {
    cert: String,
    key: String,
    /// Of the certificate's DER, in hexadecimal.
    sha256: String,
}

fn make() -> Result<Made, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    let now = SystemTime::now();
    params.not_before = now.into();
    params.not_after = (now + VALID).into();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Fanfare development");
    params.extended_key_usages.push(rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    let cert = params.self_signed(&key)?;
    let sha256 = Sha256::digest(cert.der()).iter().map(|b| format!("{b:02x}")).collect();
    Ok(Made { sha256, cert: cert.pem(), key: key.serialize_pem() })
}

/// Writes a file complete or not at all, and returns its absolute path.
fn write(folder: &Path, name: &str, mode: u32, text: &str) -> Result<PathBuf, ConfigError> {
    let (new, file) = (folder.join(format!("{name}.new")), folder.join(name));
    let failed = |e: std::io::Error| wrong(format!("{} cannot be written: {e}", file.display()));
    let _old = std::fs::remove_file(&new);
    let mut out = OpenOptions::new().create_new(true).write(true).mode(mode).open(&new).map_err(failed)?;
    out.write_all(text.as_bytes()).and_then(|()| out.sync_all()).map_err(failed)?;
    std::fs::rename(&new, &file).map_err(failed)?;
    std::fs::canonicalize(&file).map_err(failed)
}
