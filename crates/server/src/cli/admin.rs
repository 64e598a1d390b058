//! `fanfare admin`: accounts and API keys by command, beside a running server or without one.
//!
//! The result of a command is written to standard output alone on its line, so that scripts can read it; messages go to
//! standard error. The server reads the store, so a new key works and a deleted one is refused at once.

use super::Settings;
use clap::{Args, Subcommand, ValueEnum};
use fanfare_auth::password::Hasher;
use fanfare_config::{Config, ConfigError};
use fanfare_core::model::{Role, Scope};
use fanfare_core::time::rfc3339_ms;
use fanfare_services::accounts::{self, AccountError, KeyTrouble};
use fanfare_services::admin::{self, AdminError};
use fanfare_services::audit::{self, AuditEvent, Outcome};
use fanfare_services::clock::unix_ms;
use fanfare_store::{NewUser, Store, StoreError};
use std::fmt::Write as _;
use std::io::Write as _;

/// `fanfare admin`.
#[derive(Args, Clone, Debug)]
pub struct AdminArgs {
    /// The action.
    #[command(subcommand)]
    pub action: Action,
}

/// The administrative actions.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Create an account; prints its password once.
    CreateUser {
        /// 3 to 32 characters of a-z, 0-9, `_`, `.` and `-`.
        name: String,
        /// Its role.
        #[arg(long, value_enum, default_value_t = RoleWord::User)]
        role: RoleWord,
        /// The settings' flags.
        #[command(flatten)]
        settings: Settings,
    },
    /// Make a user an administrator, or an administrator a user.
    SetRole {
        /// The user's name.
        name: String,
        /// The new role.
        role: RoleWord,
        /// The settings' flags.
        #[command(flatten)]
        settings: Settings,
    },
    /// Create an API key for the app's own backend; prints it once.
    CreateApiKey {
        /// Its name in logs and the audit trail.
        name: String,
        /// Its scope; may be repeated.
        #[arg(long = "scope", value_enum, required = true)]
        scopes: Vec<ScopeWord>,
        /// The settings' flags.
        #[command(flatten)]
        settings: Settings,
    },
    /// List the API keys of the app's own backend: name, scopes, creation time.
    ListApiKeys {
        /// The settings' flags.
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete an API key, which is refused from then on.
    DeleteApiKey {
        /// The key's name.
        name: String,
        /// The settings' flags.
        #[command(flatten)]
        settings: Settings,
    },
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleWord {
    /// An ordinary user.
    User,
    /// May use the admin routes.
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::User => Self::User,
            RoleWord::Admin => Self::Admin,
        }
    }
}

/// A scope on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScopeWord {
    /// Publish to topics.
    Publish,
    /// Create, delete and list topics.
    Topics,
    /// Send to sessions.
    Sessions,
    /// Everything.
    Admin,
}

impl From<ScopeWord> for Scope {
    fn from(word: ScopeWord) -> Self {
        match word {
            ScopeWord::Publish => Self::Publish,
            ScopeWord::Topics => Self::Topics,
            ScopeWord::Sessions => Self::Sessions,
            ScopeWord::Admin => Self::Admin,
        }
    }
}

/// The output of a command.
#[derive(Debug, Default)]
pub struct Output {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub note: String,
    /// For the audit log.
    pub event: Option<AuditEvent>,
}

impl AdminArgs {
    /// Runs the command and prints its output.
    ///
    /// # Errors
    /// One line for standard error and status 2; nothing was changed then.
    pub async fn run(self) -> Result<std::process::ExitCode, ConfigError> {
        let output = self.act().await?;
        let _best_effort = std::io::stderr().lock().write_all(output.note.as_bytes());
        let _best_effort = std::io::stdout().lock().write_all(output.out.as_bytes());
        Ok(std::process::ExitCode::SUCCESS)
    }

    async fn act(self) -> Result<Output, ConfigError> {
        match self.action {
            Action::CreateUser { name, role, settings } => {
                with_store(settings, async |_, store| create_user(store, &name, role).await).await
            }
            Action::SetRole { name, role, settings } => {
                with_store(settings, async |_, store| set_role(store, &name, role).await).await
            }
            Action::CreateApiKey { name, scopes, settings } => {
                with_store(settings, async |config, store| {
                    let scopes: Vec<Scope> = scopes.into_iter().map(Scope::from).collect();
                    let key = accounts::make_api_key(config, store, &name, &scopes).await.map_err(trouble)?;
                    let note = format!("the API key `{name}`, shown only now; send it as X-API-Key:\n");
                    let words: Vec<_> =
                        scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
                    let event =
                        done("create_api_key").detail("api_key", name.as_str()).detail("scopes", words);
                    Ok(Output { out: format!("{key}\n"), note, event: Some(event) })
                })
                .await
            }
            Action::ListApiKeys { settings } => with_store(settings, async |c, s| list(c, s).await).await,
            Action::DeleteApiKey { name, settings } => {
                with_store(settings, async |config, store| {
                    accounts::delete_api_key(config, store, &name).await.map_err(trouble)?;
                    let event = done("delete_api_key").detail("api_key", name.as_str());
                    let note = format!("the API key `{name}` is deleted\n");
                    Ok(Output { note, event: Some(event), ..Output::default() })
                })
                .await
            }
        }
    }
}

