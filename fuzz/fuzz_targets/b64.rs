//! Any text as base64: what is read is written back as the same text but for alphabet and padding, and no second text of one
//! alphabet and padding gives the same bytes.
#![no_main]

use fanfare_e2ee::b64;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert_eq!(b64::decode(&b64::encode(data)).as_deref(), Ok(data));
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(bytes) = b64::decode(text) {
        let plain: String = text.trim_end_matches('=').chars().map(|c| match c {
            '+' => '-',
            '/' => '_',
            other => other,
        }).collect();
        assert_eq!(b64::encode(&bytes), plain);
        assert!(text.len() == plain.len() || text.len() % 4 == 0, "padding is full or absent");
        assert_eq!(b64::decode_array::<32>(text).is_ok(), bytes.len() == 32);
    }
});
