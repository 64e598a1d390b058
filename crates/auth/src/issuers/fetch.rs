//! Fetching a JWK set: one GET, no redirects, bounded in size and time.
//!
//! TLS is rustls with aws-lc-rs, as in the whole product, and uses the machine's trusted certificates (`SSL_CERT_FILE`
//! names another bundle): an issuer behind a company's own authority works without a setting here.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, Uri, header};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Maximum bytes of a key set.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// Time limit from the name's resolution to the last byte.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(3);

/// The bytes of a key set, or one line for the log with the reason of the failure.
pub(super) type Fetched = Result<Bytes, String>;
/// Fetches once. A closure, so that tests need no network and may stop the clock.
pub(super) type Fetcher = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Fetched> + Send>> + Send + Sync>;

/// Creates the fetcher for a URL.
pub(super) fn fetcher(url: &str) -> Result<Fetcher, String> {
    let uri: Uri = url.parse().map_err(|_| format!("`jwks_url` {url:?} is no URL"))?;
    if uri.authority().is_none_or(|authority| authority.host().is_empty() || authority.as_str().contains('@'))
    {
        return Err(format!("`jwks_url` {url:?} must name a host, without a user"));
    }
    match uri.scheme_str() {
        Some("http") => Ok(through(HttpConnector::new(), uri)),
        Some("https") => {
            let provider = rustls::crypto::aws_lc_rs::default_provider();
            let connector = HttpsConnectorBuilder::new()
                .with_provider_and_native_roots(provider)
                .map_err(|e| format!("no certificates to trust for `jwks_url`: {e}"))?;
            Ok(through(connector.https_only().enable_http1().build(), uri))
        }
        _ => Err(format!("`jwks_url` {url:?} must be https:")),
    }
}

fn through<C: Connect + Clone + Send + Sync + 'static>(connector: C, uri: Uri) -> Fetcher {
    // Fetches are far apart: no connection is kept between them.
    let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    Arc::new(move || {
        let (client, uri) = (client.clone(), uri.clone());
        Box::pin(async move {
            let fetched = tokio::time::timeout(TIME_LIMIT, get(&client, uri)).await;
            fetched.unwrap_or_else(|_| Err(format!("no complete response within {} s", TIME_LIMIT.as_secs())))
        })
    })
}

async fn get<C>(client: &Client<C, Empty<Bytes>>, uri: Uri) -> Fetched
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let request = Request::get(uri)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::USER_AGENT, "fanfare")
        .body(Empty::new())
        .map_err(|e| e.to_string())?;
    let answer = client.request(request).await.map_err(|e| chain(&e))?;
    if answer.status() != hyper::StatusCode::OK {
        return Err(format!("status {}", answer.status().as_u16()));
    }
    let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|e| e.to_string())
}

/// An error with its causes: the outermost message alone is only "client error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
