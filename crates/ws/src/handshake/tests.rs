use super::*;
use crate::deflate::WindowBits;
use proptest::prelude::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const GOOD: [(&str, &str); 4] = [
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

fn run<'p>(headers: &[(&str, &str)], options: &Options<'p>) -> Result<Accepted<'p>, HandshakeError> {
    check(|name| headers.iter().filter(move |(n, _)| *n == name).map(|(_, value)| value.as_bytes()), options)
}

/// The valid request with one header replaced or removed.
fn with(name: &str, value: Option<&str>) -> Result<Accepted<'static>, HandshakeError> {
    let mut headers: Vec<_> = GOOD.into_iter().filter(|(n, _)| *n != name).collect();
    headers.extend(value.map(|value| (name, value)));
    run(&headers, &Options::default())
}

fn protocol(offers: &[&str]) -> Option<&'static str> {
    let mut headers = GOOD.to_vec();
    headers.extend(offers.iter().map(|offer| ("sec-websocket-protocol", *offer)));
    run(&headers, &Options { protocols: &["fanfare.v1", "jsonrpc"], deflate: false }).unwrap().protocol
}

fn extensions(offers: &[&str]) -> Result<Option<String>, HandshakeError> {
    let mut headers = GOOD.to_vec();
    headers.extend(offers.iter().map(|offer| ("sec-websocket-extensions", *offer)));
    let accepted = run(&headers, &Options { protocols: &[], deflate: true })?;
    Ok(accepted.deflate.map(|params| params.to_string()))
}

#[test]
fn section_1_3_example() {
    let accepted = run(&GOOD, &Options::default()).unwrap();
    assert_eq!(accepted.accept_key.as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((accepted.protocol, accepted.deflate), (None, None));
}

#[test]
fn tokens_are_found_in_lists_of_any_case() {
    assert!(with("connection", Some("keep-alive, UPGRADE")).is_ok());
    assert!(with("upgrade", Some("h2c , WebSocket")).is_ok());
    assert_eq!(with("connection", Some("keep-alive")), Err(HandshakeError::NoConnectionUpgrade));
    assert_eq!(with("connection", Some("upgraded")), Err(HandshakeError::NoConnectionUpgrade));
    assert_eq!(with("connection", None), Err(HandshakeError::NoConnectionUpgrade));
    assert_eq!(with("upgrade", None), Err(HandshakeError::NoUpgrade));
    assert_eq!(with("upgrade", Some("h2c")), Err(HandshakeError::NoUpgrade));
}

#[test]
fn keys_are_sixteen_bytes_sent_once() {
    for invalid in [
        "",
        "abc",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25jZTEy",
        "!!!!!!!!!!!!!!!!!!!!!!==",
    ] {
        assert_eq!(with("sec-websocket-key", Some(invalid)), Err(HandshakeError::BadKey), "{invalid}");
    }
    assert_eq!(with("sec-websocket-key", None), Err(HandshakeError::BadKey));
    assert!(
        with("sec-websocket-key", Some(" dGhlIHNhbXBsZSBub25jZR== ")).is_ok(),
        "left-over bits do no harm"
    );
    let mut twice = GOOD.to_vec();
    twice.push(("sec-websocket-key", KEY));
    assert_eq!(run(&twice, &Options::default()), Err(HandshakeError::BadKey));
}

#[test]
fn other_versions_are_refused_with_the_supported_one() {
    for invalid in [None, Some("8"), Some("13, 8"), Some("013")] {
        let error = with("sec-websocket-version", invalid).unwrap_err();
        assert_eq!(error, HandshakeError::UnsupportedVersion);
        assert_eq!((error.status(), error.header()), (426, Some(("sec-websocket-version", "13"))));
    }
}

#[test]
fn refusals_have_their_status() {
    use HandshakeError::{BadExtensions, BadKey, NoConnectionUpgrade, NoUpgrade};
    assert_eq!((NoUpgrade.status(), NoUpgrade.header()), (426, Some(("upgrade", "websocket"))));
    for error in [BadExtensions, BadKey, NoConnectionUpgrade] {
        assert_eq!((error.status(), error.header()), (400, None));
        assert!(!error.to_string().is_empty());
    }
}

#[test]
fn the_first_known_subprotocol_of_the_client_wins() {
    assert_eq!(protocol(&[]), None);
    assert_eq!(protocol(&["chat, JSONRPC"]), None);
    assert_eq!(protocol(&["chat, jsonrpc, fanfare.v1"]), Some("jsonrpc"));
    assert_eq!(protocol(&["chat", " fanfare.v1 ,jsonrpc"]), Some("fanfare.v1"));
}

const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[test]
fn offers_that_are_taken() {
    let offers = [
        "permessage-deflate",
        "Permessage-Deflate; client_max_window_bits",
        "permessage-deflate;client_max_window_bits=8",
        "permessage-deflate ; client_max_window_bits = \"15\" ;server_no_context_takeover; client_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate",
        ", foo; bar=\"ba\\z\",, permessage-deflate ,",
        "permessage-deflate; unknown, permessage-deflate",
    ];
    for offer in offers {
        assert_eq!(extensions(&[offer]), Ok(Some(PLAIN.into())), "{offer}");
    }
    assert_eq!(extensions(&["foo", "permessage-deflate"]), Ok(Some(PLAIN.into())));
}

#[test]
fn the_servers_window_is_kept_and_returned() {
    let offer =
        "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=\"1\\0\"";
    assert_eq!(extensions(&[offer]), Ok(Some(format!("{PLAIN}; server_max_window_bits=10"))));
    let params = DeflateParams { server_max_window_bits: WindowBits::new(9) };
    assert_eq!(params.window().get(), 9);
    assert_eq!(DeflateParams { server_max_window_bits: None }.window(), WindowBits::MAX);
}

#[test]
fn offers_that_are_declined() {
    let offers = [
        "foo",
        "permessage-deflate; foo",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
    ];
    for offer in offers {
        if offer.ends_with('=') {
            assert_eq!(extensions(&[offer]), Err(HandshakeError::BadExtensions), "{offer}");
        } else {
            assert_eq!(extensions(&[offer]), Ok(None), "{offer}");
        }
    }
}

#[test]
fn malformed_offers_fail_the_handshake_only_where_they_matter() {
    for invalid in [
        "permessage-deflate;",
        "; a",
        "a b",
        "a=b",
        "a; b=\"c",
        "a; b=\"\"",
        "a; b=\"c d\"",
        "a; b=c=d",
        "\u{e9}",
    ] {
        assert_eq!(extensions(&[invalid]), Err(HandshakeError::BadExtensions), "{invalid}");
        assert_eq!(
            with("sec-websocket-extensions", Some(invalid)).map(|accepted| accepted.deflate),
            Ok(None)
        );
    }
}

proptest! {
    #[test]
    fn no_offer_makes_it_panic(offer in "(permessage-deflate|server_max_window_bits|[a-z0-9]|[;,=\"\\\\ \t\\xff]){0,12}") {
        if let Ok(Some(answer)) = extensions(&[&offer]) {
            prop_assert!(answer.starts_with(PLAIN));
        }
    }
}
