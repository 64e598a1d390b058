//! `fanfare config`: checks, shows and explains the settings.

use super::ServeArgs;
use clap::{Args, Subcommand};
use fanfare_config::{Config, ConfigError, print, reference};

/// `fanfare config`.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// The action.
    #[command(subcommand)]
    pub action: Action,
}

/// The actions on the settings.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Read everything as `serve` does and report whether it would start.
    Check(ServeArgs),
    /// Print the settings in force and the source of each value; secrets are masked.
    Show(ServeArgs),
    /// Print a commented file with every default.
    Default(ServeArgs),
    /// Print the reference of all keys as Markdown.
    Doc(ServeArgs),
}

impl ConfigArgs {
    /// Runs the command and returns the text for standard output. Nothing is written, no socket opened.
    ///
    /// # Errors
    /// The error of the configuration, for standard error and status 2.
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
            // Their output does not depend on the settings; the flags are accepted because every command accepts them.
            Action::Default(_) => Ok(print::default_toml()),
            Action::Doc(_) => Ok(reference::markdown()),
        }
    }
}
