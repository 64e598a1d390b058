//! Web origins (RFC 6454).

use super::basic::{quote, text_of};
use super::error::Fault;
use super::hosts::{Host, HostPort, text_setting};
use super::node::Node;
use super::table::{Form, Setting};
use std::borrow::Cow;
use std::fmt;

/// A web origin in the form browsers send: `scheme://host[:port]`, lower case, no default port (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// Reads and normalises an origin.
    ///
    /// # Errors
    /// What is wrong and how it is written.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Err("`*` is not taken: list the exact origins, such as `https://app.example`".into());
        }
        let wrong =
            |why: &str| format!("{} {why}: write `scheme://host` or `scheme://host:port`", quote(text));
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("is no origin"))?;
        let scheme = scheme.to_ascii_lowercase();
        let letter = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(letter) {
            return Err(wrong("has no valid scheme"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(wrong("has more than an origin has (no path, no final slash)"));
        }
        if rest.contains('@') {
            return Err(wrong("holds a user name"));
        }
        let default = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let at = HostPort::parse(rest, Some(0)).map_err(|_| wrong("has no valid host or port"))?;
        let shown =
            if at.port == 0 || Some(at.port) == default { at.host.to_string() } else { at.to_string() };
        Ok(Self(format!("{scheme}://{shown}")))
    }

    /// The origin of a listener.
    pub(super) fn of(scheme: &str, host: &Host, port: u16) -> Self {
        let default = if scheme == "https" { 443 } else { 80 };
        let port = if port == default { String::new() } else { format!(":{port}") };
        Self(format!("{scheme}://{host}{port}"))
    }

    /// The text, as a browser sends it in `Origin`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The scheme, such as `https`.
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }

    /// The host without port.
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let end = rest.rfind(']').map_or(0, |i| i + 1);
        rest[end..].find(':').map_or(rest, |i| &rest[..end + i])
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
text_setting!(Origin, "origin", Origin::parse);

/// Origin of a front end on the developer's own machine, as the seeds have it.
const DEVELOPMENT_ORIGIN: &str = "http://localhost:3000";

/// The origins whose pages may connect (`server.cors_origins`).
#[derive(Clone, Debug, Default)]
pub struct CorsOrigins {
    /// The listed ones.
    pub list: Vec<Origin>,
    /// Whether all origins of this machine are admitted beside them: in development while the key is not set.
    pub any_local: bool,
}

/// By the list, which is all that is shown and written: a default that is written down and read back is equal to it.
impl PartialEq for CorsOrigins {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl CorsOrigins {
    /// The default in development.
    pub(super) fn development() -> Self {
        Self { list: vec![Origin(DEVELOPMENT_ORIGIN.to_owned())], any_local: true }
    }
}

impl Setting for CorsOrigins {
    const FORM: Form = <Vec<Origin>>::FORM;

    fn shape() -> Cow<'static, str> {
        <Vec<Origin>>::shape()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        Ok(Self { list: Setting::read(node)?, any_local: false })
    }

    fn show(&self) -> Option<Node> {
        self.list.show()
    }
}

/// The server's own origin: `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(pub Origin);

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
text_setting!(WebOrigin, "origin", |text| {
    let origin = Origin::parse(text)?;
    let web = matches!(origin.scheme(), "http" | "https");
    if web {
        Ok(Self(origin))
    } else {
        Err(format!("{} must start with `https://` or `http://`", quote(text)))
    }
});

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(text: &str) -> Result<T, Fault> {
        T::read(&Node::text(text))
    }

    #[test]
    fn origins_take_the_form_browsers_send() {
        for (text, want, host) in [
            ("http://localhost:3000", "http://localhost:3000", "localhost"),
            ("HTTPS://App.Example:443", "https://app.example", "app.example"),
            ("http://a:80", "http://a", "a"),
            ("https://[::1]:8443", "https://[::1]:8443", "[::1]"),
            ("https://[::1]", "https://[::1]", "[::1]"),
            ("capacitor://localhost", "capacitor://localhost", "localhost"),
        ] {
            let origin = Origin::parse(text).unwrap();
            assert_eq!((origin.as_str(), origin.host()), (want, host), "{text}");
        }
        for bad in [
            "*",
            "localhost:3000",
            "http://",
            "http://a/",
            "http://a/b",
            "http://u@a",
            "http://a:x",
            "http://a b",
            "null",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
        assert!(read::<WebOrigin>("ftp://a").is_err());
    }
}
