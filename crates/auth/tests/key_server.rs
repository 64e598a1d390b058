//! Key sets over real HTTP on loopback, from working, broken, endless and slow servers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use fanfare_auth::issuers::{IssuerConfig, IssuerError, IssuerKey, Issuers};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PAIRS: [(Algorithm, &str, &str); 3] = [
    (
        Algorithm::EdDSA,
        include_str!("../src/issuers/testdata/ed25519.key"),
        include_str!("../src/issuers/testdata/ed25519.jwk"),
    ),
    (
        Algorithm::ES256,
        include_str!("../src/issuers/testdata/p256.key"),
        include_str!("../src/issuers/testdata/p256.jwk"),
    ),
    (
        Algorithm::RS256,
        include_str!("../src/issuers/testdata/rsa2048.key"),
        include_str!("../src/issuers/testdata/rsa2048.jwk"),
    ),
];

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn set() -> String {
    let keys: Vec<serde_json::Value> =
        PAIRS.iter().map(|pair| serde_json::from_str(pair.2).unwrap()).collect();
    json!({"keys": keys}).to_string()
}

fn token(pair: usize) -> String {
    let (algorithm, private, _) = PAIRS[pair];
    let key = match algorithm {
        Algorithm::EdDSA => EncodingKey::from_ed_pem(private.as_bytes()),
        Algorithm::ES256 => EncodingKey::from_ec_pem(private.as_bytes()),
        _ => EncodingKey::from_rsa_pem(private.as_bytes()),
    };
    let claims = json!({"iss": "https://hub.example/", "aud": "live", "exp": now() + 600, "sub": "zoe"});
    encode(&Header::new(algorithm), &claims, &key.unwrap()).unwrap()
}

fn hub(address: SocketAddr) -> Issuers {
    let key = IssuerKey::Jwks(format!("http://{address}/jwks.json"));
    let [name, issuer, audience, user_claim] =
        ["hub", "https://hub.example/", "live", "sub"].map(str::to_owned);
    Issuers::new(vec![IssuerConfig { name, issuer, audience, user_claim, key }]).unwrap()
}

/// How a key server responds, until the client disconnects; counts bytes sent.
enum Mode {
    Answer(String),
    Endless,
    Drip,
    Silent,
}

async fn serve(mode: Mode) -> (SocketAddr, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (hits, sent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, bytes) = (Arc::clone(&hits), Arc::clone(&sent));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, SeqCst);
            let _hung_up = answer(stream, &mode, &bytes).await;
        }
    });
    (address, hits, sent)
}

async fn answer(mut stream: TcpStream, mode: &Mode, sent: &AtomicUsize) -> std::io::Result<()> {
    let mut request = [0; 1024];
    let read = stream.read(&mut request).await?;
    assert!(request[..read].starts_with(b"GET /jwks.json HTTP/1.1\r\n"));
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    match mode {
        Mode::Answer(text) => stream.write_all(text.as_bytes()).await?,
        Mode::Endless => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).await?;
            loop {
                stream.write_all(&[b' '; 4096]).await?;
                sent.fetch_add(4096, SeqCst);
            }
        }
        Mode::Drip => {
            stream.write_all(format!("{OK}\r\n").as_bytes()).await?;
            for byte in set().bytes() {
                tokio::time::sleep(Duration::from_millis(200)).await;
                stream.write_all(&[byte]).await?;
            }
        }
        Mode::Silent => {
            // Until the client disconnects.
            stream.read_to_end(&mut Vec::new()).await?;
        }
    }
    Ok(())
}

