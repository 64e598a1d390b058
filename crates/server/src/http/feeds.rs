//! Feeds over REST: their mappings, positions and latest records (seed 002, `http-api.md`).

use super::body::PathText;
use super::problem::Problem;
use super::{Http, Json};
use axum::extract::State;
use fanfare_feeds::{FeedsStatus, PartitionStatus, TopicStatus};
use fanfare_json::RawBuf;
use serde::Serialize;
use utoipa::ToSchema;

/// The response of `GET /feeds`.
#[derive(Serialize, ToSchema)]
pub(super) struct FeedList {
    /// Whether the data is generated because no Kafka is configured.
    demo: bool,
    /// A row for each topic and mapping.
    feeds: Vec<Feed>,
}

/// A topic and what it feeds.
#[derive(Serialize, ToSchema)]
pub(super) struct Feed {
    /// The source's topic.
    #[schema(example = "trade-info")]
    topic: String,
    /// The channel to subscribe to, or its template.
    #[schema(example = "dashboard")]
    channel: String,
    /// The `type` of its deliveries.
    #[serde(rename = "type")]
    #[schema(example = "trade_data")]
    kind: String,
    /// The partitions that this node reads.
    partitions: Vec<FeedPartition>,
}

/// The position in a partition.
#[derive(Serialize, ToSchema)]
pub(super) struct FeedPartition {
    /// Its number.
    partition: i32,
    /// The next offset to store.
    offset: i64,
    /// The end of its log.
    end: i64,
    /// The number of records behind.
    lag: u64,
    /// Seconds behind; 0 when there is no lag.
    lag_seconds: f64,
    /// Whether its lag alert is raised.
    alert: bool,
    /// Why it is halted, if an invalid record halted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted: Option<&'static str>,
}

impl From<FeedsStatus> for FeedList {
    fn from(status: FeedsStatus) -> Self {
        let feed = |t: TopicStatus| Feed {
            topic: t.topic.to_string(),
            channel: t.channel.to_string(),
            kind: t.kind.to_string(),
            partitions: t.partitions.into_iter().map(FeedPartition::from).collect(),
        };
        Self { demo: status.demo, feeds: status.feeds.into_iter().map(feed).collect() }
    }
}

impl From<PartitionStatus> for FeedPartition {
    fn from(p: PartitionStatus) -> Self {
        let PartitionStatus { partition, offset, end, lag, lag_seconds, alert, halted } = p;
        Self { partition, offset, end, lag, lag_seconds, alert, halted }
    }
}

/// The feeds with their mapping, offsets and lag per partition.
#[utoipa::path(get, path = "/feeds", tag = "Feeds", operation_id = "listFeeds", responses(
    (status = 200, description = "The feeds of this node", body = FeedList)))]
pub(super) async fn list(State(http): State<Http>) -> Json<FeedList> {
    Json(http.node.feeds.status().into())
}

/// The latest records of a channel.
#[derive(Serialize, ToSchema)]
pub(super) struct Latest {
    /// The channel.
    #[schema(example = "dashboard")]
    channel: String,
    /// The last frame of each type, and of each key if the feed keeps those, in order of arrival.
    #[schema(value_type = Vec<FeedFrame>)]
    items: Vec<RawBuf>,
}

/// A delivery as subscribers receive it.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "describes in the document what is passed on unchanged")]
pub(super) struct FeedFrame {
    /// The `type` of the mapping.
    #[serde(rename = "type")]
    #[schema(example = "trade_data")]
    kind: String,
    /// The channel.
    channel: String,
    /// The record's value, unchanged.
    #[schema(value_type = serde_json::Value)]
    data: serde_json::Value,
    /// The record's time.
    #[schema(format = "date-time")]
    timestamp: String,
    /// Its position at the source.
    source: FeedSource,
    /// The record's key, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// A record's position at its source.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "describes in the document what is passed on unchanged")]
pub(super) struct FeedSource {
    /// The topic.
    topic: String,
    /// The partition.
    partition: i32,
    /// The offset in it.
    offset: i64,
}

/// The last frame of each type (and key) of a channel.
#[utoipa::path(get, path = "/feeds/{channel}/latest", tag = "Feeds", operation_id = "latestOfFeed",
    params(("channel" = String, Path, description = "The channel's name, percent-encoded", min_length = 1, max_length = 255)), responses(
    (status = 200, description = "The latest records", body = Latest),
    (status = 400, description = "The channel's name is no text"),
    (status = 404, description = "No such channel")))]
pub(super) async fn latest(
    State(http): State<Http>,
    PathText(channel): PathText,
) -> Result<Json<Latest>, Problem> {
    http.node.feeds.options(&channel)?;
    let frames = http.node.topics.latest(&channel);
    let raw = |body: &str| RawBuf::new(format!("{{{body}}}")).unwrap_or_default();
    let items = frames.iter().map(|record| raw(&record.body)).collect();
    Ok(Json(Latest { channel, items }))
}
