//! The address of a server: a parsed `ws://` or `wss://` URL and the request of each upgrade.

use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri};

use rustls::ClientConfig;
use std::sync::Arc;

use crate::error::Error;
use crate::transport::{self, Transport};
use crate::trust::Trust;

/// The subprotocol of the typed dialect (protocol.md 2).
const SUBPROTOCOL: &str = "fanfare.v1";

/// The keys to resume the same session (protocol.md 3.1).
#[derive(Debug, Clone)]
pub(crate) struct SessionKeys {
    pub(crate) code: String,
    pub(crate) resume_token: String,
}

/// A server's WebSocket endpoint with the credential sent to it. Exists only for URLs that can be opened.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    url: String,
    host: String,
    port: u16,
    /// The TLS configuration, for `wss`.
    tls: Option<Arc<ClientConfig>>,
    authorization: Option<HeaderValue>,
}

impl Target {
    pub(crate) fn parse(url: &str, token: Option<&str>, trust: &Trust) -> Result<Self, Error> {
        let uri: Uri = url.parse().map_err(|e| Error::Url(format!("{url}: {e}")))?;
        let tls = match uri.scheme_str() {
            Some("ws") => None,
            Some("wss") => Some(trust.config()?),
            _ => return Err(Error::Url(format!("{url}: it must begin with ws:// or wss://"))),
        };
        let host = uri.host().unwrap_or_default().to_owned();
        if host.is_empty() {
            return Err(Error::Url(format!("{url}: no host")));
        }
        let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
        let authorization =
            token
                .map(|token| HeaderValue::try_from(format!("Bearer {token}")))
                .transpose()
                .map_err(|_| Error::Url("the token holds characters that a header cannot carry".into()))?;
        Ok(Self { url: url.to_owned(), host, port, tls, authorization })
    }

    /// Connects, with TLS for `wss`.
    pub(crate) async fn connect(&self) -> std::io::Result<Transport> {
        transport::connect(&self.host, self.port, self.tls.clone()).await
    }

    /// The upgrade request, resuming `session` if there is one.
    pub(crate) fn request(&self, session: Option<&SessionKeys>) -> Result<Request, Error> {
        let url = match session {
            None => self.url.clone(),
            Some(SessionKeys { code, resume_token }) => {
                let joint = if self.url.contains('?') { '&' } else { '?' };
                format!("{}{joint}session={}&resume={}", self.url, escape(code), escape(resume_token))
            }
        };
        let mut request = url.into_client_request().map_err(|e| Error::Url(e.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        Ok(request)
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_sent_in_the_query() {
        let keys = SessionKeys { code: "happy-panda-42".into(), resume_token: "a+b/c=".into() };
        for (url, query) in [
            ("ws://localhost:8080/ws", "session=happy-panda-42&resume=a%2Bb%2Fc%3D"),
            ("ws://localhost/ws?x=1", "x=1&session=happy-panda-42&resume=a%2Bb%2Fc%3D"),
        ] {
            let request = Target::parse(url, None, &Trust::System).unwrap().request(Some(&keys)).unwrap();
            assert_eq!(request.uri().query(), Some(query));
        }
    }

    #[test]
    fn the_token_and_the_subprotocol_are_headers() {
        let request = Target::parse("ws://h/ws", Some("t0"), &Trust::System).unwrap().request(None).unwrap();
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer t0");
        assert_eq!(request.headers()[SEC_WEBSOCKET_PROTOCOL], "fanfare.v1");
    }

    #[test]
    fn urls_that_cannot_be_opened_are_refused() {
        for url in ["http://h/ws", "https://h/ws", "h", "ws://", "ws:///ws"] {
            assert!(matches!(Target::parse(url, None, &Trust::System), Err(Error::Url(_))), "{url}");
        }
        assert!(Target::parse("ws://h/", Some("a\nb"), &Trust::System).is_err());
    }
}