/// Opens the configured store for one command.
async fn with_store(
    settings: Settings,
    work: impl AsyncFnOnce(&Config, &Store) -> Result<Output, ConfigError>,
) -> Result<Output, ConfigError> {
    let config = Config::load(&settings.sources())?.config;
    let store = crate::storage::open(&config).await?;
    let mut output = work(&config, &store).await;
    if let Ok(output) = &mut output
        && let Some(event) = output.event.take()
        && let Err(error) = note(&config, &store, event).await
    {
        // The command has succeeded; a password or key that is not shown now cannot be shown later.
        output.note.push_str(&format!("this is not in the audit log: {error}\n"));
    }
    store.close().await;
    output
}

/// Records the action in the audit log, beside a running server if there is one.
async fn note(config: &Config, store: &Store, event: AuditEvent) -> Result<(), ConfigError> {
    let node = audit::node_name(config.cluster.node_id.as_deref(), &config.data_dir)?;
    let sealer = audit::Sealer::load_or_create(&config.data_dir)?;
    let mark = audit::Mark::of_folder(&config.data_dir);
    audit::append_now(store, node, sealer, mark, event).await.map_err(broken)
}

fn done(action: &str) -> AuditEvent {
    AuditEvent::new("admin_action", Outcome::Success).detail("action", action).detail("by", "command")
}

async fn create_user(store: &Store, name: &str, role: RoleWord) -> Result<Output, ConfigError> {
    let username = accounts::name_for_new(name).map_err(|e| unfit(&e))?;
    let no_random = |e| plain(format!("the system returns no random bytes: {e}"));
    let password = accounts::generated_password().map_err(no_random)?;
    let hash = Hasher::new(1, 1).hash(password.clone()).await;
    let hash = hash.map_err(|_| plain("the password cannot be hashed".to_owned()))?;
    let new = NewUser {
        username: username.clone(),
        password: Some(hash),
        role: role.into(),
        keys: None,
        created_at: unix_ms() as i64,
    };
    let user = match store.create_user(new).await {
        Ok(user) => user,
        Err(StoreError::Conflict(_)) => {
            return Err(plain(format!("NAME: the user name `{username}` is taken; choose another")));
        }
        Err(error) => return Err(broken(error)),
    };
    let event = done("create_user").detail("target", user.id).detail("role", Role::from(role).as_str());
    let note =
        format!("the password of `{username}`, shown only now; change it with PUT /users/me/password:\n");
    Ok(Output { out: format!("{password}\n"), note, event: Some(event) })
}

async fn set_role(store: &Store, name: &str, role: RoleWord) -> Result<Output, ConfigError> {
    let user = admin::set_role(store, name, role.into()).await.map_err(|error| match error {
        AdminError::NoSuchUser => plain(format!("NAME: there is no user named `{name}`")),
        AdminError::LastAdmin => plain(format!("NAME: `{name}`: {}", AdminError::LAST_ADMIN)),
        AdminError::Store(error) => broken(error),
    })?;
    let word = user.role.as_str();
    let event = done("set_role").detail("target", user.id).detail("role", word);
    let note = format!("`{}` has the role {word} now\n", user.username);
    Ok(Output { note, event: Some(event), ..Output::default() })
}

async fn list(config: &Config, store: &Store) -> Result<Output, ConfigError> {
    let mut out = String::new();
    for (name, scopes, made) in accounts::list_api_keys(config, store).await.map_err(trouble)? {
        let made = made.map_or("auth.api_keys".into(), |ms| rfc3339_ms(ms.max(0) as u64));
        // Writing to a string cannot fail.
        let _never = writeln!(out, "{name}\t{scopes}\t{made}");
    }
    let note = if out.is_empty() { "there are no API keys\n".into() } else { String::new() };
    Ok(Output { out, note, event: None })
}

fn plain(what: impl Into<String>) -> ConfigError {
    ConfigError { source: None, key: None, what: what.into() }
}

fn broken(error: StoreError) -> ConfigError {
    crate::storage::wrong(&error)
}

fn trouble(error: KeyTrouble) -> ConfigError {
    match error {
        KeyTrouble::Store(error) => broken(error),
        error => plain(error.to_string()),
    }
}

fn unfit(error: &AccountError) -> ConfigError {
    match error {
        AccountError::Field(_, why) => plain(format!("NAME: {why}")),
        error => plain(format!("{error:?}")),
    }
}
