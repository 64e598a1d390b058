//! Liveness and observability: `/health`, `/livez`, `/readyz`, `/metrics`, `/stats`.

use super::Http;
use super::problem::Problem;
use super::sender::Sender;
use crate::telemetry::exposition::{self, Format};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fanfare_core::topics::TopicInfo;
use fanfare_feeds::{FeedsStatus, Health};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Maximum number of topics in `/stats`.
const MAX_STATS_TOPICS: usize = 10_000;

/// The response of `/health`.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(super) struct HealthBody {
    /// `ok`, or `degraded` when a component has a problem.
    #[schema(example = "ok")]
    status: &'static str,
    /// The product's version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Seconds since the start.
    uptime_seconds: f64,
    /// Open connections.
    connections: u64,
    /// Each component's state.
    components: Components,
}

/// The components of a node.
#[derive(Serialize, ToSchema)]
pub(super) struct Components {
    broker: Component,
    store: Component,
    feeds: Component,
}

/// One component's state.
#[derive(Serialize, ToSchema)]
pub(super) struct Component {
    /// `ok`, `degraded`, or `off` for a component that this node does not run.
    #[schema(example = "ok")]
    status: &'static str,
    /// The implementation.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    /// Its problems, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
}

fn feeds_component(status: &FeedsStatus, problems: &[String]) -> Component {
    let kind = if status.demo { "demo" } else { "kafka" };
    let (status, kind) = match &status.health {
        Health::Off => ("off", None),
        Health::Ok => ("ok", Some(kind)),
        Health::Degraded(_) => ("degraded", Some(kind)),
    };
    Component { status, kind, problems: problems.to_vec() }
}

/// Status, version, uptime and each component's state.
#[utoipa::path(get, path = "/health", tag = "Liveness", operation_id = "health", responses((status = 200, description = "The node responds", body = HealthBody)))]
pub(super) async fn health(State(http): State<Http>) -> super::Json<HealthBody> {
    let store = http.node.services.store.status();
    let feeds = http.node.feeds.status();
    let problems = match &feeds.health {
        Health::Degraded(problems) => problems.clone(),
        Health::Off | Health::Ok => Vec::new(),
    };
    super::Json(HealthBody {
        status: if store.up && problems.is_empty() { "ok" } else { "degraded" },
        version: crate::VERSION,
        uptime_seconds: http.node.uptime().as_secs_f64(),
        connections: http.node.metrics.totals().connections,
        components: Components {
            broker: Component { status: "ok", kind: Some("memory"), problems: Vec::new() },
            store: Component {
                status: if store.up { "ok" } else { "degraded" },
                kind: Some(store.engine),
                problems: Vec::new(),
            },
            feeds: feeds_component(&feeds, &problems),
        },
    })
}

/// The process runs. Returns 200 as long as it does.
#[utoipa::path(get, path = "/livez", tag = "Liveness", operation_id = "livez", responses((status = 200, description = "Alive", body = String, content_type = "text/plain")))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// The node accepts connections: decided from local state only. 503 while it shuts down.
#[utoipa::path(get, path = "/readyz", tag = "Liveness", operation_id = "readyz", responses(
    (status = 200, description = "Ready", body = String, content_type = "text/plain"),
    (status = 503, description = "Shutting down")))]
pub(super) async fn readyz(State(http): State<Http>) -> Result<&'static str, Problem> {
    if http.node.is_draining() {
        let detail = "the server is shutting down";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "server_shutdown", detail));
    }
    Ok("ready\n")
}

/// The metrics in Prometheus' text format, or in OpenMetrics if `Accept` prefers it.
#[utoipa::path(get, path = "/metrics", tag = "Observability", operation_id = "metrics", responses(
    (status = 200, description = "The metrics", content((String = "text/plain"), (String = "application/openmetrics-text")))))]
pub(super) async fn metrics(State(http): State<Http>, headers: HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::preferred(accept);
    let kind = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
    match http.node.metrics.render() {
        Ok(text) if format == Format::Classic => (kind, exposition::classic(&text)).into_response(),
        Ok(text) => (kind, text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the metrics cannot be written")
                .into_response()
        }
    }
}

/// The response of `/stats`.
#[derive(Serialize, ToSchema)]
pub(super) struct Stats {
    /// Open connections.
    connections: u64,
    /// Sessions, attached or not.
    sessions: u64,
    /// Users with at least one connection.
    users_online: u64,
    /// Seconds since the start.
    uptime_seconds: f64,
    /// Totals since the start.
    messages: Messages,
    /// Live topics by name: at most 10 000. Left out if the caller may not list topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<BTreeMap<String, TopicStats>>,
    /// Live topics.
    topics_total: u64,
    /// The same sums over all nodes; of one node here.
    cluster: ClusterStats,
}

/// Totals of messages.
#[derive(Serialize, ToSchema)]
pub(super) struct Messages {
    /// Text messages that clients sent.
    received: u64,
    /// Events that entered a topic.
    published: u64,
    /// Events sent to connections.
    delivered: u64,
    /// Events dropped because a reader was too slow.
    dropped: u64,
}

/// A topic's counts.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicStats {
    /// Subscriptions.
    subscribers: u64,
    /// Events published since the topic was created.
    published: u64,
    /// The offset of its newest event.
    offset: u64,
}

/// Sums over all nodes.
#[derive(Serialize, ToSchema)]
pub(super) struct ClusterStats {
    /// Nodes that are alive.
    nodes: u64,
    /// Open connections.
    connections: u64,
    /// Sessions.
    sessions: u64,
    /// Events published.
    published: u64,
    /// Events sent to connections.
    delivered: u64,
}

/// Connections, topics with their subscribers, message totals and uptime.
#[utoipa::path(get, path = "/stats", tag = "Observability", operation_id = "stats", responses((status = 200, description = "Counts of this node", body = Stats)))]
pub(super) async fn stats(State(http): State<Http>, sender: Sender) -> super::Json<Stats> {
    let node = &http.node;
    let totals = node.metrics.totals();
    let shown = node.services.topics.access().shows_topics(&sender.caller);
    let topics = shown.then(|| {
        let counts = |t: TopicInfo| {
            let TopicInfo { name, subscribers, published, offset, .. } = t;
            (name.to_string(), TopicStats { subscribers, published, offset })
        };
        node.topics.list(None, MAX_STATS_TOPICS).0.into_iter().map(counts).collect()
    });
    let (sessions, published) = (node.services.sessions.table().count() as u64, node.topics.published());
    super::Json(Stats {
        connections: totals.connections,
        sessions,
        users_online: node.services.users.online(),
        uptime_seconds: node.uptime().as_secs_f64(),
        messages: Messages {
            received: totals.received,
            published,
            delivered: totals.delivered,
            dropped: totals.dropped,
        },
        topics,
        topics_total: node.topics.count() as u64,
        cluster: ClusterStats {
            nodes: 1,
            connections: totals.connections,
            sessions,
            published,
            delivered: totals.delivered,
        },
    })
}
