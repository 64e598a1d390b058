//! `GET /admin/metrics`.

use super::{Http, Params, Problem, Sender, body, moment, unavailable};
use crate::http::Json;
use axum::extract::State;
use fanfare_core::time::rfc3339_ms;
use fanfare_e2ee::b64;
use fanfare_store::{MetricPlace, MetricQuery, MetricRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A metric at one time.
#[derive(Serialize, ToSchema)]
pub(super) struct Sample {
    /// When the snapshot was taken.
    #[schema(example = "2026-11-21T11:21:00.000Z")]
    at: String,
    /// The node's id.
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

/// A page of stored metrics.
#[derive(Serialize, ToSchema)]
pub(super) struct SamplePage {
    /// Newest first.
    items: Vec<Sample>,
    /// Pass it as `before` for the next page; null at the end.
    next: Option<String>,
}

/// The requested metrics.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SampleQuery {
    /// A metric's name, with labels for one series or without for all of them.
    name: Option<String>,
    /// Only from this time on: RFC 3339 in UTC, or milliseconds since 1970.
    #[param(value_type = Option<super::Moment>, inline)]
    since: Option<String>,
    /// Items of the page: 1 to 100, 50 by default; more is clamped.
    #[param(value_type = Option<u64>, minimum = 1)]
    limit: Option<String>,
    /// Only rows after this cursor: the `next` of the previous page.
    #[param(pattern = "^[A-Za-z0-9_-]+$")]
    before: Option<String>,
}

/// Lists the stored metrics of the last week, a row per metric and minute.
#[utoipa::path(get, path = "/admin/metrics", tag = "Admin", operation_id = "listMetrics", params(SampleQuery),
    security(("bearer" = []), ("apiKey" = [])), responses(
    (status = 200, description = "Kept metrics", body = SamplePage)))]
pub(super) async fn list(
    State(http): State<Http>,
    sender: Sender,
    Params(query): Params<SampleQuery>,
) -> Result<Json<SamplePage>, Problem> {
    let admin = http.node.services.admin.enter(sender.actor())?;
    let since = moment("since", query.since.as_deref())?.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
    let limit = body::page_size(query.limit.as_deref())?;
    let before = query.before.as_deref().map(place).transpose()?;
    // One more than a page, to detect whether there is a next one.
    let asked = MetricQuery { name: query.name, since, before, limit: limit as u32 + 1 };
    let mut rows = http.node.services.store.metrics(asked).await.map_err(unavailable)?;
    let next = body::cut(&mut rows, limit, cursor);
    admin.did("list_metrics", |event| event);
    Ok(Json(SamplePage { items: rows.into_iter().map(Sample::from).collect(), next }))
}

/// A row's position in the list.
fn cursor(row: &MetricRow) -> String {
    b64::encode(format!("{}\n{}\n{}", row.at, row.node, row.name).as_bytes())
}

fn place(cursor: &str) -> Result<MetricPlace, Problem> {
    let wrong = || Problem::invalid("before", "before is the next of a page");
    let text = String::from_utf8(b64::decode(cursor).map_err(|_| wrong())?).map_err(|_| wrong())?;
    let mut parts = text.splitn(3, '\n');
    let mut part = || parts.next().map(str::to_owned).ok_or_else(wrong);
    Ok(MetricPlace { at: part()?.parse().map_err(|_| wrong())?, node: part()?, name: part()? })
}
