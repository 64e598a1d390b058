//! `fanfare sub`: prints the events of topics as they arrive, across lost connections too.

use std::io::Write as _;
use std::process::ExitCode;

use super::{ServerArgs, failed};
use crate::{Client, Error, Notice, Notices, Position, StartFrom};

/// Subscribe to topics and print their events.
#[derive(Debug, Clone, clap::Args)]
pub struct SubArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Start after this position: the newer events of the topic's history are printed first.
    #[arg(long, value_name = "EPOCH:OFFSET", value_parser = position)]
    since: Option<Position>,
    /// Start with the newest events of the topic's history, at most this many: 1 to 100.
    #[arg(long, value_name = "N", conflicts_with = "since", value_parser = clap::value_parser!(u32).range(1..=100))]
    history: Option<u32>,
    /// Print every frame as the server sent it, infos included.
    #[arg(long)]
    json: bool,
    /// The topics.
    #[arg(required = true)]
    topic: Vec<String>,
}

impl SubArgs {
    /// Runs until SIGINT (exit code 0), or until the server ends it permanently (1). Standard output has one line an
    /// event, `TOPIC OFFSET PAYLOAD` or the raw frame; changes of the connection are reported on standard error.
    pub async fn run(self) -> ExitCode {
        let (client, notices) = match Client::connect(&self.server.url, self.server.options()).await {
            Ok(connected) => connected,
            Err(e) => return failed(&e),
        };
        let outcome = tokio::select! {
            outcome = self.follow(&client, notices) => outcome,
            signal = tokio::signal::ctrl_c() => signal.map_err(|e| e.to_string()),
        };
        client.close().await;
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => failed(&reason),
        }
    }

    /// Subscribes and prints concurrently: a long replay must not wait for the last topic's ack.
    async fn follow(&self, client: &Client, notices: Notices) -> Result<(), String> {
        let subscribed = async {
            for topic in &self.topic {
                let ack = client.subscribe(topic, self.start()).await.map_err(|e| format!("{topic}: {e}"))?;
                let lost = if ack.recovered == Some(false) { ", earlier messages are gone" } else { "" };
                let durable = if ack.durable { ", durable" } else { "" };
                note(&format!("subscribed to {topic} at {}:{}{durable}{lost}", ack.epoch, ack.offset));
            }
            // Printing continues until the client ends.
            std::future::pending::<Result<(), String>>().await
        };
        tokio::select! {
            outcome = subscribed => outcome,
            outcome = self.print(notices) => outcome,
        }
    }

    fn start(&self) -> StartFrom {
        match (&self.since, self.history) {
            (Some(position), _) => StartFrom::Since(position.clone()),
            (None, Some(count)) => StartFrom::Last(count),
            (None, None) => StartFrom::Live,
        }
    }

    async fn print(&self, mut notices: Notices) -> Result<(), String> {
        while let Some(notice) = notices.recv().await {
            let line = match notice {
                Notice::Event(event) if self.json => event.raw,
                Notice::Event(event) => format!("{} {} {}", event.topic, event.offset, event.payload.get()),
                Notice::Info(info) if self.json => info.raw,
                Notice::Frame(frame) if self.json => frame,
                Notice::Closed(reason) => return Err(Error::Closed(reason).to_string()),
                other => {
                    note(&describe(&other));
                    continue;
                }
            };
            match writeln!(std::io::stdout().lock(), "{line}") {
                // The reader of the output has closed it.
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                outcome => outcome.map_err(|e| e.to_string())?,
            }
        }
        Ok(())
    }
}

fn describe(notice: &Notice) -> String {
    match notice {
        Notice::Info(info) => {
            let topic = info.topic.as_deref().map(|t| format!(" {t}")).unwrap_or_default();
            format!("{}{topic}: {}", info.code, info.message)
        }
        Notice::Error(error) => error.to_string(),
        Notice::Disconnected(reason) => format!("disconnected ({reason}), reconnecting"),
        Notice::Reconnected { resumed: true } => "reconnected to the same session".into(),
        Notice::Reconnected { resumed: false } => "reconnected with a new session".into(),
        Notice::Resubscribed { topic, recovered: true } => format!("resubscribed to {topic}, nothing missed"),
        Notice::Resubscribed { topic, recovered: false } => {
            format!("resubscribed to {topic}, messages in between may be lost")
        }
        Notice::Unsubscribed { topic, error } => format!("no longer subscribed to {topic}: {error}"),
        Notice::Frame(frame) => frame.clone(),
        Notice::Event(_) | Notice::Closed(_) => String::new(),
    }
}

/// Writes a line to standard error.
fn note(line: &str) {
    // Without standard error the line cannot be reported.
    let _ = writeln!(std::io::stderr().lock(), "fanfare: {line}");
}

fn position(text: &str) -> Result<Position, String> {
    let (epoch, offset) = text.rsplit_once(':').ok_or("expected EPOCH:OFFSET")?;
    if epoch.is_empty() {
        return Err("the epoch is empty".into());
    }
    let offset = offset.parse().map_err(|_| format!("{offset:?} is not an offset"))?;
    Ok(Position { epoch: epoch.into(), offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_parse_from_the_right() {
        assert_eq!(position("a:b:7"), Ok(Position { epoch: "a:b".into(), offset: 7 }));
        for invalid in ["", "7", "e:", "e:x", ":7", "e:-1"] {
            assert!(position(invalid).is_err(), "{invalid}");
        }
    }
}
