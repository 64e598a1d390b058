//! `fanfare pub`: publishes one payload, or one for every line of standard input.

use std::io::Write as _;
use std::process::ExitCode;

use fanfare_json::{Malformed, RawBuf};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{ServerArgs, failed, topics};
use crate::{Client, PublishOptions};

/// Publish to a topic.
#[derive(Debug, Clone, clap::Args)]
pub struct PubArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Create the topic first (POST /topics); without it, publishing to a topic without subscribers fails.
    #[arg(long)]
    create: bool,
    /// With --create: the topic is durable, so its messages survive a restart of the server.
    #[arg(long, requires = "create")]
    durable: bool,
    /// The topic.
    topic: String,
    /// JSON; anything else is sent as a JSON string. `-` (the default) sends every line of standard input.
    #[arg(default_value = "-", allow_hyphen_values = true)]
    payload: String,
}

impl PubArgs {
    /// Runs the command: one line `ID OFFSET DELIVERED` on standard output for every accepted message, with `durable` at its end if
    /// the message is in the store. Exit code 1 with the server's code and message on standard error when one is refused; the messages after it are not sent.
    pub async fn run(self) -> ExitCode {
        match self.publish().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => failed(&reason),
        }
    }

    async fn publish(self) -> Result<(), String> {
        if self.create {
            topics::create(&self.server, &self.topic, self.durable).await?;
        }
        // This command subscribes to nothing, so there are no notices to read.
        let (client, _) =
            Client::connect(&self.server.url, self.server.options()).await.map_err(|e| e.to_string())?;
        if self.payload == "-" {
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            while let Some(line) = lines.next_line().await.map_err(|e| format!("standard input: {e}"))? {
                send(&client, &self.topic, line).await?;
            }
        } else {
            send(&client, &self.topic, self.payload).await?;
        }
        client.close().await;
        Ok(())
    }
}

async fn send(client: &Client, topic: &str, text: String) -> Result<(), String> {
    let payload = payload(text).map_err(|e| e.to_string())?;
    let ack = client.publish(topic, payload, PublishOptions::default()).await.map_err(|e| e.to_string())?;
    let durable = if ack.durable { " durable" } else { "" };
    writeln!(std::io::stdout().lock(), "{} {} {}{durable}", ack.id, ack.offset, ack.delivered)
        .map_err(|e| e.to_string())
}

/// The text itself if it is JSON, else a JSON string of it.
fn payload(text: String) -> Result<RawBuf, Malformed> {
    RawBuf::new(&*text).or_else(|_| RawBuf::new(serde_json::Value::from(text).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_goes_as_it_is_and_text_as_a_string() {
        for (text, sent) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("17", "17"),
            ("null", "null"),
            ("hello", r#""hello""#),
            ("", r#""""#),
            (r#"say "hi""#, r#""say \"hi\"""#),
        ] {
            assert_eq!(payload(text.into()).unwrap().get(), sent);
        }
    }
}
