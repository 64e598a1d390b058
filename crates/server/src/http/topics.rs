//! Topics over REST: the same commands, checks and codes as on the sockets (`http-api.md`, seed 004).
//!
//! Longer than most: half of it is what the OpenAPI document says of each route.

use super::body::{Params, TopicName};
use super::problem::Problem;
use super::sender::{self, Sender};
use super::{Http, Json, body};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fanfare_core::hub::Backpressure;
use fanfare_core::model::{ErrorCode, Refusal, TopicRef};
use fanfare_core::session::SessionCode;
use fanfare_core::time::rfc3339_ms;
use fanfare_core::topics::{LogRetention, TopicInfo};
use fanfare_dialects::typed;
use fanfare_json::RawBuf;
use fanfare_services::topics::{self, Asked, HistoryEvent, HistoryQuery};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Bytes at which a page of a history ends; one event alone may be longer.
const PAGE_BYTES: usize = 256 * 1024;

/// A topic.
#[derive(Serialize, ToSchema)]
pub(super) struct Topic {
    /// Its name.
    #[schema(example = "news")]
    name: String,
    /// Subscriptions on this node.
    subscribers: u64,
    /// Events published since it came to life.
    published: u64,
    /// Its epoch: offsets are comparable within one.
    #[schema(example = "6b1e0c2f9a3d4e57")]
    epoch: String,
    /// The offset of its last event.
    offset: u64,
    /// Created explicitly: stays without subscribers.
    kept: bool,
    /// What happens to a subscriber that reads too slowly.
    #[schema(example = "disconnect", pattern = "^(disconnect|drop_oldest)$")]
    backpressure: &'static str,
    /// True when its events are in the store, also after a restart; the three bounds are then those in the store, where 0 (`0s`) is
    /// without bound.
    durable: bool,
    /// Events kept for clients that reconnect.
    history_size: u64,
    /// How long they are kept.
    #[schema(example = "5m")]
    history_ttl: String,
    /// Bytes of events kept.
    #[schema(example = 1_048_576)]
    history_topic_bytes: u64,
}

impl From<TopicInfo> for Topic {
    fn from(t: TopicInfo) -> Self {
        let retention = t.options.retention;
        let in_memory = LogRetention {
            size: retention.size as u64,
            ttl_ms: retention.ttl_ms,
            bytes: retention.bytes as u64,
        };
        let keep = t.options.durable.unwrap_or(in_memory);
        Self {
            name: t.name.to_string(),
            subscribers: t.subscribers,
            published: t.published,
            epoch: t.epoch.to_string(),
            offset: t.offset,
            kept: t.kept,
            backpressure: match t.options.backpressure {
                Backpressure::Disconnect => "disconnect",
                Backpressure::DropOldest => "drop_oldest",
            },
            durable: t.options.durable.is_some(),
            history_size: keep.size,
            history_ttl: fanfare_config::duration_text(Duration::from_millis(keep.ttl_ms)),
            history_topic_bytes: keep.bytes,
        }
    }
}

/// A page of topics.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicPage {
    /// In the order of their names.
    items: Vec<Topic>,
    /// Pass it as `after` for the next page; null at the end.
    next: Option<String>,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TopicQuery {
    /// Items of the page: 1 to 100, 50 unless given; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
    /// Only names after this one.
    after: Option<String>,
}

/// Lists the topics by name, a page at a time.
#[utoipa::path(get, path = "/topics", tag = "Topics", operation_id = "listTopics", params(TopicQuery), responses(
    (status = 200, description = "A page", body = TopicPage)))]
pub(super) async fn list(
    State(http): State<Http>,
    sender: Sender,
    Params(query): Params<TopicQuery>,
) -> Result<Json<TopicPage>, Problem> {
    let (topics, actor) = (&http.node.services.topics, sender.actor());
    topics.may_manage(&actor)?;
    let limit = body::page_size(query.limit.as_deref())?;
    let (topics, next) = topics.list(&actor, query.after.as_deref(), limit)?;
    Ok(Json(TopicPage { items: topics.into_iter().map(Topic::from).collect(), next }))
}

/// Shows a topic.
#[utoipa::path(get, path = "/topics/{name}", tag = "Topics", operation_id = "showTopic",
    params(("name" = String, Path, description = "The topic's name, percent-encoded; at most 255 bytes", min_length = 1, example = "lobby")), responses(
    (status = 200, description = "The topic", body = Topic),
    (status = 404, description = "No such topic")))]
