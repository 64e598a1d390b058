//! `fanfare config`: checks, shows and explains the settings.

use super::ServeArgs;
use clap::{Args, Subcommand};
use fanfare_config::{Config, ConfigError, print, reference};

/// `fanfare config`.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// What to do with the settings.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with the settings.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Read everything as `serve` would and say whether it would start.
    Check(ServeArgs),
    /// Print what is in force and where each value comes from; secrets are masked.
    Show(ServeArgs),
    /// Print a commented file with every default.
    Default(ServeArgs),
    /// Print the reference of all keys as Markdown.
    Doc(ServeArgs),
}

impl ConfigArgs {
    /// Carries it out: the text for standard output. Nothing is written, no socket opened.
    ///
    /// # Errors
    /// What is wrong with the configuration, for standard error and status 2.
    pub fn run(self) -> Result<String, ConfigError> {
        match self.action {
            Action::Check(args) => {
                let loaded = Config::load(&args.sources())?;
                loaded.config.check_exposure()?;
                let notice = |n: String| format!("note: {n}\n");
                Ok(format!(
                    "{}the configuration is valid\n",
                    loaded.notices().into_iter().map(notice).collect::<String>()
                ))
            }
            Action::Show(args) => Ok(print::show(&Config::load(&args.sources())?)),
            // Their output is the same whatever is set; the flags are taken because every command takes them.
            Action::Default(_) => Ok(print::default_toml()),
            Action::Doc(_) => Ok(reference::markdown()),
        }
    }
}
