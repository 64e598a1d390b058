//! Any header values of an upgrade: no panic; what is accepted was asked for.
//!
//! Lines of the input are `name: value`; the names that must be there are, so that the fuzzer reaches the lists.
#![no_main]

use fanfare_ws::handshake::{Options, check};
use libfuzzer_sys::fuzz_target;

const PROTOCOLS: [&str; 2] = ["jsonrpc-2.0", "fanfare.v1"];
const GOOD: [(&[u8], &[u8]); 4] = [
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
];

fuzz_target!(|data: &[u8]| {
    let sent: Vec<(&[u8], &[u8])> = data
        .split(|b| *b == b'\n')
        .filter_map(|line| line.split_at_checked(line.iter().position(|b| *b == b':')?))
        .map(|(name, value)| (name, value[1..].trim_ascii()))
        .collect();
    let all: Vec<_> = sent.iter().chain(GOOD.iter().filter(|(name, _)| sent.iter().all(|s| s.0 != *name))).collect();
    let values = |name: &'static str| all.iter().filter(move |h| h.0 == name.as_bytes()).map(|h| h.1);
    for deflate in [false, true] {
        let Ok(accepted) = check(values, &Options { protocols: &PROTOCOLS, deflate }) else { continue };
        if let Some(protocol) = accepted.protocol {
            let asked = values("sec-websocket-protocol").flat_map(|v| v.split(|b| *b == b','));
            assert!(asked.map(<[u8]>::trim_ascii).any(|one| one == protocol.as_bytes()));
        }
        assert!(deflate || accepted.deflate.is_none());
        if let Some(params) = accepted.deflate {
            let asked = values("sec-websocket-extensions").any(|v| v.to_ascii_lowercase().windows(18).any(|w| w == b"permessage-deflate"));
            assert!(asked && params.to_string().starts_with("permessage-deflate; "));
        }
    }
});
