//! UTF-8 that arrives in pieces (RFC 6455 section 8.1): refused at the first invalid byte.

use crate::ProtocolError;

const INVALID: ProtocolError = ProtocolError::data("text is not UTF-8");

/// Checks the part of `bytes` that was not checked before and moves `checked` to the end of the last whole character.
pub(super) fn check_prefix(bytes: &[u8], checked: &mut usize) -> Result<(), ProtocolError> {
    match std::str::from_utf8(&bytes[*checked..]) {
        Ok(rest) => *checked += rest.len(),
        Err(error) if error.error_len().is_none() => *checked += error.valid_up_to(),
        Err(_) => return Err(INVALID),
    }
    Ok(())
}

/// Checks a whole text.
#[inline]
pub(super) fn check_whole(bytes: &[u8]) -> Result<&str, ProtocolError> {
    std::str::from_utf8(bytes).map_err(|_| INVALID)
}
