//! The opening handshake (RFC 6455 section 4.2) without HTTP: request headers in, response headers out.
//!
//! The caller has matched the route, so it checks method (GET), HTTP version (1.1), `Host`, `Origin` and credentials
//! itself. Only what is in the returned [`Accepted`] is negotiated.

mod error;
mod extensions;
mod key;

pub use error::HandshakeError;
pub use extensions::DeflateParams;
pub use key::AcceptKey;

/// The only protocol version supported.
pub const VERSION: &str = "13";

/// The options of one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'p> {
    /// The supported subprotocols, compared case-sensitively.
    pub protocols: &'p [&'p str],
    /// Whether the server accepts permessage-deflate when a client offers it. Off by default.
    pub deflate: bool,
}

/// The negotiated values of an upgrade to be answered with 101.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted<'p> {
    /// For `Sec-WebSocket-Accept`.
    pub accept_key: AcceptKey,
    /// For `Sec-WebSocket-Protocol`; without one the header is left out.
    pub protocol: Option<&'p str>,
    /// For `Sec-WebSocket-Extensions` (its `Display`); without one the header is left out.
    pub deflate: Option<DeflateParams>,
}

/// Checks an upgrade request.
///
/// `values` gives all values of a header, in order, by its lower-case name. With the `http` crate:
/// `|name| headers.get_all(name).iter().map(|value| value.as_bytes())`.
///
/// The subprotocol is the first one of the client's list that the server supports (section 4.2.2); the extension offer
/// is the first one the server can meet (RFC 7692 section 5).
///
/// # Errors
/// What is missing or invalid; its [`status`](HandshakeError::status) and [`header`](HandshakeError::header) make the
/// response.
pub fn check<'h, 'p, V>(
    values: impl Fn(&'static str) -> V,
    options: &Options<'p>,
) -> Result<Accepted<'p>, HandshakeError>
where
    V: Iterator<Item = &'h [u8]>,
{
    if !has_token(values("upgrade"), b"websocket") {
        return Err(HandshakeError::NoUpgrade);
    }
    if !has_token(values("connection"), b"upgrade") {
        return Err(HandshakeError::NoConnectionUpgrade);
    }
    if sole(values("sec-websocket-version")) != Some(VERSION.as_bytes()) {
        return Err(HandshakeError::UnsupportedVersion);
    }
    let key = sole(values("sec-websocket-key")).ok_or(HandshakeError::BadKey)?;
    let accept_key = AcceptKey::of(key).ok_or(HandshakeError::BadKey)?;
    let protocol = list(values("sec-websocket-protocol"))
        .find_map(|offered| options.protocols.iter().copied().find(|known| known.as_bytes() == offered));
    let deflate = match options.deflate {
        true => extensions::negotiate(values("sec-websocket-extensions"))?,
        false => None,
    };
    Ok(Accepted { accept_key, protocol, deflate })
}

/// The elements of a comma-separated header that may be split into several lines (RFC 9110 section 5.6.1).
fn list<'h>(values: impl Iterator<Item = &'h [u8]>) -> impl Iterator<Item = &'h [u8]> {
    values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|v| !v.is_empty())
}

fn has_token<'h>(values: impl Iterator<Item = &'h [u8]>, token: &[u8]) -> bool {
    list(values).any(|value| value.eq_ignore_ascii_case(token))
}

/// The value of a header that must appear exactly once.
fn sole<'h>(mut values: impl Iterator<Item = &'h [u8]>) -> Option<&'h [u8]> {
    let value = values.next()?.trim_ascii();
    values.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests;
