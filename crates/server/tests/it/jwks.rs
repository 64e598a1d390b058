//! An issuer's keys over HTTPS: found, changed, unreachable, and published by a server that the machine does not trust.

use crate::ops::{Again, command, succeeded};
use crate::people::{jwt, now_s, with_token};
use crate::support::BINARY;
use ed25519_dalek::{Signer, SigningKey};
use fanfare_e2ee::b64;
use fanfare_testkit::raw_http::{Answer, Request};
use fanfare_testkit::server::{PATIENCE, Server, eventually};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// A login service's site: one key set at every path, or nothing at all.
struct Site {
    folder: TempDir,
    port: u16,
    keys: Arc<Mutex<Option<Value>>>,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        succeeded(&command(folder.path(), &["dev-cert"]));
        let chain = CertificateDer::pem_file_iter(folder.path().join("tls/cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(folder.path().join("tls/key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let one = versions.unwrap().with_no_client_auth();
        let config = Arc::new(one.with_single_cert(chain.map(Result::unwrap).collect(), key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, keys) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(None)));
        let shown = Arc::clone(&keys);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let keys: Option<Value> = shown.lock().unwrap().clone();
                // A client that does not trust the certificate hangs up: that is its answer.
                let _hung_up = keys.map(|keys| answer(&config, stream, &keys));
            }
        });
        Self { folder, port, keys }
    }

    fn publish(&self, keys: &[(&str, &SigningKey)]) {
        let keys = keys.iter().map(|(kid, key)| {
            let x = b64::encode(key.verifying_key().as_bytes());
            json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
        });
        *self.keys.lock().unwrap() = Some(json!({ "keys": keys.collect::<Vec<_>>() }));
    }

    fn vanish(&self) {
        *self.keys.lock().unwrap() = None;
    }
}

fn answer(config: &Arc<ServerConfig>, stream: TcpStream, keys: &Value) -> std::io::Result<()> {
    let tls = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = BufReader::new(StreamOwned::new(tls, stream));
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    let (body, stream) = (keys.to_string(), stream.get_mut());
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/jwk-set+json\r\nconnection: close\r\ncontent-length:";
    write!(stream, "{head} {}\r\n\r\n{body}", body.len())?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// A server that accepts the site's tokens, with this file as the machine's trusted certificates.
struct Shop {
    server: Again,
    _folder: TempDir,
}

impl Shop {
    fn new(site: &Site, trusted: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("https://localhost:{}/jwks.json", site.port);
        let issuers = json!([{
            "name": "shop", "issuer": "https://shop.test/", "audience": "live", "jwks_url": url,
        }]);
        let (data, issuers) = (folder.path().join("data"), issuers.to_string());
        let mut command = Server::command(BINARY, &data, &[("auth.issuers", &issuers)]);
        command.env("SSL_CERT_FILE", site.folder.path().join(trusted));
        Self { server: Again::run(command, &data), _folder: folder }
    }

    fn me(&self, token: &str) -> Answer {
        with_token(Request::get("/auth/me"), token).send(self.server.addr)
    }
}

fn token(kid: &str, key: &SigningKey) -> String {
    let claims = json!({
        "iss": "https://shop.test/", "aud": "live", "sub": "zoe", "iat": now_s(), "exp": now_s() + 600,
    });
    let header = json!({ "alg": "EdDSA", "kid": kid });
    jwt(&header, &claims, |text| key.sign(text).to_bytes().to_vec())
}

#[test]
fn keys_come_by_https_change_and_outlive_an_outage() {
    let (site, old, new) = (Site::new(), SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    site.publish(&[("old", &old)]);
    let shop = Shop::new(&site, "tls/cert.pem");
    assert_eq!(shop.me(&token("old", &old)).json()["username"], "shop:zoe");
    assert_eq!(shop.me(&token("old", &new)).status, 401, "signed by another key");
    site.publish(&[("old", &old), ("new", &new)]);
    eventually("the new key is found", PATIENCE, || {
        (shop.me(&token("new", &new)).status == 200).then_some(())
    });
    site.vanish();
    for (kid, key) in [("old", &old), ("new", &new)] {
        assert_eq!(shop.me(&token(kid, key)).status, 200, "{kid}");
    }
}

#[test]
fn a_site_out_of_reach_or_not_trusted_is_no_judgement() {
    let (site, key) = (Site::new(), SigningKey::from_bytes(&[1; 32]));
    let unknown = |answer: &Answer| (answer.status, answer.problem()) == (503, "unavailable".to_owned());
    let shop = Shop::new(&site, "tls/cert.pem");
    let away = shop.me(&token("a", &key));
    assert!(unknown(&away), "{away:?}");
    assert!(away.head.get("retry-after").is_some(), "{away:?}");
    site.publish(&[("a", &key)]);
    eventually("it is back", PATIENCE, || (shop.me(&token("a", &key)).status == 200).then_some(()));
    // The same site for a machine that trusts another certificate.
    let other = Site::new();
    std::fs::copy(other.folder.path().join("tls/cert.pem"), site.folder.path().join("other.pem")).unwrap();
    let stranger = Shop::new(&site, "other.pem").me(&token("a", &key));
    assert!(unknown(&stranger), "{stranger:?}");
}