pub(super) async fn show(
    State(http): State<Http>,
    sender: Sender,
    TopicName(name): TopicName,
) -> Result<Json<Topic>, Problem> {
    Ok(Json(http.node.services.topics.show(&sender.actor(), name.as_str())?.into()))
}

/// What a topic is made with.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is read by hand for its exact errors")]
pub(super) struct NewTopic {
    /// Non-empty, at most 255 bytes.
    #[schema(min_length = 1, example = "news")]
    name: String,
    /// `disconnect` or `drop_oldest`; the server's own setting unless given.
    #[schema(pattern = "^(disconnect|drop_oldest)$")]
    backpressure: Option<String>,
    /// Whether its events are in the store before they are acknowledged; as the topic's rule says unless given.
    durable: Option<bool>,
    /// Events kept; the server's own setting unless given. At most 1000000; of a durable topic any number, 100000 unless given, and 0 is
    /// without bound.
    #[schema(minimum = 0)]
    history_size: Option<u64>,
    /// How long they are kept, as `30s`, `5m`, `24h`. Durable topics: `30d` unless given, and `0s` is without bound.
    #[schema(example = "5m", pattern = "^([0-9]{1,9}ms|[0-9]{1,8}s|[0-9]{1,6}m|[0-9]{1,4}h|[0-9]{1,3}d)$")]
    history_ttl: Option<String>,
    /// Bytes of events kept. Durable topics: 268435456 unless given, and 0 is without bound.
    #[schema(minimum = 0)]
    history_topic_bytes: Option<u64>,
}

/// Makes a topic and keeps it, or keeps the one that is there.
#[utoipa::path(post, path = "/topics", tag = "Topics", operation_id = "makeTopic", request_body = NewTopic, params(
    ("Idempotency-Key" = Option<String>, Header, description = "A repeat gets the first answer", min_length = 1, max_length = 128)), responses(
    (status = 201, description = "Made", body = Topic),
    (status = 200, description = "It was there and is kept now", body = Topic),
    (status = 409, description = "The Idempotency-Key was used with another body, or the topic exists and its `durable` is another"),
    (status = 429, description = "As many topics as limits.max_topics allows"),
    (status = 503, description = "The store cannot keep it")))]
pub(super) async fn make(
    State(http): State<Http>,
    sender: Sender,
    request: Request,
) -> Result<Response, Problem> {
    let node = &http.node;
    let (topics, actor) = (&node.services.topics, sender.actor());
    topics.may_manage(&actor)?;
    let (parts, content) = request.into_parts();
    let text =
        body::json_text(node, &parts.headers, content, node.config.limits.max_message_bytes.len()).await?;
    let key = http.repeat_key(&parts.headers, &text)?;
    let made = topics.make(&actor, &new_topic(&text)?, key).await?;
    let status = if made.existed { StatusCode::OK } else { StatusCode::CREATED };
    let body = serde_json::to_string(&Topic::from(made.info)).unwrap_or_default();
    Ok((status, super::json_type(), body).into_response())
}

fn new_topic(text: &str) -> Result<topics::NewTopic, Problem> {
    let json: serde_json::Value = serde_json::from_str(text)
        .map_err(|_| Refusal::new(ErrorCode::InvalidJson, "the body is no valid JSON"))?;
    let Some(object) = json.as_object() else {
        return Err(Problem::invalid("body", "the body is a JSON object with a name"));
    };
    let Some(name) = object.get("name").and_then(|n| n.as_str()) else {
        let why = "name must be a non-empty string of at most 255 bytes";
        return Err(Refusal::new(ErrorCode::InvalidTopic, why).field("name").into());
    };
    let name = TopicRef::parse(name).map_err(|refusal| refusal.field("name"))?.into_inner().into_owned();
    let given = |member| object.get(member).and_then(non_null);
    let number = |member| given(member).map(|value| whole(member, value)).transpose();
    Ok(topics::NewTopic {
        name,
        asked: Asked {
            backpressure: given("backpressure").map(backpressure).transpose()?,
            durable: given("durable").map(durable).transpose()?,
            history_size: number("history_size")?,
            history_ttl_ms: given("history_ttl").map(history_ttl_ms).transpose()?,
            history_topic_bytes: number("history_topic_bytes")?,
        },
    })
}

