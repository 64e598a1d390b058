//! The client's commands as a separate program: `commands pub|sub|bench …`, as the `fanfare` binary embeds them.

use std::process::ExitCode;

use clap::Parser;
use fanfare_client::commands::{BenchArgs, PubArgs, SubArgs};

#[derive(Parser)]
enum Command {
    /// Publish to a topic.
    Pub(PubArgs),
    /// Subscribe to topics and print their events.
    Sub(SubArgs),
    /// Load a server and measure it.
    Bench(BenchArgs),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match Command::parse() {
        Command::Pub(args) => Box::pin(args.run()).await,
        Command::Sub(args) => Box::pin(args.run()).await,
        Command::Bench(args) => args.run().await,
    }
}
