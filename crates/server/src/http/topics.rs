//! Topics over REST: the same commands, checks and codes as on the sockets (`http-api.md`, seed 004).
//!
//! Longer than most: half of it is what the OpenAPI document says of each route.

use super::body::{Params, TopicName};
use super::problem::Problem;
use super::repeat::{self, Answer};
use super::{Http, Json, body};
use crate::access::Caller;
use crate::methods::{HTTP_CLIENT, read_history};
use crate::node::Node;
use crate::storage;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use fanfare_core::hub::{Backpressure, ConnAddr};
use fanfare_core::model::{ErrorCode, Publish, Refusal, TopicRef};
use fanfare_core::session::SessionCode;
use fanfare_core::topics::{Published, TopicInfo, TopicOptions};
use fanfare_dialects::time::rfc3339_ms;
use fanfare_dialects::typed;
use fanfare_json::RawBuf;
use fanfare_rpc::{HistoryEvent, HistoryQuery};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Events a topic keeps at most.
const MAX_HISTORY: u64 = 1_000_000;

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
    /// Made by hand: stays without subscribers.
    kept: bool,
    /// What happens to a subscriber that reads too slowly.
    #[schema(example = "disconnect", pattern = "^(disconnect|drop_oldest)$")]
    backpressure: &'static str,
    /// Events kept for those who come back.
    history_size: u64,
    /// How long they are kept.
    #[schema(example = "5m")]
    history_ttl: String,
}

impl From<TopicInfo> for Topic {
    fn from(t: TopicInfo) -> Self {
        let retention = t.options.retention;
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
            history_size: retention.size as u64,
            history_ttl: crate::config::duration_text(Duration::from_millis(retention.ttl_ms)),
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
    caller: Caller,
    Params(query): Params<TopicQuery>,
) -> Result<Json<TopicPage>, Problem> {
    http.node.access.manage(&caller)?;
    let limit = body::page_size(query.limit.as_deref())?;
    let (topics, more) = http.node.topics.list(query.after.as_deref(), limit);
    let next = more.then(|| topics.last().map(|t| t.name.to_string())).flatten();
    Ok(Json(TopicPage { items: topics.into_iter().map(Topic::from).collect(), next }))
}

/// Shows a topic.
#[utoipa::path(get, path = "/topics/{name}", tag = "Topics", operation_id = "showTopic",
    params(("name" = String, Path, description = "The topic's name, percent-encoded; at most 255 bytes", min_length = 1, example = "lobby")), responses(
    (status = 200, description = "The topic", body = Topic),
    (status = 404, description = "No such topic")))]
pub(super) async fn show(
    State(http): State<Http>,
    caller: Caller,
    TopicName(name): TopicName,
) -> Result<Json<Topic>, Problem> {
    http.node.access.show(name.as_str(), &caller, http.node.config.is_production())?;
    Ok(Json(http.node.topics.show(name.as_str())?.into()))
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
    /// Events kept; the server's own setting unless given.
    #[schema(minimum = 0, maximum = 1_000_000)]
    history_size: Option<u64>,
    /// How long they are kept, as `30s`, `5m`, `24h`.
    #[schema(example = "5m", pattern = "^([0-9]{1,9}ms|[0-9]{1,8}s|[0-9]{1,6}m|[0-9]{1,4}h|[0-9]{1,3}d)$")]
    history_ttl: Option<String>,
}

/// Makes a topic and keeps it, or keeps the one that is there.
#[utoipa::path(post, path = "/topics", tag = "Topics", operation_id = "makeTopic", request_body = NewTopic, params(
    ("Idempotency-Key" = Option<String>, Header, description = "A repeat gets the first answer", min_length = 1, max_length = 128)), responses(
    (status = 201, description = "Made", body = Topic),
    (status = 200, description = "It was there and is kept now", body = Topic),
    (status = 409, description = "The Idempotency-Key was used with another body"),
    (status = 429, description = "As many topics as limits.max_topics allows"),
    (status = 503, description = "The store cannot keep it")))]
pub(super) async fn make(
    State(http): State<Http>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let node = &http.node;
    node.access.manage(&caller)?;
    let address = super::client_address(node, &request);
    let (parts, content) = request.into_parts();
    let text =
        body::json_text(node, &parts.headers, content, node.config.limits.max_message_bytes.len()).await?;
    let key = repeat::key(&parts.headers)?
        .map(|key| format!("topics {} {key}", caller.key_scope().unwrap_or_else(|| address.to_string())));
    let now = crate::node::unix_ms();
    let answer = http.repeats.once(key, &text, now, || {
        let (name, options) = new_topic(&http, &text)?;
        let topic = node.topics.make(&name, options, caller.requester(address), now)?;
        let status = if topic.existed { StatusCode::OK } else { StatusCode::CREATED };
        let body = serde_json::to_string(&Topic::from(topic.info)).unwrap_or_default();
        Ok(Answer { status, body })
    })?;
    keep(node, &text, now).await?;
    Ok((answer.status, super::json_type(), answer.body).into_response())
}

