//! `fanfare audit`: verifies and shows the audit log, beside a running server or without one. Nothing is written.

use super::Settings;
use crate::storage;
use clap::{Args, Subcommand};
use fanfare_config::{Config, ConfigError};
use fanfare_services::audit::Mark;
use fanfare_services::audit::seal::{Judge, existing_node_name};
use fanfare_services::audit::verify::{Against, Anchor, anchors_in, verify};
use fanfare_store::{AuditFilter, AuditRow, Store, StoreError};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How often `--follow` queries for new rows.
const LOOK: Duration = Duration::from_millis(250);
/// Rows read at a time.
const PAGE: u32 = 500;

/// `fanfare audit`.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    /// The action.
    #[command(subcommand)]
    pub action: Action,
}

/// The actions on the audit log.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// Report whether any row was changed, removed, added or moved; status 0: intact, 1: broken, with the first invalid
    /// row.
    Verify(VerifyArgs),
    /// Print the newest rows.
    Tail(TailArgs),
}

/// `fanfare audit verify`.
#[derive(Args, Clone, Debug, Default)]
pub struct VerifyArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
    /// Only this node's chain; without it, all of them.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// A checkpoint copied from the log (`seq` and `hash`) that the chain must still contain; for this node's chain, or
    /// --node.
    #[arg(long, value_name = "SEQ:HASH")]
    pub anchor: Vec<Anchor>,
    /// A file with log output of the server: the chain must still contain every checkpoint in it that the key signed.
    #[arg(long, value_name = "FILE")]
    pub log: Vec<PathBuf>,
    /// The key that signs checkpoints, as in keys/audit.pub, kept elsewhere; without it, the data folder's.
    #[arg(long, value_name = "KEY", value_parser = public_key)]
    pub public_key: Option<Judge>,
}

/// `fanfare audit tail`.
#[derive(Args, Clone, Debug, Default)]
pub struct TailArgs {
    /// The settings' flags.
    #[command(flatten)]
    pub settings: Settings,
    /// The number of rows.
    #[arg(short = 'n', value_name = "ROWS", default_value_t = 20)]
    pub rows: u32,
    /// Print further rows as they are written.
    #[arg(long)]
    pub follow: bool,
    /// Only this event.
    #[arg(long, value_name = "EVENT")]
    pub event: Option<String>,
    /// Print each row as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

fn public_key(text: &str) -> Result<Judge, String> {
    Judge::parse(text)
        .ok_or_else(|| "not an Ed25519 public key in base64url, as keys/audit.pub has it".into())
}

impl AuditArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// The error of the configuration or the store, for standard error and status 2.
    pub async fn run(self) -> Result<ExitCode, ConfigError> {
        match self.action {
            Action::Verify(args) => judge(args).await,
            Action::Tail(args) => tail(args).await,
        }
    }
}

