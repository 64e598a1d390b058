//! Any text as an access token, an issuer's token, a ticket and a challenge: no panic, and nothing that was not made here is taken.
//!
//! The fuzzer cannot sign, so what it finds must be refused; a header or payload that it bends around a good signature too.
#![no_main]

use fanfare_auth::challenge::Challenges;
use fanfare_auth::issuers::{IssuerConfig, IssuerKey, Issuers};
use fanfare_auth::ticket::Tickets;
use fanfare_auth::token::{Claims, Keys, Tokens};
use fanfare_e2ee::b64;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

const NOW: u64 = 1_780_000_000;

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    let keys = Keys::from_secret("a secret of the fuzzer with 32 bytes").expect("long enough");
    Tokens::new(keys, "https://chat.example".into(), vec![])
});
static ISSUERS: LazyLock<Issuers> = LazyLock::new(|| {
    let [name, issuer, audience, user_claim] = ["shop", "shop", "live", "sub"].map(str::to_owned);
    let key = IssuerKey::Hmac("a secret of the fuzzer with 32 bytes".into());
    Issuers::new(vec![IssuerConfig { name, issuer, audience, user_claim, key }]).expect("a good row")
});
static TICKETS: LazyLock<Tickets> = LazyLock::new(|| Tickets::new([3; 32]));
static CHALLENGES: LazyLock<Challenges> = LazyLock::new(|| Challenges::new([3; 32], "https://chat.example".into()));

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    refuse(text);
    // As a header and as a payload, so that the fuzzer need not find base64url first.
    let good = good();
    let mut parts: Vec<&str> = good.split('.').collect();
    let bent = b64::encode(data);
    for at in [0, 1] {
        let before = std::mem::replace(&mut parts[at], &bent);
        if before != bent {
            refuse(&parts.join("."));
        }
        parts[at] = before;
    }
    assert!(TICKETS.open(text, 0).is_err() && CHALLENGES.check(text, "alice", 0).is_err());
});

fn refuse(token: &str) {
    assert!(token == good() || TOKENS.verify(token, NOW).is_err());
    let _known = ISSUERS.knows(token);
    // With one key at hand nothing waits: the future is ready at the first poll.
    let mut login = std::pin::pin!(ISSUERS.login(token, NOW));
    let mut subscription = std::pin::pin!(ISSUERS.subscription(token, NOW));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(matches!(login.as_mut().poll(&mut context), std::task::Poll::Ready(Err(_))));
    assert!(matches!(subscription.as_mut().poll(&mut context), std::task::Poll::Ready(Err(_))));
}

fn good() -> &'static str {
    static GOOD: LazyLock<String> = LazyLock::new(|| {
        let text = |text: &str| text.to_owned();
        let (iat, exp) = (NOW, NOW + 900);
        TOKENS.sign(&Claims {
            sub: text("u"),
            sid: text("s"),
            jti: text("j"),
            iat,
            nbf: iat,
            exp,
            dev: None,
            name: text("alice"),
            role: text("user"),
        })
    });
    &GOOD
}