fn backpressure(value: &serde_json::Value) -> Result<Backpressure, Problem> {
    match value.as_str() {
        Some("disconnect") => Ok(Backpressure::Disconnect),
        Some("drop_oldest") => Ok(Backpressure::DropOldest),
        _ => Err(Problem::invalid("backpressure", "backpressure is disconnect or drop_oldest")),
    }
}

fn durable(value: &serde_json::Value) -> Result<bool, Problem> {
    value.as_bool().ok_or_else(|| Problem::invalid("durable", "durable is true or false"))
}

fn history_ttl_ms(value: &serde_json::Value) -> Result<u64, Problem> {
    let ttl = value.as_str().and_then(history_ttl).map(|ttl| ttl.as_millis() as u64);
    ttl.ok_or_else(|| Problem::invalid("history_ttl", "history_ttl is a duration such as 30s, 5m or 24h"))
}

/// Units of `history_ttl` and their digits at most, as the body's schema says it: up to about three years.
const TTL_DIGITS: [(&str, usize); 5] = [("ms", 9), ("s", 8), ("m", 6), ("h", 4), ("d", 3)];

fn history_ttl(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text.get(digits..)?;
    let fits = TTL_DIGITS.iter().any(|(name, most)| *name == unit && (1..=*most).contains(&digits));
    fits.then(|| fanfare_config::parse_duration(text)).flatten()
}

/// A number without a fraction, however it is written: `5.0` is an integer to JSON Schema.
fn whole(member: &'static str, value: &serde_json::Value) -> Result<u64, Problem> {
    let plain = |n: &f64| n.fract() == 0.0 && (0.0..u64::MAX as f64).contains(n);
    let number = value.as_u64().or_else(|| value.as_f64().filter(plain).map(|n| n as u64));
    let number = number.filter(|number| i64::try_from(*number).is_ok());
    number.ok_or_else(|| Problem::invalid(member, format!("{member} is a whole number, 0 or more")))
}

fn non_null(value: &serde_json::Value) -> Option<&serde_json::Value> {
    (!value.is_null()).then_some(value)
}

/// Deletes a topic and its history; its subscribers are notified.
#[utoipa::path(delete, path = "/topics/{name}", tag = "Topics", operation_id = "deleteTopic",
    params(("name" = String, Path, description = "The topic's name, percent-encoded; at most 255 bytes", min_length = 1, example = "lobby")), responses(
    (status = 204, description = "Gone"),
    (status = 404, description = "No such topic"),
    (status = 503, description = "The store cannot forget it")))]
pub(super) async fn delete(
    State(http): State<Http>,
    sender: Sender,
    TopicName(name): TopicName,
) -> Result<StatusCode, Problem> {
    http.node.services.topics.delete(&sender.actor(), name.as_str()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which part of a history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryParams {
    /// Items of the page: 1 to 100, 50 unless given; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
    /// Only events before this offset.
    #[param(value_type = Option<u64>)]
    before: Option<String>,
    /// Only events after this offset, the oldest first.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
    /// A subscription token, where the topic's rule asks for one.
    token: Option<String>,
}

/// A kept event.
#[derive(Serialize, ToSchema)]
pub(super) struct KeptEvent {
    /// Its id; ids sort by time.
    id: String,
    /// Its offset.
    offset: u64,
    /// What was published, byte for byte.
    #[schema(value_type = Value)]
    payload: RawBuf,
    /// The publisher's client id.
    client_id: String,
    /// The username of a publisher who was logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// When it was published.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    timestamp: String,
}

/// A page of a history.
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryPage {
    /// Oldest first.
    items: Vec<KeptEvent>,
    /// Pass it as `after` where `after` was given, else as `before`; null at the end.
    next: Option<u64>,
    /// The topic's epoch.
    epoch: String,
    /// The topic's head.
    offset: u64,
}

/// Reads what a topic keeps: the newest page unless `before` or `after` is given.
#[utoipa::path(get, path = "/topics/{name}/history", tag = "Topics", operation_id = "topicHistory",
    params(("name" = String, Path, description = "The topic's name, percent-encoded; at most 255 bytes", min_length = 1, example = "lobby"), HistoryParams), responses(
    (status = 200, description = "A page", body = HistoryPage),
    (status = 404, description = "No such topic"),
    (status = 429, description = "The address has not read earlier answers")))]
