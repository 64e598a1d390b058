//! Addresses: hosts, origins, networks, and the URLs of engines with their passwords masked.

use super::basic::{quote, text_of};
use super::error::Fault;
use super::node::Node;
use super::table::{Form, Setting};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

/// Declares a setting that is a checked text: how it is called, and how it is read.
macro_rules! text_setting {
    ($ty:ty, $shape:literal, $read:expr) => {
        impl Setting for $ty {
            const FORM: Form = Form::Text;

            fn shape() -> Cow<'static, str> {
                $shape.into()
            }

            fn read(node: &Node) -> Result<Self, Fault> {
                let read: fn(&str) -> Result<Self, String> = $read;
                read(text_of(node, concat!("a text (", $shape, ")"))?.trim()).map_err(Fault::new)
            }

            fn show(&self) -> Option<Node> {
                Some(Node::text(self.to_string()))
            }
        }
    };
}

/// A host to listen on or connect to: an IP address or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Ip(IpAddr),
    /// A name, lower case.
    Name(String),
}

impl Host {
    /// Reads `127.0.0.1`, `::1`, `[::1]` or a DNS name.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Ok(Self::Ip(ip));
        }
        let label = |l: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=63).contains(&l.len()) && l.chars().all(inner) && !l.starts_with('-') && !l.ends_with('-')
        };
        let name = text.to_ascii_lowercase();
        // Digits and dots alone are a mistyped address, not a name.
        let numeric = name.chars().all(|c| c.is_ascii_digit() || c == '.');
        if name.len() <= 253 && !numeric && name.split('.').all(label) {
            return Ok(Self::Name(name));
        }
        Err(format!("{} is neither an IP address nor a host name", quote(text)))
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.to_canonical().is_loopback(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// As in a URL: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => write!(f, "{ip}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Setting for Host {
    const FORM: Form = Form::Text;

    fn shape() -> Cow<'static, str> {
        "IP address or host name".into()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        Self::parse(text_of(node, "an IP address or host name")?.trim()).map_err(Fault::new)
    }

    fn show(&self) -> Option<Node> {
        Some(Node::text(match self {
            Self::Ip(ip) => ip.to_string(),
            Self::Name(name) => name.clone(),
        }))
    }
}

