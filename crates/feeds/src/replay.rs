//! Replays of records a client has missed: pulled in bounded chunks, so that a slow client occupies no reader.

use crate::model::Record;
use std::pin::Pin;
use std::sync::Arc;

/// A position in a topic: topic, partition, offset.
pub type Position = (Arc<str>, i32, i64);

/// Why a replay is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayRefused {
    /// Kafka did not respond in time; a retry may succeed.
    #[error("the log cannot be reached now")]
    Unavailable,
    /// There is no such channel.
    #[error("no such channel")]
    UnknownChannel,
}

/// The future of a chunk; `None` at the end.
pub(crate) type Pulling<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Vec<Record>>, ReplayRefused>> + Send + 'a>>;

/// The source of a replay's chunks.
pub(crate) trait Chunks: Send {
    /// The next records; `Ok(None)` at the end.
    fn pull(&mut self) -> Pulling<'_>;
}

/// A replay in progress. It may be dropped at any time.
pub struct Replay {
    /// `topic/partition` of the positions that cannot be continued from: expired, beyond the end, or not of this
    /// channel. Nothing is replayed for them.
    pub lost: Vec<String>,
    pub(crate) chunks: Box<dyn Chunks>,
    pub(crate) ended: bool,
}

impl Replay {
    /// The next chunk: records of the channel in the order of their partition, never past the requested end. At most
    /// 500 records or 512 KiB, never empty. `None` at the end; after an error no more chunks follow.
    ///
    /// # Errors
    /// [`ReplayRefused::Unavailable`] when Kafka does not respond for 5 s.
    pub async fn next(&mut self) -> Option<Result<Vec<Record>, ReplayRefused>> {
        if self.ended {
            return None;
        }
        let pulled = self.chunks.pull().await.transpose();
        self.ended = !matches!(pulled, Some(Ok(_)));
        pulled
    }
}