pub(super) async fn history(
    State(http): State<Http>,
    sender: Sender,
    TopicName(name): TopicName,
    Params(params): Params<HistoryParams>,
) -> Result<Response, Problem> {
    let query = HistoryQuery {
        topic: name.as_str(),
        limit: body::page_size(params.limit.as_deref())?,
        before: body::offset("before", params.before.as_deref())?,
        after: body::offset("after", params.after.as_deref())?,
        token: params.token.as_deref(),
    };
    let grants = sender::grants(&http.node, params.token.as_deref()).await;
    let max_answer = PAGE_BYTES.max(http.node.config.limits.max_message_bytes.len());
    let room = http.answers.room(sender.origin.ip, max_answer).await?;
    let found = http.node.services.topics.history(&sender.actor_with(&grants), query)?.resolve().await?;
    let items = found.items.into_iter().map(kept).collect::<Result<_, _>>()?;
    let page = HistoryPage { items, next: found.next, epoch: found.epoch.to_string(), offset: found.offset };
    Ok((super::json_type(), room.body(super::json_bytes(&page)?)).into_response())
}

fn kept(event: HistoryEvent) -> Result<KeptEvent, Problem> {
    let HistoryEvent { meta, payload, client_id, user } = event;
    let payload = RawBuf::new(payload).map_err(|error| {
        tracing::error!(%error, "a kept payload is no JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a kept event cannot be shown")
    })?;
    let (id, timestamp) = (meta.id.to_string(), rfc3339_ms(meta.at_ms));
    Ok(KeptEvent { id, offset: meta.offset, payload, client_id, user, timestamp })
}

/// A publish.
#[derive(ToSchema)]
#[allow(dead_code, reason = "the schema of a body that is read by hand, so that the payload stays as sent")]
pub(super) struct PublishBody {
    /// Non-empty, at most 255 bytes.
    #[schema(min_length = 1, example = "news")]
    topic: String,
    /// Any JSON; reaches subscribers byte for byte.
    #[schema(value_type = Value)]
    payload: serde_json::Value,
    /// Shown to subscribers as the event's `client_id`: non-empty, at most 255 bytes.
    #[schema(min_length = 1)]
    client_id: Option<String>,
    /// The session whose connection is not sent it.
    exclude_session: Option<String>,
}

/// What a publish got.
#[derive(Serialize, ToSchema)]
pub(super) struct PublishAnswer {
    /// The topic.
    topic: String,
    /// The event's id.
    id: String,
    /// The event's offset.
    offset: u64,
    /// Subscriptions on this node at that moment.
    delivered: u64,
    /// True when the topic is durable: the event is in the store.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    durable: bool,
}

/// Publishes to a topic.
#[utoipa::path(post, path = "/publish", tag = "Topics", operation_id = "publish", request_body = PublishBody, params(
    ("Idempotency-Key" = Option<String>, Header, description = "Repeats within five minutes get the first answer", min_length = 1, max_length = 128)), responses(
    (status = 200, description = "Published", body = PublishAnswer),
    (status = 404, description = "No such topic"),
    (status = 429, description = "Too many messages")))]
pub(super) async fn publish(
    State(http): State<Http>,
    sender: Sender,
    request: Request,
) -> Result<Json<PublishAnswer>, Problem> {
    let node = &http.node;
    let (parts, content): (_, Body) = request.into_parts();
    node.services.rates.take(&sender.actor())?;
    let text =
        body::json_text(node, &parts.headers, content, node.config.limits.max_message_bytes.len()).await?;
    let typed::PublishBody { mut publish, exclude_session } = typed::decode_publish(&text)?;
    let grants = sender::grants(node, publish.token.as_deref()).await;
    let actor = sender.actor_with(&grants);
    let topics = &node.services.topics;
    let key = super::idempotency_key(&parts.headers);
    if key.is_err() {
        // Callers that may not publish get that answer, and none about the key.
        topics.may_publish(&actor, &publish)?;
    }
    if let Some(key) = key? {
        publish.idempotency_key = Some(key.into());
    }
    let session = exclude_session.and_then(|code| SessionCode::parse(&code));
    let sessions = node.services.sessions.table();
    let published = topics.publish_beside(&actor, &publish, session, sessions).await?;
    Ok(Json(PublishAnswer {
        topic: publish.topic.as_str().to_owned(),
        id: published.meta.id.to_string(),
        offset: published.meta.offset,
        delivered: published.delivered,
        durable: published.durable,
    }))
}
