//! Which features this release has: the one place that decides whether a key's reference says that it acts.

/// A feature that settings belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Users, logins, API keys, issuers.
    Accounts,
    /// End-to-end encrypted direct messages.
    Direct,
    /// Who is online.
    Presence,
    /// Durable messages in SQLite or PostgreSQL.
    Store,
    /// Chat channels and their webhooks.
    Chat,
    /// File uploads.
    Files,
    /// Shared sketches.
    Sketches,
    /// The demo source and Kafka.
    Feeds,
    /// Several nodes over Redis.
    Cluster,
    /// HTTPS served by Fanfare itself.
    Tls,
}

impl Feature {
    /// Whether this release has it. A session that adds a feature flips its line.
    pub const fn released(self) -> bool {
        match self {
            Self::Accounts | Self::Feeds | Self::Presence | Self::Store => true,
            Self::Direct | Self::Chat | Self::Files | Self::Sketches | Self::Cluster => false,
            Self::Tls => true,
        }
    }

    /// What users call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Direct => "direct messages",
            Self::Presence => "presence",
            Self::Store => "the durable store",
            Self::Chat => "chat channels",
            Self::Files => "files",
            Self::Sketches => "sketches",
            Self::Feeds => "feeds",
            Self::Cluster => "clusters",
            Self::Tls => "built-in TLS",
        }
    }
}