fn ok(body: &str) -> Mode {
    Mode::Answer(format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

#[tokio::test]
async fn a_working_server_gets_one_request_for_all_kinds_of_keys() {
    let (address, hits, _) = serve(ok(&set())).await;
    let hub = Arc::new(hub(address));
    let logins: Vec<_> = (0..30)
        .map(|n| {
            let hub = Arc::clone(&hub);
            tokio::spawn(async move { hub.login(&token(n % 3), now()).await })
        })
        .collect();
    for login in logins {
        assert_eq!(login.await.unwrap().unwrap().username, "hub:zoe");
    }
    assert_eq!(hits.load(SeqCst), 1);
}

#[tokio::test]
async fn a_broken_server_is_an_outage_and_costs_few_requests() {
    let huge = format!("{}{}", " ".repeat(64 * 1024), set());
    for mode in [
        Mode::Answer("HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()),
        Mode::Answer("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()),
        Mode::Answer("SSH-2.0-OpenSSH\r\n".into()),
        ok("<html>not keys</html>"),
        ok(""),
        ok("{\"keys\":null}"),
        ok(&huge),
    ] {
        let (address, hits, _) = serve(mode).await;
        let hub = hub(address);
        for _ in 0..3 {
            assert_eq!(hub.login(&token(0), now()).await, Err(IssuerError::Unavailable));
        }
        assert_eq!(hits.load(SeqCst), 1, "not more than every 5 s");
    }
}

#[tokio::test]
async fn an_endless_response_is_cut_off() {
    let (address, _, sent) = serve(Mode::Endless).await;
    let begun = Instant::now();
    assert_eq!(hub(address).login(&token(0), now()).await, Err(IssuerError::Unavailable));
    assert!(begun.elapsed() < Duration::from_secs(2));
    // What the sockets' buffers took before the client disconnected, and no more than that.
    assert!(sent.load(SeqCst) < 16 << 20, "{sent:?}");
}

#[tokio::test]
async fn a_slow_response_ends_after_3_s() {
    for mode in [Mode::Drip, Mode::Silent] {
        let (address, _, _) = serve(mode).await;
        let begun = Instant::now();
        assert_eq!(hub(address).login(&token(0), now()).await, Err(IssuerError::Unavailable));
        let took = begun.elapsed();
        assert!((Duration::from_millis(2900)..Duration::from_secs(5)).contains(&took), "{took:?}");
    }
}

#[tokio::test]
async fn an_invalid_token_causes_no_fetch() {
    let (address, hits, _) = serve(ok(&set())).await;
    let hub = hub(address);
    let key = EncodingKey::from_secret(b"x");
    let forge = |claims| encode(&Header::default(), &claims, &key).unwrap();
    for claims in [
        json!({"iss": "https://hub.example/", "aud": "other", "exp": now() + 600, "sub": "zoe"}),
        json!({"iss": "https://other.example/", "aud": "live", "exp": now() + 600, "sub": "zoe"}),
        json!({"iss": "https://hub.example/", "aud": "live", "sub": "zoe"}),
    ] {
        assert_eq!(hub.login(&forge(claims), now()).await, Err(IssuerError::Invalid));
    }
    assert_eq!(hits.load(SeqCst), 0);
    // HS256 with a set of public keys: no key there can verify it.
    let valid = json!({"iss": "https://hub.example/", "aud": "live", "exp": now() + 600, "sub": "zoe"});
    assert_eq!(hub.login(&forge(valid), now()).await, Err(IssuerError::Invalid));
}

#[tokio::test]
async fn a_closed_port_is_an_outage() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(hub(address).login(&token(0), now()).await, Err(IssuerError::Unavailable));
}

/// The machine's certificates are found and the connector is built; a closed port is then an outage like any other.
#[tokio::test]
async fn https_can_be_configured() {
    let key = IssuerKey::Jwks("https://127.0.0.1:1/jwks.json".into());
    let [name, issuer, audience, user_claim] =
        ["hub", "https://hub.example/", "live", "sub"].map(str::to_owned);
    let hub = Issuers::new(vec![IssuerConfig { name, issuer, audience, user_claim, key }]).unwrap();
    assert_eq!(hub.login(&token(0), now()).await, Err(IssuerError::Unavailable));
}
