//! What must hold between settings, each with what to do when it does not.

use super::units::duration_text;
use super::{Config, ConfigError, Environment, Feature, Loaded};
use std::collections::BTreeSet;

impl Config {
    /// Whether this is production.
    pub fn is_production(&self) -> bool {
        self.environment == Environment::Production
    }

    pub(super) fn check_rules(&self) -> Result<(), ConfigError> {
        self.check_timeouts()?;
        self.check_addresses()?;
        self.check_issuers()?;
        let names = self.auth.api_keys.iter().map(|key| key.name.as_str());
        unique("auth.api_keys", "name", names)
    }

    fn check_timeouts(&self) -> Result<(), ConfigError> {
        let (ping, read) = (self.ws.ping_interval, self.ws.read_timeout);
        if ping >= read {
            let what = format!(
                "{} is not shorter than ws.read_timeout ({}): every quiet connection would be closed before its ping; \
                 lower it or raise ws.read_timeout",
                duration_text(ping),
                duration_text(read)
            );
            return Err(ConfigError::key("ws.ping_interval", what));
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), ConfigError> {
        match (&self.tls.cert, &self.tls.key) {
            (Some(_), None) => {
                return Err(ConfigError::key("tls.key", "is missing: tls.cert is set and needs it"));
            }
            (None, Some(_)) => {
                return Err(ConfigError::key("tls.cert", "is missing: tls.key is set and needs it"));
            }
            _ => {}
        }
        let (port, plain) = (self.tls.port, self.tls.redirect_port);
        if self.serves_tls() && port != 0 && port == plain {
            return Err(ConfigError::key("tls.redirect_port", "is tls.port itself: choose another port"));
        }
        let ports = if self.serves_tls() { vec![port, plain] } else { vec![self.server.port] };
        let taken = |ops: &super::HostPort| {
            ops.port != 0 && ports.contains(&ops.port) && ops.host == self.server.host
        };
        if self.server.ops_listen.as_ref().is_some_and(taken) {
            return Err(ConfigError::key(
                "server.ops_listen",
                "is the public address itself: choose another port",
            ));
        }
        Ok(())
    }

    fn check_issuers(&self) -> Result<(), ConfigError> {
        for (i, issuer) in self.auth.issuers.iter().enumerate() {
            let plain = issuer.jwks_url.as_ref().is_some_and(|url| url.0.starts_with("http://"));
            if plain && self.is_production() {
                let key = format!("auth.issuers[{i}].jwks_url");
                return Err(ConfigError::key(key, "production fetches keys over `https://` only"));
            }
        }
        unique("auth.issuers", "name", self.auth.issuers.iter().map(|issuer| issuer.name.0.as_str()))
    }

    /// Whether this server answers in HTTPS itself.
    pub fn serves_tls(&self) -> bool {
        Feature::Tls.released() && self.tls.cert.is_some()
    }

    /// Refuses to put plain HTTP where others can reach it. For the commands that serve, after [`Config::load`].
    ///
    /// # Errors
    /// In production without TLS on an address that is not this machine's own, unless a proxy is said to be in front.
    pub fn check_exposure(&self) -> Result<(), ConfigError> {
        let safe = self.server.host.is_loopback() || self.server.behind_proxy || self.serves_tls();
        if safe || !self.is_production() {
            return Ok(());
        }
        let tls = if Feature::Tls.released() { "set tls.cert and tls.key, " } else { "" };
        let what = format!(
            "production serves no plain HTTP on {}, which others can reach: {tls}listen on 127.0.0.1, or, where a proxy \
             in front serves HTTPS, say so with --insecure-behind-proxy (key server.behind_proxy)",
            self.server.host
        );
        Err(ConfigError::key("server.host", what))
    }
}

impl Loaded {
    /// What the operator should know at the start though nothing is wrong: one line each, for the log.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        for key in super::keys() {
            let path = key.path();
            if let (Some(feature), Some(source)) = (key.awaits(), self.source(&path)) {
                notices.push(format!(
                    "{path} ({source}) takes effect with {}, not in this release",
                    feature.name()
                ));
            }
        }
        let config = &self.config;
        if config.is_production() && config.topics.rules.is_empty() {
            notices.push(
                "no topics.rules: anyone may subscribe, only API keys and admins publish, create and delete topics".into(),
            );
        }
        for key in config.trimmed_secrets() {
            notices.push(format!("{key}: the line end behind the secret is not taken as a part of it"));
        }
        for pattern in config.topic_rules().left_open() {
            notices.push(format!(
                "topics.rules: names that `{pattern}` gives to one user fall back to the default for all others; add a \
                 rule for them after it, such as one with the pattern `*`"
            ));
        }
        notices
    }
}

impl Config {
    /// Where a secret came with a line end, which was taken off.
    fn trimmed_secrets(&self) -> Vec<String> {
        let auth = &self.auth;
        let own = auth.jwt_secret.as_ref().filter(|secret| secret.was_trimmed());
        let issuers = auth.issuers.iter().filter(|issuer| {
            let secret = issuer.hmac_secret.as_ref();
            secret.is_some_and(super::secret::Secret::was_trimmed)
        });
        let issuers = issuers.map(|issuer| format!("auth.issuers (hmac_secret of `{}`)", issuer.name.0));
        own.map(|_| "auth.jwt_secret".to_owned()).into_iter().chain(issuers).collect()
    }
}

/// No two items of a list share a name.
fn unique<'a>(list: &str, field: &str, names: impl Iterator<Item = &'a str>) -> Result<(), ConfigError> {
    let mut seen = BTreeSet::new();
    for (i, name) in names.enumerate() {
        if !seen.insert(name) {
            return Err(ConfigError::key(
                format!("{list}[{i}].{field}"),
                format!("`{name}` is there twice: each needs its own"),
            ));
        }
    }
    Ok(())
}
