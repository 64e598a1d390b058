//! A server with TLS for tests: its certificate, and sockets to it.

use crate::support::{BINARY, start};
use fanfare_testkit::raw::{Endpoint, Raw};
use fanfare_testkit::server::Server;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A pair of files for a server to serve.
pub(crate) struct Pair {
    folder: TempDir,
}

impl Pair {
    /// Valid for a month.
    pub(crate) fn new() -> Self {
        let pair = Self { folder: TempDir::new().unwrap() };
        pair.renew(30 * DAY);
        pair
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Puts a new pair in its place: valid since a month ago, until so long from now.
    pub(crate) fn renew(&self, left: Duration) -> Vec<u8> {
        self.put(SystemTime::now() - 30 * DAY, SystemTime::now() + left)
    }

    pub(crate) fn put(&self, from: SystemTime, until: SystemTime) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned)).unwrap();
        (params.not_before, params.not_after) = (from.into(), until.into());
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(self.cert(), cert.pem()).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
        chmod(&self.key(), 0o600);
        cert.der().to_vec()
    }

    /// Puts a certificate without a name of a host in its place.
    pub(crate) fn put_nameless(&self) {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(self.cert(), cert.pem()).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
    }

    /// Puts the key of a certificate issued by an authority in its place; the two certificates in PEM, the server's first.
    pub(crate) fn put_issued(&self) -> [String; 2] {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.distinguished_name.push(DnType::CommonName, "an authority of tests");
        let above = root.self_signed(&root_key).unwrap();
        let own = CertificateParams::new(["localhost", "127.0.0.1"].map(str::to_owned)).unwrap();
        let own = own.signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        std::fs::write(self.key(), key.serialize_pem()).unwrap();
        [own.pem(), above.pem()]
    }

    /// The settings that serve it, and these.
    pub(crate) fn settings(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = [
            ("tls.cert", self.cert().display().to_string()),
            ("tls.key", self.key().display().to_string()),
            ("tls.port", "0".into()),
            ("tls.redirect_port", "0".into()),
        ];
        let own = own.into_iter().map(|(k, v)| (k.to_owned(), v));
        own.chain(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))).collect()
    }

    #[track_caller]
    pub(crate) fn start(&self, more: &[(&str, &str)]) -> Server {
        let settings = self.settings(more);
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        start(&settings)
    }

    /// The output of a server that does not start.
    #[track_caller]
    pub(crate) fn refused(&self, more: &[(&str, &str)]) -> String {
        let settings = self.settings(more);
        let settings: Vec<_> = settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let folder = TempDir::new().unwrap();
        let out = Server::command(BINARY, &folder.path().join("data"), &settings).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        said
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
pub(crate) fn open(server: &Server) -> Raw {
    greeted(server.endpoint())
}

#[track_caller]
pub(crate) fn greeted(to: Endpoint) -> Raw {
    let mut ws = Raw::open(to);
    assert_eq!(ws.hear()["type"], "welcome");
    ws
}

#[track_caller]
pub(crate) fn ping(ws: &mut Raw) {
    assert_eq!(ws.call(&json!({ "type": "ping" }))["type"], "pong");
}

pub(crate) fn publish(n: usize, size: usize) -> Value {
    json!({ "type": "publish", "topic": "t", "payload": format!("{n:06}{}", "x".repeat(size)) })
}

pub(crate) fn number(event: &Value) -> usize {
    event["payload"].as_str().unwrap()[..6].parse().unwrap()
}
