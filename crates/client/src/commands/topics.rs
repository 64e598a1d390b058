//! Creating a topic over REST (`POST /topics`, http-api.md), so that publishing needs no subscriber first.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::time::timeout;

use super::ServerArgs;
use crate::transport;

/// From the connect to the complete response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum response size; a topic or a problem document is never larger.
const MAX_ANSWER: usize = 64 << 10;

/// The fields used of a problem document (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    code: String,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    title: Option<String>,
}

/// Creates `topic` on the server that `server.url` names; an existing topic stays and becomes a kept one.
///
/// # Errors
/// A sentence: the server's code and message, or the failure of the request.
pub(super) async fn create(server: &ServerArgs, topic: &str, durable: bool) -> Result<(), String> {
    match timeout(TIMEOUT, post(server, topic, durable)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => Err("POST /topics: no response in time".into()),
    }
}

async fn post(server: &ServerArgs, topic: &str, durable: bool) -> Result<(), String> {
    let uri: hyper::Uri = server.url.parse().map_err(|e| format!("invalid url: {e}"))?;
    let authority = uri.authority().ok_or("invalid url: no host")?;
    let (tls, port) = match uri.scheme_str() {
        Some("wss") => (Some(server.trust.trust().config().map_err(|e| e.to_string())?), 443),
        _ => (None, 80),
    };
    let stream = transport::connect(authority.host(), authority.port_u16().unwrap_or(port), tls)
        .await
        .map_err(|e| format!("cannot connect to {authority}: {e}"))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|e| format!("POST /topics: {e}"))?;
    // Left out, it is as the server's rule for the topic says.
    let mut body = serde_json::json!({ "name": topic });
    if durable {
        body["durable"] = true.into();
    }
    let body = body.to_string();
    let mut request =
        Request::post("/topics").header(HOST, authority.as_str()).header(CONTENT_TYPE, "application/json");
    if let Some(token) = &server.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(|e| format!("POST /topics: {e}"))?;
    let exchange = async move {
        let answer = sender.send_request(request).await.map_err(|e| format!("POST /topics: {e}"))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
        let body = body.map_err(|e| format!("POST /topics: {e}"))?.to_bytes();
        if status.is_success() {
            return Ok(());
        }
        Err(match serde_json::from_slice::<Problem>(&body) {
            Ok(p) => format!("{}: {}", p.code, p.detail.or(p.title).unwrap_or_default()),
            Err(_) => format!("POST /topics: http status {status}"),
        })
    };
    // The connection ends once the exchange has dropped its sender; an error of it fails the exchange, too.
    let (outcome, _) = tokio::join!(exchange, connection);
    outcome
}