/// Keeps a topic that was made over restarts. Said after every success, so that a repeat mends what a store that was
/// away has missed.
async fn keep(node: &Node, text: &str, now: u64) -> Result<(), Problem> {
    let json: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let name = json.get("name").and_then(|n| n.as_str()).unwrap_or_default();
    // A repeat of a topic that was deleted since keeps nothing.
    let Ok(info) = node.topics.show(name) else { return Ok(()) };
    let kept = storage::kept_topic(name, node.topics.options_of(name), info.options, now);
    node.store.keep_topic(kept).await.map_err(unkept)
}

fn unkept(error: fanfare_store::StoreError) -> Problem {
    tracing::warn!(%error, "the store cannot keep what becomes of a topic");
    let why = "the store cannot be reached, so this does not outlive a restart; try again later";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", why)
}

/// The key that made a topic ends with it. The answer of [`make`] begins with the topic's name.
fn forget_key(http: &Http, name: &str) {
    let begin = format!("{{\"name\":{},", serde_json::Value::from(name));
    http.repeats.forget(|key, answer| key.starts_with("topics ") && answer.body.starts_with(&begin));
}

fn new_topic(http: &Http, text: &str) -> Result<(String, Option<TopicOptions>), Problem> {
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
    let mut options = http.node.topics.options_of(&name);
    let plain = options;
    match object.get("backpressure").and_then(non_null) {
        None => {}
        Some(v) if v == "disconnect" => options.backpressure = Backpressure::Disconnect,
        Some(v) if v == "drop_oldest" => options.backpressure = Backpressure::DropOldest,
        Some(_) => return Err(Problem::invalid("backpressure", "backpressure is disconnect or drop_oldest")),
    }
    if let Some(size) = object.get("history_size").and_then(non_null) {
        match whole(size).filter(|n| *n <= MAX_HISTORY) {
            Some(n) => options.retention.size = n as usize,
            None => {
                return Err(Problem::invalid("history_size", "history_size is a number from 0 to 1000000"));
            }
        }
    }
    if let Some(ttl) = object.get("history_ttl").and_then(non_null) {
        match ttl.as_str().and_then(history_ttl) {
            Some(ttl) => options.retention.ttl_ms = ttl.as_millis() as u64,
            None => {
                return Err(Problem::invalid(
                    "history_ttl",
                    "history_ttl is a duration such as 30s, 5m or 24h",
                ));
            }
        }
    }
    Ok((name, (options != plain).then_some(options)))
}

/// Units of `history_ttl` and their digits at most, as the body's schema says it: up to about three years.
const TTL_DIGITS: [(&str, usize); 5] = [("ms", 9), ("s", 8), ("m", 6), ("h", 4), ("d", 3)];

fn history_ttl(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text.get(digits..)?;
    let fits = TTL_DIGITS.iter().any(|(name, most)| *name == unit && (1..=*most).contains(&digits));
    fits.then(|| crate::config::parse_duration(text)).flatten()
}

/// A number without a fraction, however it is written: `5.0` is an integer to JSON Schema.
fn whole(value: &serde_json::Value) -> Option<u64> {
    let plain = |n: &f64| n.fract() == 0.0 && (0.0..=MAX_HISTORY as f64).contains(n);
    value.as_u64().or_else(|| value.as_f64().filter(plain).map(|n| n as u64))
}

fn non_null(value: &serde_json::Value) -> Option<&serde_json::Value> {
    (!value.is_null()).then_some(value)
}

/// Deletes a topic and its history; its subscribers are told.
#[utoipa::path(delete, path = "/topics/{name}", tag = "Topics", operation_id = "deleteTopic",
    params(("name" = String, Path, description = "The topic's name, percent-encoded; at most 255 bytes", min_length = 1, example = "lobby")), responses(
    (status = 204, description = "Gone"),
    (status = 404, description = "No such topic"),
    (status = 503, description = "The store cannot forget it")))]
pub(super) async fn delete(
    State(http): State<Http>,
    caller: Caller,
    TopicName(name): TopicName,
) -> Result<StatusCode, Problem> {
    http.node.access.manage(&caller)?;
    http.node.topics.delete(name.as_str(), None, crate::node::unix_ms())?;
    http.node.store.forget_topic(name.as_str()).await.map_err(unkept)?;
    forget_key(&http, name.as_str());
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
    (status = 404, description = "No such topic")))]
