//! Binary fields as text: base64url without padding (RFC 4648 section 5) is written; base64url and the standard
//! alphabet, with or without full padding, are read.
//!
//! Several texts therefore mean the same bytes: compare and sign decoded bytes only. Whitespace, partial padding and
//! non-zero trailing bits are rejected, so that no input is dropped silently.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{
    DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::URL_SAFE_NO_PAD,
};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new();
const PADDED: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, CONFIG.with_decode_padding_mode(DecodePaddingMode::RequireCanonical));
const BARE: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, CONFIG.with_decode_padding_mode(DecodePaddingMode::RequireNone));

/// The text is not base64 of the expected length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not base64 of the expected length")]
pub struct Malformed;

/// Writes base64url without padding.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64 in either alphabet, with or without padding.
///
/// # Errors
/// [`Malformed`] for every kind of invalid text.
pub fn decode(text: &str) -> Result<Vec<u8>, Malformed> {
    let engine = if text.ends_with('=') { PADDED } else { BARE };
    let standard: Vec<u8> = text.bytes().map(to_standard).collect();
    engine.decode(standard).map_err(|_| Malformed)
}

/// Reads exactly `N` bytes.
///
/// # Errors
/// [`Malformed`], also when the text holds more or fewer bytes. A text that is too long is rejected before it is
/// decoded.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], Malformed> {
    if text.len() > N.div_ceil(3) * 4 {
        return Err(Malformed);
    }
    decode(text)?.try_into().map_err(|_| Malformed)
}

fn to_standard(byte: u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, decode, decode_array, encode};

    #[test]
    fn both_alphabets_and_padding_are_read() {
        for text in ["-_-_Ag", "+/+/Ag", "+/+/Ag==", "-_-_Ag=="] {
            assert_eq!(decode(text), Ok(vec![0xfb, 0xff, 0xbf, 2]), "{text}");
        }
        assert_eq!(encode(&[0xfb, 0xff, 0xbf, 2]), "-_-_Ag");
        assert_eq!(decode(""), Ok(vec![]));
    }

    #[test]
    fn inexact_encodings_are_rejected() {
        for text in [
            "A", "AA=", "AA===", "AB", "AAB", "AA==AA", "=", "====", "A A", "AA\n", " AA", "AA\0", "é",
            "AA.A",
        ] {
            assert_eq!(decode(text), Err(Malformed), "{text:?}");
        }
    }

    #[test]
    fn an_array_has_its_length() {
        assert_eq!(decode_array::<4>("-_-_Ag"), Ok([0xfb, 0xff, 0xbf, 2]));
        assert_eq!(decode_array::<3>("-_-_Ag"), Err(Malformed));
        assert_eq!(decode_array::<5>("-_-_Ag"), Err(Malformed));
        assert_eq!(decode_array::<0>(""), Ok([]));
    }

    #[test]
    fn all_lengths_go_round() {
        let bytes: Vec<u8> = (0..=255).collect();
        for n in 0..=bytes.len() {
            assert_eq!(decode(&encode(&bytes[..n])).as_deref(), Ok(&bytes[..n]));
        }
    }
}
