//! `fanfare bench`: the project's load generator.
//!
//! One thread drives all connections of a run through one epoll set (`swarm`); the server under test is started for the
//! run or already running (`server`). Every message carries a stamp (`stamp`) with its due time and number, so that
//! latency has no coordinated omission and every lost, repeated or reordered message is counted (`traffic`). The
//! server's cost is read from the kernel (`process`): CPU seconds for a million deliveries, which is microseconds each,
//! and resident bytes. A run prints one JSON line on standard output and one readable line on standard error; its exit
//! code is 1 when a message was lost, repeated, reordered or refused or a connection broke.

mod args;
mod clock;
mod echo;
mod encrypted;
mod feed;
mod floor;
mod frame;
mod handshake;
mod histogram;
mod limits;
mod link;
mod modes;
mod peer;
mod process;
mod report;
mod sequence;
mod server;
mod stamp;
mod swarm;
mod template;
#[cfg(test)]
mod tests;
mod traffic;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

pub use self::args::BenchArgs;
use self::args::Mode;
use self::report::Report;
use crate::commands::failed;

/// Exit code after SIGINT or SIGTERM, as in shells.
const INTERRUPTED: u8 = 130;

impl BenchArgs {
    /// Runs the benchmark on a thread of its own; a signal stops it and the server it started cleanly.
    pub async fn run(self) -> ExitCode {
        let stop = Arc::new(AtomicBool::new(false));
        let (done, outcome) = oneshot::channel();
        let (mode, stopped) = (self.mode, Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("bench".into()).spawn(move || {
            // The receiver is dropped only with the runtime, and then the outcome is not needed.
            let _ = done.send(measure(&mode, &stopped));
        });
        if let Err(e) = thread {
            return failed(&e);
        }
        let interrupt = async {
            let (Ok(mut int), Ok(mut term)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return std::future::pending().await;
            };
            tokio::select! { _ = int.recv() => (), _ = term.recv() => () }
        };
        tokio::pin!(outcome);
        let outcome = tokio::select! {
            outcome = &mut outcome => outcome,
            () = interrupt => {
                stop.store(true, Ordering::Relaxed);
                // The server has stopped when the outcome arrives.
                let _ = outcome.await;
                return ExitCode::from(INTERRUPTED);
            }
        };
        match outcome {
            Ok(Ok(Some(report))) => print(report),
            Ok(Ok(None)) => ExitCode::SUCCESS,
            Ok(Err(reason)) => failed(&reason),
            Err(_) => failed(&"the benchmark ended without an outcome"),
        }
    }
}

fn measure(mode: &Mode, stop: &Arc<AtomicBool>) -> Result<Option<Report>, String> {
    match mode {
        Mode::Idle(args) => modes::idle(args, stop).map(Some),
        Mode::Fanout(args) => modes::fanout(args, stop).map(Some),
        Mode::Topics(args) => modes::topics(args, stop).map(Some),
        Mode::Maxrate(args) => modes::maxrate(args, stop).map(Some),
        Mode::Echo(args) => modes::echo(args, stop).map(Some),
        Mode::Feed(args) => feed::run(args, stop).map(Some),
        Mode::Floor(args) => floor::run(args, stop).map(Some),
        Mode::Sink(args) => floor::sink(args).map(|()| None),
    }
}

fn print(report: Report) -> ExitCode {
    let faulty = report.faulty;
    match report.print() {
        Ok(()) if faulty => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(&e),
    }
}
