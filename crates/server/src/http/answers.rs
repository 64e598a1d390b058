//! Memory for large responses that their clients have not read yet, bounded per address.
//!
//! A small request can have a large response: a page of a history, a batch of them. The response stays in memory until
//! its last byte is written to the kernel or the write deadline ends the connection, and one address may have thousands
//! of connections. So before such a request is executed, room for its largest response is taken from its address's
//! share ([`SHARE`]). The room that the response does not need is returned at once, the rest when it has been written.
//! Without room a request waits, then it is refused: no request is executed whose response could not be kept.

use super::problem::Problem;
use crate::telemetry::metrics::Metrics;
use axum::body::Bytes;
use axum::http::StatusCode;
use fanfare_core::model::network;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of unread responses allowed for one address, or one IPv6 /64.
const SHARE: u32 = 64 * 1024 * 1024;
/// Responses up to this many bytes hold no room: on all of an address's 4096 connections they are 16 MiB.
const SMALL: usize = 4096;
/// Maximum wait for room. Requests that are executed without waiting return theirs within a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shares in use.
#[derive(Debug)]
pub(super) struct Answers {
    metrics: Arc<Metrics>,
    patience: Duration,
    shares: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

/// An address's share, kept as long as it is in use.
#[derive(Debug)]
struct Share {
    answers: Arc<Answers>,
    network: IpAddr,
    bytes: Arc<Semaphore>,
}

/// Room for one response.
#[derive(Debug)]
pub(super) struct Room {
    /// Before `share`, which is dropped when nothing of it is taken any more.
    taken: Option<OwnedSemaphorePermit>,
    _share: Share,
}

/// A response with the room it needs.
struct Held {
    answer: Box<[u8]>,
    _room: Room,
}

impl Answers {
    /// Creates it without shares. Refusals are counted in `metrics`.
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Self::waiting(metrics, PATIENCE)
    }

    fn waiting(metrics: Arc<Metrics>, patience: Duration) -> Arc<Self> {
        Arc::new(Self { metrics, patience, shares: Mutex::default() })
    }

    fn share(self: &Arc<Self>, address: IpAddr) -> Share {
        let network = network(address);
        let mut all = self.shares.lock();
        let bytes = all.entry(network).or_insert_with(|| Arc::new(Semaphore::new(SHARE as usize)));
        Share { answers: self.clone(), network, bytes: bytes.clone() }
    }

    /// Waits for room for a response of at most about `bytes`.
    ///
    /// # Errors
    /// 429: the address has not read its earlier responses.
    pub(super) async fn room(self: &Arc<Self>, address: IpAddr, bytes: usize) -> Result<Room, Problem> {
        let share = self.share(address);
        let bytes = u32::try_from(bytes).map_or(SHARE, |bytes| bytes.min(SHARE));
        let taken = tokio::time::timeout(self.patience, share.bytes.clone().acquire_many_owned(bytes)).await;
        match taken {
            // The semaphore is never closed; if it were, the request would continue without room.
            Ok(taken) => Ok(Room { taken: taken.ok(), _share: share }),
            Err(_late) => {
                self.metrics.refused_by("unread_answers");
                let detail = "this address has not read the responses to its requests; read them first";
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "limit_exceeded", detail);
                Err(Problem { retry_after_ms: Some(1000), ..problem })
            }
        }
    }
}

impl Room {
    /// The body of the response, which holds the room it needs until it has been written.
    pub(super) fn body(mut self, answer: Vec<u8>) -> Bytes {
        if answer.len() <= SMALL {
            return answer.into();
        }
        let unused = self.taken.as_mut().and_then(|taken| {
            let unused = taken.num_permits().saturating_sub(answer.len());
            taken.split(unused)
        });
        drop(unused);
        Bytes::from_owner(Held { answer: answer.into(), _room: self })
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.answers.shares.lock();
        // Two references, this one and the map's: the share is not in use.
        if Arc::strong_count(&self.bytes) == 2 {
            all.remove(&self.network);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const MIB: usize = 1024 * 1024;

    fn answers(patience: Duration) -> Arc<Answers> {
        Answers::waiting(Arc::new(Metrics::new(Vec::new())), patience)
    }

    #[tokio::test]
    async fn an_address_that_does_not_read_is_refused_and_others_are_not() {
        let answers = answers(Duration::from_millis(50));
        let mut unread = Vec::new();
        for _ in 0..SHARE as usize / MIB {
            unread.push(answers.room(ONE, MIB).await.unwrap().body(vec![0; MIB]));
        }
        let refused = answers.room(ONE, MIB).await.unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.retry_after_ms), (429, Some(1000)));
        assert!(answers.room(OTHER, MIB).await.is_ok());
        unread.pop();
        assert!(answers.room(ONE, MIB).await.is_ok());
        drop(unread);
        assert!(answers.shares.lock().is_empty(), "addresses that have read everything have no share");
    }

    #[tokio::test]
    async fn a_request_waits_until_a_response_has_been_read() {
        let answers = answers(PATIENCE * 30);
        let unread = answers.room(ONE, SHARE as usize).await.unwrap().body(vec![0; SHARE as usize]);
        let read = async {
            assert_eq!(answers.shares.lock()[&ONE].available_permits(), 0);
            drop(unread);
        };
        let (room, ()) = tokio::join!(answers.room(ONE, MIB), read);
        assert!(room.is_ok());
        drop(room);
        assert!(answers.shares.lock().is_empty());
    }

    #[tokio::test]
    async fn only_the_room_a_response_needs_is_held() {
        let answers = answers(PATIENCE);
        let free = || answers.shares.lock().get(&ONE).map(|share| share.available_permits());
        let room = answers.room(ONE, usize::MAX).await.unwrap();
        assert_eq!(free(), Some(0), "never more than there is");
        let small = room.body(b"small".to_vec());
        assert_eq!((&small[..], free()), (&b"small"[..], None));
        let mut long = Vec::with_capacity(2 * MIB);
        long.resize(MIB, b'x');
        let large = answers.room(ONE, 3 * MIB).await.unwrap().body(long);
        assert_eq!((large.len(), free()), (MIB, Some(SHARE as usize - MIB)));
        let part = large.slice(1..);
        drop(large);
        assert_eq!(free(), Some(SHARE as usize - MIB), "the rest is still to be written");
        drop(part);
        assert_eq!(free(), None);
    }
}
