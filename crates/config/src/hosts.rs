//! Hosts, ports and networks.

use super::basic::{quote, text_of};
use super::error::Fault;
use super::node::Node;
use super::table::{Form, Setting};
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

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
pub(super) use text_setting;

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
    pub(super) fn parse(text: &str, default: Option<u16>) -> Result<Self, String> {
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
text_setting!(BrokerAddr, "`host:port` pair", |text| HostPort::parse(text, Some(9092)).map(BrokerAddr));

/// A network such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub ipnet::IpNet);

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
text_setting!(Network, "network", |text| {
    let one = || text.parse::<IpAddr>().ok().map(ipnet::IpNet::from);
    let net = text.parse::<ipnet::IpNet>().ok().or_else(one);
    net.map(|n| Network(n.trunc()))
        .ok_or_else(|| format!("{} is no network: write `10.0.0.0/8` or an address", quote(text)))
});

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
