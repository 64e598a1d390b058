//! The account service: registration, login, profiles, keys, tickets. Nothing here depends on HTTP or sockets.
//!
//! A route reads a request into the types of these modules, calls one method of [`Accounts`] and writes the result.
//! Every method that changes something records its audit event itself and returns the logins it ended, so that the
//! caller ends their sockets ([`crate::sessions::SessionService::end_logins`]).
//!
//! Invariants: an unknown user costs the same work and gets the same error as a known one; a challenge or ticket is
//! burnt in the store before anything else is checked; no secret is kept in clear or logged.
//!
//! Source: `accounts-and-messages.md`, `http-api.md` "Accounts" and "Directory", `security.md`.

mod api_keys;
mod challenges;
mod error;
mod keys;
mod limits;
mod login;
mod logins;
mod profile;
mod proof;
mod register;
mod tickets;

pub use api_keys::{KeyTrouble, delete_api_key, list_api_keys, make_api_key};
pub use error::AccountError;
pub use keys::{Directory, KeyChanged, NewKeys, PutKeys};
pub use limits::{Gate, Limits, UserGate};
pub use login::Proof;
pub use logins::{Granted, OwnLogin};
pub use profile::{Patch, Profile};
pub use register::{Registered, Registration, generated_password, name_for_new};
pub use tickets::TicketRefused;

use crate::audit::Audit;
use crate::data_dir::DataDir;
use crate::outcomes::Outcomes;
use crate::repeats::Repeats;
use challenges::OpenChallenges;
use fanfare_auth::{backoff::LoginGuard, challenge::Challenges, password, ticket::Tickets, token};
use fanfare_config::{Config, ConfigError, Origin};
use fanfare_store::{Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// Maximum concurrent Argon2 computations: each takes 19 MiB.
const MAX_HASHERS: usize = 4;
/// Maximum passwords that wait for one; beyond that the response is 503.
const HASH_QUEUE: usize = 32;

/// The account service. Cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    store: Store,
    audit: Audit,
    server_id: String,
    tokens: token::Tokens,
    challenges: Challenges,
    open: OpenChallenges,
    tickets: Tickets,
    hasher: password::Hasher,
    policy: password::Policy,
    guard: LoginGuard,
    outcomes: Arc<Outcomes>,
    limits: Limits,
    access_ttl: Duration,
    require_key_binding: bool,
    registered: Repeats<Registered>,
    tickets_made: Repeats<(String, u64)>,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accounts").field("server_id", &self.0.server_id).finish_non_exhaustive()
    }
}

impl Accounts {
    /// Creates missing data (keys in `{data_dir}/keys`, `server_id` in the store) and reads the rest. `origin` is the
    /// public origin; the store keeps all earlier ones, and tokens issued under them stay valid.
    ///
    /// # Errors
    /// One line that names the configuration key: a key file is unusable, or the store does not respond.
    pub async fn open(
        config: &Config,
        store: &Store,
        data: &DataDir,
        origin: &Origin,
        audit: Audit,
    ) -> Result<Self, ConfigError> {
        let seal = [data.key("challenge.key")?, data.key("ticket.key")?];
        let signing = signing_keys(config, &config.data_dir.join("keys/jwt.pem"))?;
        let failed = |e: StoreError| ConfigError::key("store.url", format!("the store cannot be used: {e}"));
        let now = crate::clock::unix_ms() as i64;
        let host = origin.host().trim_matches(['[', ']']).to_ascii_lowercase();
        let server_id = store.set_setting_once("server_id", &host).await.map_err(failed)?;
        store.add_origin(origin.as_str(), now).await.map_err(failed)?;
        let accepted = store.origins().await.map_err(failed)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self(Arc::new(Inner {
            store: store.clone(),
            audit,
            server_id,
            tokens: token::Tokens::new(signing, origin.as_str().to_owned(), accepted),
            challenges: Challenges::new(seal[0], origin.as_str().to_owned()),
            open: OpenChallenges::default(),
            tickets: Tickets::new(seal[1]),
            hasher: password::Hasher::new(cores.min(MAX_HASHERS), HASH_QUEUE),
            policy: password::Policy { min_length: config.auth.min_password_length.0 },
            guard: LoginGuard::default(),
            outcomes: Arc::default(),
            limits: Limits::new(&config.limits),
            access_ttl: config.auth.access_ttl,
            require_key_binding: config.auth.require_key_binding,
            registered: Repeats::default(),
            tickets_made: Repeats::default(),
        })))
    }

    /// The server's name in texts that users sign: the host of the first origin this store was served under.
    pub fn server_id(&self) -> &str {
        &self.0.server_id
    }

    /// Counts of logins by their outcome.
    pub fn outcomes(&self) -> Arc<Outcomes> {
        self.0.outcomes.clone()
    }

    /// The rate limits of login, registration and tickets.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

fn signing_keys(config: &Config, file: &std::path::Path) -> Result<token::Keys, ConfigError> {
    match &config.auth.jwt_secret {
        Some(secret) => token::Keys::from_secret(secret.expose())
            .map_err(|e| ConfigError::key("auth.jwt_secret", e.to_string())),
        None => token::Keys::load_or_create(file)
            .map_err(|e| ConfigError::key("data_dir", format!("{} cannot be used: {e}", file.display()))),
    }
}