pub(super) async fn history(
    State(http): State<Http>,
    caller: Caller,
    TopicName(name): TopicName,
    Params(params): Params<HistoryParams>,
) -> Result<Json<HistoryPage>, Problem> {
    let query = HistoryQuery {
        topic: name.as_str(),
        limit: body::page_size(params.limit.as_deref())?,
        before: body::offset("before", params.before.as_deref())?,
        after: body::offset("after", params.after.as_deref())?,
        token: params.token.as_deref(),
    };
    let grant = match params.token.as_deref() {
        Some(token) => Some(http.node.identity.subscription(token).await),
        None => None,
    };
    let granted = grant.as_ref().map(|g| g.as_ref().map_err(Clone::clone));
    let found = read_history(&http.node, &caller, query, granted)?;
    let items = found.items.into_iter().map(kept).collect::<Result<_, _>>()?;
    Ok(Json(HistoryPage { items, next: found.next, epoch: found.epoch.to_string(), offset: found.offset }))
}

fn kept(event: HistoryEvent) -> Result<KeptEvent, Problem> {
    let HistoryEvent { meta, payload, client_id } = event;
    let payload = RawBuf::new(payload).map_err(|error| {
        tracing::error!(%error, "a kept payload is no JSON");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a kept event cannot be shown")
    })?;
    let (id, timestamp) = (meta.id.to_string(), rfc3339_ms(meta.at_ms));
    Ok(KeptEvent { id, offset: meta.offset, payload, client_id, timestamp })
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
    #[schema(value_type = String, required = false, min_length = 1)]
    client_id: Option<String>,
    /// The session whose connection does not hear it.
    #[schema(value_type = String, required = false)]
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
}

/// Publishes to a topic.
#[utoipa::path(post, path = "/publish", tag = "Topics", operation_id = "publish", request_body = PublishBody, params(
    ("Idempotency-Key" = Option<String>, Header, description = "Repeats within five minutes get the first answer", min_length = 1, max_length = 128)), responses(
    (status = 200, description = "Published", body = PublishAnswer),
    (status = 404, description = "No such topic"),
    (status = 429, description = "Too many messages")))]
pub(super) async fn publish(
    State(http): State<Http>,
    caller: Caller,
    request: Request,
) -> Result<Json<PublishAnswer>, Problem> {
    let node = &http.node;
    let address = super::client_address(node, &request);
    let (parts, content): (_, Body) = request.into_parts();
    node.take_message(address, &caller)?;
    let text =
        body::json_text(node, &parts.headers, content, node.config.limits.max_message_bytes.len()).await?;
    let typed::PublishBody { mut publish, exclude_session } = typed::decode_publish(&text)?;
    let grant = match publish.token.as_deref() {
        Some(token) => Some(node.identity.subscription(token).await),
        None => None,
    };
    let granted = grant.as_ref().map(|g| g.as_ref().map_err(Clone::clone));
    node.access.publish(publish.topic.as_str(), &caller, granted)?;
    if let Some(key) = repeat::key(&parts.headers)? {
        publish.idempotency_key = Some(key.into());
    }
    let client_id = publish.client_id.as_deref().unwrap_or(HTTP_CLIENT).to_owned();
    let published = match exclude_session.and_then(|code| excluded(&http, &code)) {
        Some(addr) => publish_beside(&http, &publish, client_id, (caller, address), addr).await?,
        None => node.publish(&publish, &client_id, caller.requester(address))?,
    };
    Ok(Json(PublishAnswer {
        topic: publish.topic.as_str().to_owned(),
        id: published.meta.id.to_string(),
        offset: published.meta.offset,
        delivered: published.delivered,
    }))
}

fn excluded(http: &Http, code: &str) -> Option<ConnAddr> {
    http.node.sessions.address(SessionCode::parse(code)?)
}

/// Publishes on the shard of a connection that is not to hear it: only there it is known whether it is subscribed.
async fn publish_beside(
    http: &Http,
    publish: &Publish<'_>,
    client_id: String,
    (by, address): (Caller, IpAddr),
    addr: ConnAddr,
) -> Result<Published, Refusal> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let (topic, payload) = (publish.topic.as_str().to_owned(), publish.payload.to_owned());
    let key = publish.idempotency_key.as_deref().map(str::to_owned);
    let task = move |driver: &mut crate::shard::Driver| {
        let result = TopicRef::parse(topic).and_then(|topic| {
            let idempotency_key = key.map(Into::into);
            let publish = Publish {
                topic,
                payload: &payload,
                client_id: None,
                idempotency_key,
                exclude_self: false,
                token: None,
            };
            driver.publish_beside(&publish, &client_id, by.requester(address), addr)
        });
        let _gone = tell.send(result);
    };
    http.node.post_for(addr, task);
    told.await.unwrap_or_else(|_| Err(Refusal::new(ErrorCode::ServerShutdown, "the server is shutting down")))
}
