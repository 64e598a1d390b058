//! The Kafka source.
//!
//! ```text
//! poll (one thread)  ─ receive: dedupe, map ─ partition queue ─ work (a few threads): sink, dead letters, store offset
//!    │ rebalances: drain, commit                                   │ pause above, resume below the marks
//! watch (one thread): lag, alerts, topics added and removed, other members, stalls, restarted logs
//! reader (two threads): replays
//! ```
//!
//! Invariants: polling never waits for the sink; a partition is with one worker at a time; an offset is stored after
//! the sink returned, under the generation in which its record was received; transport errors are counted and retried.

mod anchor;
mod context;
mod dead_letters;
mod fill;
mod partition;
mod poll;
mod reader;
mod receive;
mod restart;
mod settings;
mod shared;
mod starts;
mod status;
mod watch;
mod work;

#[cfg(test)]
mod tests;

use crate::config::{ConfigFault, KafkaConfig, Mode};
use crate::mapping::Mappings;
use crate::replay::{Position, Replay, ReplayRefused};
use crate::sink::FeedSink;
use crate::status::FeedsStatus;
use shared::Shared;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long stopping may take: draining and the last commit have 5 s, leaving the group the rest.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Threads that pass batches to the sink: several, so that a partition whose sink blocks does not block all.
const WORKERS: usize = 3;

/// A running Kafka source.
pub(crate) struct KafkaSource {
    shared: Arc<Shared>,
    reader: reader::Pool,
    stopped: oneshot::Receiver<()>,
}

impl KafkaSource {
    /// Starts the threads.
    ///
    /// # Errors
    /// A property that is invalid, or a thread that cannot be started.
    pub(crate) fn start(
        config: KafkaConfig,
        mappings: Arc<Mappings>,
        lag_warn: u64,
        sink: Arc<dyn FeedSink>,
    ) -> Result<Self, ConfigFault> {
        settings::check(&config)?;
        let broadcast = config.mode == Mode::Broadcast;
        let shared = Arc::new(Shared::new(config, broadcast, mappings, lag_warn, sink));
        let (done, stopped) = oneshot::channel();
        let spawn = |name: &'static str, run: Box<dyn FnOnce() + Send>| {
            crate::sink::spawn(name, Arc::clone(&shared.sink), run)
                .map_err(|err| ConfigFault::new("kafka.brokers", err.to_string()))
        };
        for _ in 0..WORKERS {
            let shared = Arc::clone(&shared);
            spawn("feeds-work", Box::new(move || work::run(&shared)))?;
        }
        let watched = Arc::clone(&shared);
        spawn("feeds-watch", Box::new(move || watch::run(&watched)))?;
        let filled = Arc::clone(&shared);
        spawn("feeds-fill", Box::new(move || fill::run(&filled)))?;
        let reader = reader::Pool::start(&shared, &spawn)?;
        let polled = Arc::clone(&shared);
        spawn(
            "feeds-poll",
            Box::new(move || {
                poll::run(&polled);
                let _ = done.send(());
            }),
        )?;
        Ok(Self { shared, reader, stopped })
    }

    pub(crate) fn status(&self) -> FeedsStatus {
        status::of(&self.shared)
    }

    pub(crate) async fn replay(
        &self,
        channel: &str,
        from: Vec<Position>,
        to: Vec<Position>,
    ) -> Result<Replay, ReplayRefused> {
        self.reader.replay(&self.shared, channel, from, to).await
    }

    pub(crate) async fn stop(mut self) {
        self.shared.stop();
        if tokio::time::timeout(STOP_WITHIN, &mut self.stopped).await.is_err() {
            tracing::warn!("Kafka did not close in time; the last positions may not be committed");
        }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.shared.stop();
        self.reader.stop();
        debug_assert!(self.shared.stopping.load(Ordering::Relaxed));
    }
}
