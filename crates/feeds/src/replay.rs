//! Reading again what a client has missed: pulled in bounded chunks, so that a slow client costs no reader.

use crate::model::Record;
use std::pin::Pin;
use std::sync::Arc;

/// A position in a topic: topic, partition, offset.
pub type Position = (Arc<str>, i32, i64);

/// Why a replay cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayRefused {
    /// Kafka did not answer in time; worth another try.
    #[error("the log cannot be reached now")]
    Unavailable,
    /// There is no such channel.
    #[error("no such channel")]
    UnknownChannel,
}

/// A chunk on its way; `None` at the end.
pub(crate) type Pulling<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Vec<Record>>, ReplayRefused>> + Send + 'a>>;

/// Where the chunks of a replay come from.
pub(crate) trait Chunks: Send {
    /// The next records; `Ok(None)` at the end.
    fn pull(&mut self) -> Pulling<'_>;
}

/// A replay under way. Dropping it costs nothing.
pub struct Replay {
    /// `topic/partition` of the positions that cannot be continued from: expired, beyond the end, or not of this
    /// channel. Nothing is replayed for them.
    pub lost: Vec<String>,
    pub(crate) chunks: Box<dyn Chunks>,
    pub(crate) ended: bool,
}

impl Replay {
    /// The next chunk: records of the channel in the order of their partition, never past the end that was asked for.
    /// At most 500 records or 512 KiB, never empty. `None` at the end; after an error there is nothing more.
    ///
    /// # Errors
    /// [`ReplayRefused::Unavailable`] when Kafka does not answer for 5 s.
    pub async fn next(&mut self) -> Option<Result<Vec<Record>, ReplayRefused>> {
        if self.ended {
            return None;
        }
        let pulled = self.chunks.pull().await.transpose();
        self.ended = !matches!(pulled, Some(Ok(_)));
        pulled
    }
}