/// A host with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`; without a port, `default` is taken if there is one.
    fn parse(text: &str, default: Option<u16>) -> Result<Self, String> {
        let wrong = || format!("{} is no address: write `host:port`", quote(text));
        let (host, port) = match text.rsplit_once(':') {
            // The colon belongs to the address itself.
            Some((host, _)) if host.contains(':') && !host.ends_with(']') => (text, None),
            Some((_, port)) if port.ends_with(']') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let digits = |p: &&str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit());
        let port = match port {
            Some(port) => Some(port).filter(digits).and_then(|p| p.parse().ok()).ok_or_else(wrong)?,
            None => default.ok_or_else(wrong)?,
        };
        Ok(Self { host: Host::parse(host)?, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
text_setting!(HostPort, "`host:port`", |text| HostPort::parse(text, None));

/// A Kafka broker; the port may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddr(pub HostPort);

impl fmt::Display for BrokerAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
text_setting!(BrokerAddr, "`host:port`", |text| HostPort::parse(text, Some(9092)).map(BrokerAddr));

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub ipnet::IpNet);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
text_setting!(Network, "network such as `10.0.0.0/8`", |text| {
    let one = || text.parse::<IpAddr>().ok().map(ipnet::IpNet::from);
    let net = text.parse::<ipnet::IpNet>().ok().or_else(one);
    net.map(|n| Network(n.trunc()))
        .ok_or_else(|| format!("{} is no network: write `10.0.0.0/8` or an address", quote(text)))
});

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

    /// An origin that is known to be right.
    pub(super) fn known(text: &str) -> Self {
        Self(text.to_owned())
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
text_setting!(Origin, "origin such as `https://app.example`", Origin::parse);

/// The server's own origin: `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin(pub Origin);

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
text_setting!(WebOrigin, "origin such as `https://live.example`", |text| {
    let origin = Origin::parse(text)?;
    let web = matches!(origin.scheme(), "http" | "https");
    if web {
        Ok(Self(origin))
    } else {
        Err(format!("{} must start with `https://` or `http://`", quote(text)))
    }
});

/// An engine's URL, whose password neither `Debug` nor messages show.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// The URL with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part before the first colon.
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }
}

/// With its passwords masked.
impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

/// A URL with `***` for the password before `@` and for the values of its query.
pub(super) fn masked(url: &str) -> String {
    let mut shown = url.to_owned();
    if let Some(start) = url.find("://").map(|i| i + 3) {
        // A password may hold a raw `/`, `?` or `@`: the last `@` of all ends it, at the price of masking too much.
        let end = url[start..].rfind('@').map(|i| start + i);
        let colon = end.and_then(|end| Some((end, start + url[start..end].find(':')?)));
        if let Some((end, colon)) = colon {
            shown = format!("{}:***{}", &url[..colon], &url[end..]);
        }
    }
    let hide = |pair: &str| pair.split_once('=').map_or(pair.to_owned(), |(name, _)| format!("{name}=***"));
    match shown.split_once('?') {
        Some((base, query)) => format!("{base}?{}", query.split('&').map(hide).collect::<Vec<_>>().join("&")),
        None => shown,
    }
}

/// Declares a setting that is an engine's URL.
macro_rules! engine_url {
    ($(#[$doc:meta])* $Name:ident, $shape:literal, $read:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $Name(pub SecretUrl);

        impl Setting for $Name {
            const FORM: Form = Form::Text;

            fn shape() -> Cow<'static, str> {
                $shape.into()
            }

            fn read(node: &Node) -> Result<Self, Fault> {
                let read: fn(&str) -> Option<String> = $read;
                let url = read(text_of(node, "a URL")?.trim()).filter(|url| !url.chars().any(char::is_whitespace));
                // Not quoted: it may hold a password.
                url.map(|u| Self(SecretUrl(u))).ok_or_else(|| Fault::new(concat!("must be ", $shape)))
            }

            fn show(&self) -> Option<Node> {
                Some(Node::text(self.0.expose()))
            }
        }
    };
}

engine_url!(
    /// Where messages and accounts are stored.
    StoreUrl,
    "`sqlite://path`, `sqlite::memory:` or `postgres://user:password@host/database`",
    |text| {
        let (scheme, rest) = text.split_once(':')?;
        let known = match scheme {
            "sqlite" => !rest.trim_start_matches('/').is_empty(),
            "postgres" | "postgresql" => rest.strip_prefix("//").is_some_and(|r| !r.is_empty()),
            _ => false,
        };
        known.then(|| text.to_owned())
    }
);

engine_url!(
    /// Where blobs are stored.
    FilesUrl,
    "`file:path` or `s3://bucket`",
    |text| {
        let (scheme, rest) = text.split_once(':')?;
        let known = match scheme {
            "file" => !rest.trim_start_matches('/').is_empty(),
            "s3" => rest.strip_prefix("//").is_some_and(|r| !r.is_empty()),
            _ => false,
        };
        known.then(|| text.to_owned())
    }
);

engine_url!(
    /// The Redis that joins the nodes of a cluster.
    RedisUrl,
    "`host:port`, `redis://…`, `rediss://…` or `unix://…`",
    |text| {
        if let Some((scheme, rest)) = text.split_once("://") {
            let known = ["redis", "rediss", "unix", "redis+unix"].contains(&scheme);
            return (known && !rest.is_empty()).then(|| text.to_owned());
        }
        HostPort::parse(text, Some(6379)).ok().map(|at| format!("redis://{at}"))
    }
);

impl StoreUrl {
    /// SQLite in the data folder.
    pub(super) fn in_folder(data_dir: &Path) -> Self {
        Self(SecretUrl(format!("sqlite://{}/fanfare.db", data_dir.display())))
    }
}

impl FilesUrl {
    /// A folder in the data folder.
    pub(super) fn in_folder(data_dir: &Path) -> Self {
        Self(SecretUrl(format!("file:{}/files", data_dir.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Setting>(text: &str) -> Result<T, Fault> {
        T::read(&Node::text(text))
    }

    #[test]
    fn hosts_are_addresses_or_names() {
        for (text, shown, loopback) in [
            ("0.0.0.0", "0.0.0.0", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("::1", "[::1]", true),
            ("[::]", "[::]", false),
            ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]", true),
            ("LocalHost", "localhost", true),
            ("live.example", "live.example", false),
        ] {
            let host = Host::parse(text).unwrap();
            assert_eq!((host.to_string().as_str(), host.is_loopback()), (shown, loopback), "{text}");
        }
        for bad in ["", "256.1.1.1", "a b", "http://x", "-a", "a..b", "127.0.0.1:80"] {
            assert!(Host::parse(bad).is_err(), "{bad}");
        }
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

    #[test]
    fn engines_are_known_by_their_scheme() {
        for good in ["sqlite://data/fanfare.db", "sqlite::memory:", "postgres://u:p@h/d", "postgresql://h/d"]
        {
            assert!(read::<StoreUrl>(good).is_ok(), "{good}");
        }
        for bad in ["oracle://x", "sqlite:", "postgres:x", "postgres://", "fanfare.db", "postgres://a b"] {
            assert!(read::<StoreUrl>(bad).is_err(), "{bad}");
        }
        for (text, url) in [
            ("cache:6379", "redis://cache:6379"),
            ("cache", "redis://cache:6379"),
            ("rediss://h:1/2", "rediss://h:1/2"),
        ] {
            assert_eq!(read::<RedisUrl>(text).unwrap().0.expose(), url);
        }
        for bad in ["http://x", "a:b:c", "cache:port", "redis://"] {
            assert!(read::<RedisUrl>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_of_urls_are_masked() {
        for (url, shown) in [
            ("postgres://ann:hunter2@db/x", "postgres://ann:***@db/x"),
            ("redis://:hunter2@db:1", "redis://:***@db:1"),
            ("redis://u:hun@ter/2@db:1", "redis://u:***@db:1"),
            ("redis://u:hun?ter=2@db:1", "redis://u:***@db:1"),
            ("postgres://db/x?user=ann&password=hunter2", "postgres://db/x?user=***&password=***"),
            ("postgres://ann@db/x", "postgres://ann@db/x"),
            ("sqlite://data/x.db", "sqlite://data/x.db"),
        ] {
            assert_eq!(masked(url), shown);
        }
        let wrong = read::<StoreUrl>("oracle://ann:hunter2@db").unwrap_err();
        assert!(!wrong.what.contains("hunter2"));
        assert!(!format!("{:?}", read::<StoreUrl>("postgres://ann:hunter2@db/x")).contains("hunter2"));
    }

    #[test]
    fn networks_are_ranges_or_single_addresses() {
        for (text, shown) in [("10.1.2.3/8", "10.0.0.0/8"), ("127.0.0.1", "127.0.0.1/32"), ("::1", "::1/128")]
        {
            assert_eq!(read::<Network>(text).unwrap().to_string(), shown);
        }
        for bad in ["10.0.0.0/33", "localhost", ""] {
            assert!(read::<Network>(bad).is_err(), "{bad}");
        }
    }
}
