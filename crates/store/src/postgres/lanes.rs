//! Batches of appends with group commit: a lane commits one batch while it gathers the next.
//!
//! Each log belongs to one lane, by its number. So its batches are committed, and passed to the sink, one after
//! another, and two lanes never wait for the same head.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::session::Kind;
use super::{Runner, vital};
use crate::logs::{Append, AppendBatch, Backlog, LogsShared};

/// Concurrent batches: one inserts while the other waits for the disk.
const LANES: usize = 2;

/// Appends of some logs.
#[derive(Default)]
struct Lane {
    backlog: Backlog,
    woken: Notify,
}

/// The lanes and their tasks.
pub(super) struct Lanes {
    lanes: [Arc<Lane>; LANES],
    tasks: Mutex<Vec<JoinHandle<()>>>,
    runner: Runner,
}

impl Lanes {
    /// Connections that the lanes need.
    pub(super) const CONNECTIONS: usize = LANES;

    /// Starts the lanes; the runner's pool is used by them only and has a connection for each.
    pub(super) fn start(runner: &Runner, logs: &Arc<LogsShared>) -> Self {
        let lanes: [Arc<Lane>; LANES] = Default::default();
        let start = |lane: &Arc<Lane>| {
            let (lane, runner, logs) = (Arc::clone(lane), runner.clone(), Arc::clone(logs));
            tokio::spawn(async move {
                vital("a lane of appends", Arc::clone(&runner.health), lane.run(&runner, &logs)).await;
                lane.backlog.abandon();
            })
        };
        let tasks = Mutex::new(lanes.iter().map(start).collect());
        Self { lanes, tasks, runner: runner.clone() }
    }

    pub(super) fn append(&self, append: Append) {
        let lane = &self.lanes[append.log().0.unsigned_abs() as usize % LANES];
        if lane.backlog.push(append) {
            lane.woken.notify_one();
        }
    }

    /// Refuses appends from now on; the lanes end when they have committed the queued ones.
    fn end(&self) {
        for lane in &self.lanes {
            lane.backlog.close();
            lane.woken.notify_one();
        }
    }

    /// Commits the queued appends and ends the lanes.
    pub(super) async fn close(&self) {
        self.end();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            drop(task.await);
        }
        self.runner.pool.close();
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.end();
    }
}

impl Lane {
    async fn run(&self, runner: &Runner, logs: &Arc<LogsShared>) {
        loop {
            // Before the check of the backlog: an append after the last one of a closed backlog is refused.
            let last = self.backlog.is_closed();
            let appends = self.backlog.take();
            if !appends.is_empty() {
                runner.run(Box::new(AppendBatch::new(appends, logs)), Kind::Write).await;
            } else if last {
                return;
            } else {
                self.woken.notified().await;
            }
        }
    }
}
