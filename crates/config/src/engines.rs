//! URLs of engines (stores, blobs, Redis), which may hold passwords: never shown whole.

use super::basic::text_of;
use super::error::Fault;
use super::hosts::HostPort;
use super::node::Node;
use super::table::{Form, Setting};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

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
    pub fn in_folder(data_dir: &Path) -> Self {
        Self(SecretUrl(format!("sqlite://{}/fanfare.db", data_dir.display())))
    }
}

impl FilesUrl {
    /// A folder in the data folder.
    pub fn in_folder(data_dir: &Path) -> Self {
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
}