async fn judge(args: VerifyArgs) -> Result<ExitCode, ConfigError> {
    let config = Config::load(&args.settings.sources())?.config;
    let store = storage::open_to_read(&config).await?;
    let own = existing_node_name(config.cluster.node_id.as_deref(), &config.data_dir)?;
    let judge = match args.public_key {
        Some(judge) => Some(judge),
        None => Judge::of_folder(&config.data_dir)?,
    };
    let mut logs = Vec::new();
    for file in &args.log {
        let read = std::fs::read(file);
        logs.push(
            read.map_err(|e| ConfigError::key("log", format!("{} cannot be read: {e}", file.display())))?,
        );
    }
    let nodes = match &args.node {
        Some(node) => vec![node.clone()],
        None => {
            let mut nodes = store.audit_nodes().await.map_err(|e| storage::wrong(&e))?;
            // A chain whose rows were all removed is missing, not absent.
            nodes.extend(own.clone().filter(|own| !nodes.contains(own)));
            nodes
        }
    };
    let mut well = true;
    for node in &nodes {
        let mine = args.node.is_some() || own.as_ref() == Some(node);
        let judge = judge.clone().filter(|_| mine);
        let mut anchors: Vec<_> = args.anchor.iter().copied().filter(|_| mine).collect();
        for log in &logs {
            anchors.extend(anchors_in(&String::from_utf8_lossy(log), node, judge.as_ref()));
        }
        let mark = Mark::of_folder(&config.data_dir).read(node).filter(|_| own.as_ref() == Some(node));
        let mark = mark.map(|(seq, hash)| Anchor { seq, hash });
        let against = Against { judge, anchors, mark, ..Against::default() };
        well &= report(&store, node, &against).await.map_err(|e| storage::wrong(&e))?;
    }
    if nodes.is_empty() {
        say("intact: there is no audit log yet");
    }
    store.close().await;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn report(store: &Store, node: &str, against: &Against) -> Result<bool, StoreError> {
    match verify(store, node, against).await? {
        Ok(found) => {
            let seals = match &against.judge {
                Some(_) => format!("{} checkpoints, sealed up to row {}", found.checkpoints, found.sealed),
                None => "checkpoints not judged: their key is not in this data folder".into(),
            };
            let mut line = format!(
                "intact: node {node}: {} rows, {} to {}; {seals}",
                found.rows, found.first, found.last
            );
            if found.unsigned_prune > 0 {
                line.push_str(&format!(
                    "; the rows up to {} were pruned by a version that did not sign it, which cannot be judged",
                    found.unsigned_prune
                ));
            }
            if against.judge.is_some() && found.sealed < found.last {
                line.push_str(&format!(
                    "; the rows from {} on are of a version that did not sign them, the next start takes them over",
                    found.sealed + 1
                ));
            }
            say(&line);
            Ok(true)
        }
        Err(broken) => {
            say(&format!("broken: node {node} seq {}: the row {}", broken.seq, broken.why));
            Ok(false)
        }
    }
}

async fn tail(args: TailArgs) -> Result<ExitCode, ConfigError> {
    let config = Config::load(&args.settings.clone().sources())?.config;
    let store = storage::open_to_read(&config).await?;
    let filter = AuditFilter { event: args.event.clone(), ..AuditFilter::default() };
    show(&store, &args, filter).await.map_err(|e| storage::wrong(&e))?;
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn show(store: &Store, args: &TailArgs, filter: AuditFilter) -> Result<(), StoreError> {
    // The end of each chain, before the rows are read: rows written in between are shown, not skipped.
    let mut shown: HashMap<String, i64> = HashMap::new();
    for node in store.audit_nodes().await? {
        let head = store.audit_end(&node).await?.last;
        shown.insert(node, head);
    }
    let rows = store.audit_tail(filter.clone(), None, args.rows).await?;
    for row in rows.iter().rev() {
        let seq = shown.entry(row.node.clone()).or_default();
        *seq = (*seq).max(row.seq);
        if !print(row, args.json) {
            return Ok(());
        }
    }
    if !args.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        for node in store.audit_nodes().await? {
            let seq = shown.entry(node.clone()).or_default();
            for row in store.audit_rows(Some(&node), *seq, PAGE, filter.clone()).await? {
                *seq = row.seq;
                if !print(&row, args.json) {
                    return Ok(());
                }
            }
        }
    }
}

/// Prints a row; returns false when standard output is closed.
fn print(row: &AuditRow, as_json: bool) -> bool {
    let line = if as_json { json_line(row) } else { text_line(row) };
    writeln!(std::io::stdout().lock(), "{line}").is_ok()
}

fn text_line(row: &AuditRow) -> String {
    let mut line = format!("{} {} {} {} {}", row.ts, row.seq, row.severity, row.event, row.outcome);
    let fields = [
        ("user", &row.user_id),
        ("session", &row.session),
        ("ip", &row.ip),
        ("request", &row.request_id),
        ("origin", &row.origin),
        ("reason", &row.reason),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    if row.detail != "{}" {
        line.push(' ');
        line.push_str(&row.detail);
    }
    if let Some(agent) = &row.user_agent {
        line.push_str(&format!(" agent={}", Value::from(agent.as_str())));
    }
    // A tampered row may contain anything; a terminal must not interpret it.
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn json_line(row: &AuditRow) -> String {
    let detail = serde_json::from_str(&row.detail).unwrap_or_else(|_| Value::from(row.detail.as_str()));
    let hash: String = row.hash.iter().map(|b| format!("{b:02x}")).collect();
    json!({
        "node": row.node, "seq": row.seq, "ts": row.ts, "event": row.event, "outcome": row.outcome,
        "severity": row.severity, "user_id": row.user_id, "session": row.session, "ip": row.ip,
        "user_agent": row.user_agent, "request_id": row.request_id, "origin": row.origin,
        "reason": row.reason, "detail": detail, "hash": hash,
    })
    .to_string()
}

fn say(line: &str) {
    let _best_effort = writeln!(std::io::stdout().lock(), "{line}");
}
