//! `fanfare feeds`: tries mappings without a broker.

use super::Settings;
use crate::feeds::try_sample;
use clap::{Args, Subcommand};
use fanfare_config::{Config, ConfigError};
use fanfare_feeds::{MappingTrial, OnBadRecord, SampleRecord, TrialOutcome};
use std::io::{Read, Write};
use std::process::ExitCode;

/// `fanfare feeds`.
#[derive(Args, Clone, Debug)]
pub struct FeedsArgs {
    /// The action.
    #[command(subcommand)]
    pub command: FeedsCommand,
}

/// The actions on feeds.
#[derive(Clone, Debug, Subcommand)]
pub enum FeedsCommand {
    /// Show the result of a sample record under kafka.topics; status 1 if it would be a bad record or no mapping
    /// matches.
    TestMapping(TestMappingArgs),
}

/// `fanfare feeds test-mapping`.
#[derive(Args, Clone, Debug)]
pub struct TestMappingArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
    /// Kafka topic of the sample.
    #[arg(long)]
    pub topic: String,
    /// The record's key.
    #[arg(long)]
    pub key: Option<String>,
    /// A header; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub header: Vec<String>,
    /// The record's value; - reads it from standard input; without it: a tombstone.
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub value: Option<String>,
}

impl FeedsArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// The error of the configuration.
    pub fn run(self) -> Result<ExitCode, ConfigError> {
        let FeedsCommand::TestMapping(args) = self.command;
        let config = Config::load(&args.settings.clone().sources())?.config;
        let trials = try_sample(&config, &args.sample()?)?;
        let mut out = std::io::stdout().lock();
        for trial in &trials {
            let _best_effort = writeln!(out, "{}", line(trial));
        }
        if trials.is_empty() {
            let _best_effort = writeln!(out, "no mapping of kafka.topics matches the topic {:?}", args.topic);
        }
        let is_bad = |t: &MappingTrial| matches!(t.outcome, TrialOutcome::Bad { .. });
        let usable = !trials.is_empty() && !trials.iter().any(is_bad);
        Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl TestMappingArgs {
    fn sample(&self) -> Result<SampleRecord, ConfigError> {
        let pair = |header: &String| {
            let (name, value) = header.split_once('=').unwrap_or((header, ""));
            (name.to_owned(), value.as_bytes().to_vec())
        };
        let value = match self.value.as_deref() {
            Some("-") => {
                let mut value = Vec::new();
                let read = std::io::stdin().lock().read_to_end(&mut value);
                read.map_err(|e| ConfigError::key("--value", format!("standard input cannot be read: {e}")))?;
                Some(value)
            }
            value => value.map(|v| v.as_bytes().to_vec()),
        };
        Ok(SampleRecord {
            topic: self.topic.clone(),
            key: self.key.as_ref().map(|k| k.as_bytes().to_vec()),
            headers: self.header.iter().map(pair).collect(),
            value,
        })
    }
}

/// The result of the sample under one mapping.
fn line(trial: &MappingTrial) -> String {
    let row = format!("kafka.topics[{}]:", trial.row);
    match &trial.outcome {
        TrialOutcome::Record { channel, kind, key } => {
            let key = key.as_ref().map_or(String::new(), |key| format!(", key {key:?}"));
            format!("{row} channel {channel:?}, type {kind:?}{key}")
        }
        TrialOutcome::Tombstone { channel, kind, key } => {
            format!("{row} tombstone: removes type {kind:?}, key {key:?} from the snapshot of {channel:?}")
        }
        TrialOutcome::Ignored => format!("{row} tombstone: nothing to do"),
        TrialOutcome::Bad { reason, policy } => {
            let done = match policy {
                OnBadRecord::Skip => "it would be skipped",
                OnBadRecord::DeadLetter => "it would go to the dead letter topic",
                OnBadRecord::Halt => "its partition would stop",
            };
            format!("{row} bad record ({reason}): {done}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_put_together_and_its_outcome_is_a_line() {
        let args = TestMappingArgs {
            settings: Settings::default(),
            topic: "trade-info".into(),
            key: Some("k".into()),
            header: vec!["a=b=c".into(), "x".into()],
            value: Some("{}".into()),
        };
        let sample = args.sample().unwrap();
        assert_eq!(sample.headers, [("a".into(), b"b=c".to_vec()), ("x".into(), vec![])]);
        let trials = try_sample(&Config::default(), &sample).unwrap();
        let lines: Vec<String> = trials.iter().map(line).collect();
        assert_eq!(lines, [r#"kafka.topics[1]: channel "dashboard", type "trade_data", key "k""#]);
        let poison = SampleRecord { value: Some(b"{".to_vec()), ..sample };
        let outcomes = try_sample(&Config::default(), &poison).unwrap();
        assert!(line(&outcomes[0]).contains("bad record"), "{outcomes:?}");
    }
}
