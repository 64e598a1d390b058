//! Pending calls, which run elsewhere.

use crate::dispatch::close_batch;
use crate::entry::{Entry, Work};
use crate::failure::Failure;
use crate::room::Room;
use fanfare_core::model::{ErrorCode, Refusal};
use fanfare_dialects::jsonrpc;
use fanfare_json::RawBuf;
use futures_util::future::join_all;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// The rest of a text: one or more calls that wait. Run it in a task of its own; dropping it ends the calls.
pub struct Pending {
    calls: Vec<PendingCall>,
    /// For a batch the finished part of the response: `[` and each response with a comma.
    batch: Option<Vec<u8>>,
    /// The bytes left for the remaining results.
    room: Mutex<Room>,
}

/// One call that waits.
pub(crate) struct PendingCall {
    pub id: Option<RawBuf>,
    pub entry: Arc<Entry>,
    pub call: Work,
}

impl Pending {
    pub(crate) fn one(call: PendingCall, room: Room) -> Self {
        Self { calls: vec![call], batch: None, room: Mutex::new(room) }
    }

    pub(crate) fn batch(answered: Vec<u8>, calls: Vec<PendingCall>, room: Room) -> Self {
        Self { calls, batch: Some(answered), room: Mutex::new(room) }
    }

    /// The number of waiting calls.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether no call waits; never true for a value that `dispatch` returned.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Runs all calls and returns the text to send, if there is one. Each call that works when it is polled first takes a permit of `gate` (share
    /// one per connection), and both together take no longer than `deadline`; a call that exceeds it is dropped and
    /// fails with `UNAVAILABLE`.
    pub async fn run(self, deadline: Duration, gate: &Semaphore) -> Option<Vec<u8>> {
        let until = Instant::now() + deadline;
        let responses = join_all(self.calls.into_iter().map(|c| c.run(until, gate, &self.room))).await;
        let mut responses = responses.into_iter().flatten();
        let Some(mut out) = self.batch else { return responses.next() };
        for answer in responses {
            out.extend_from_slice(&answer);
            out.push(b',');
        }
        if out.len() == 1 {
            return None;
        }
        close_batch(&mut out);
        Some(out)
    }
}

impl PendingCall {
    async fn run(self, until: Instant, gate: &Semaphore, room: &Mutex<Room>) -> Option<Vec<u8>> {
        let started = Instant::now();
        let work = async {
            // The gate is never closed; if it were, the call would run without its permit.
            let _permit = if self.call.gated { Some(gate.acquire().await) } else { None };
            self.entry.finish(self.call.future).await
        };
        let result = timeout_at(until, work).await.unwrap_or_else(|_| {
            Err(Refusal::new(ErrorCode::Unavailable, "the method did not finish within its deadline").into())
        });
        if let Some(meter) = &self.entry.meter {
            meter.ended(started.elapsed(), result.as_ref().err().map(Failure::number));
        }
        let id = self.id?;
        let id = Some(id.as_raw());
        let mut out = Vec::new();
        match result {
            Ok(json) => {
                jsonrpc::open_result(&mut out, id);
                out.extend_from_slice(&json);
                jsonrpc::close_result(&mut out);
                let taken = room.lock().unwrap_or_else(PoisonError::into_inner).take(out.len());
                if let Err(failure) = taken {
                    out.clear();
                    failure.encode(&mut out, id);
                }
            }
            Err(failure) => failure.encode(&mut out, id),
        }
        Some(out)
    }
}
