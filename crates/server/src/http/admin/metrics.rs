//! `GET /admin/metrics`.

use super::{Admin, Client, Http, Params, Problem, moment, unavailable};
use crate::access::Caller;
use crate::http::Json;
use axum::extract::State;
use fanfare_dialects::time::rfc3339_ms;
use fanfare_store::MetricRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Rows of an answer unless asked otherwise, and at most: a day of one metric is 1440.
const ROWS: (u32, u32) = (1000, 10_000);

/// A metric at a time.
#[derive(Serialize, ToSchema)]
pub(super) struct Sample {
    /// When the snapshot was taken.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    at: String,
    /// Of which node.
    node: String,
    /// Name with labels, as `/metrics` has it.
    #[schema(example = "fanfare_connections")]
    name: String,
    /// The value; of a histogram, `_sum` and `_count` are rows of their own.
    value: f64,
}

impl From<MetricRow> for Sample {
    fn from(row: MetricRow) -> Self {
        Self { at: rfc3339_ms(row.at.max(0) as u64), node: row.node, name: row.name, value: row.value }
    }
}

/// Kept metrics.
#[derive(Serialize, ToSchema)]
pub(super) struct SamplePage {
    /// Newest first.
    items: Vec<Sample>,
    /// Always null: what is older than the last item is asked for by name and with a larger limit.
    next: Option<String>,
}

/// Which of them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SampleQuery {
    /// A metric's name, with labels for one series or without for all of them.
    name: Option<String>,
    /// Only from this time on: RFC 3339 in UTC, or milliseconds since 1970.
    since: Option<String>,
    /// Rows of the answer: 1 to 10000, 1000 unless given; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
}

/// Shows the metrics of the last week as they were kept, a row per metric and minute.
#[utoipa::path(get, path = "/admin/metrics", tag = "Admin", operation_id = "listMetrics", params(SampleQuery),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "Kept metrics", body = SamplePage)))]
pub(super) async fn list(
    State(http): State<Http>,
    caller: Caller,
    client: Client,
    Params(query): Params<SampleQuery>,
) -> Result<Json<SamplePage>, Problem> {
    let admin = Admin::enter(&http, &caller, &client)?;
    let since = moment("since", query.since.as_deref())?.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let limit = match query.limit.as_deref() {
        None => ROWS.0,
        Some(text) => match text.parse::<u32>() {
            Ok(n) if n > 0 => n.min(ROWS.1),
            _ => return Err(Problem::invalid("limit", "limit is a number from 1 to 10000")),
        },
    };
    let rows = http.node.store.metrics(query.name.as_deref(), since, limit).await.map_err(unavailable)?;
    admin.did("list_metrics", |event| event);
    Ok(Json(SamplePage { items: rows.into_iter().map(Sample::from).collect(), next: None }))
}
