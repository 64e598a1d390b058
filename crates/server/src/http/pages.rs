//! The pages of the server: the start page at `/`, the documentation at `/docs`, and the files they load.
//!
//! Everything is embedded in the binary: the project's own files under `web/`, and of the vendored Swagger UI only the
//! two files the page uses. Each embedded file is its own route, so unknown paths and methods fall through to the
//! application's fallbacks and get the same problem responses as everywhere else.
//!
//! Invariants: the pages load nothing from outside and run no inline code (`Content-Security-Policy` without exceptions
//! on `/`; on `/docs` Swagger UI's inline SVG images, `data:` URLs, are allowed), every link in them is relative so
//! that they work behind a path prefix, and every response has an `ETag` and is revalidated before it is used again, so
//! that an upgraded server's pages never run older scripts.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, IF_NONE_MATCH, LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::get;

/// The start page, served at `/`.
const START: &[u8] = include_bytes!("../../../../web/index.html");
/// The documentation page, served at `/docs`.
const DOCS: &[u8] = include_bytes!("../../../../web/docs.html");

/// Policy of every response except the documentation page. `'self'` of `connect-src` covers the server's own
/// WebSockets.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'";
/// Policy of the documentation page: Swagger UI's stylesheet draws its icons from `data:` URLs.
const DOCS_POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; object-src 'none'; \
     form-action 'self'; frame-ancestors 'none'";

/// The files of Swagger UI that the documentation page loads; the rest of its distribution is not served.
const SWAGGER_FILES: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];

/// The project's own scripts, styles and images, served under `/assets/`.
#[derive(rust_embed::RustEmbed)]
#[folder = "../../web/assets"]
struct Own;

/// One embedded file with its headers.
struct Asset {
    /// The embedded bytes.
    embedded: Bytes,
    /// Whether `embedded` is gzipped.
    packed: bool,
    /// The unpacked file, created at the first request without gzip; `None` inside when it cannot be unpacked.
    unpacked: OnceLock<Option<Bytes>>,
    content_type: &'static str,
    policy: &'static str,
    /// Hash of the content, without quotes.
    tag: String,
}

impl Asset {
    fn new(path: &str, content: Cow<'static, [u8]>, packed: bool) -> Self {
        let embedded = match content {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        let mut hasher = DefaultHasher::new();
        embedded.hash(&mut hasher);
        let tag = format!("{:016x}", hasher.finish());
        let unpacked = OnceLock::new();
        Self { embedded, packed, unpacked, content_type: content_type(path), policy: POLICY, tag }
    }

    fn page(content: &'static [u8], policy: &'static str) -> Self {
        Self { policy, ..Self::new("page.html", Cow::Borrowed(content), false) }
    }

    /// The bytes to send and whether they are gzipped.
    fn representation(&self, request: &HeaderMap) -> (Bytes, bool) {
        if self.packed
            && !accepts_gzip(request)
            && let Some(plain) = self.unpacked.get_or_init(|| unpack(&self.embedded))
        {
            return (plain.clone(), false);
        }
        (self.embedded.clone(), self.packed)
    }

    /// The response to a `GET`; axum drops the body for a `HEAD`.
    fn answer(&self, request: &HeaderMap) -> Response<Body> {
        let (bytes, gzipped) = self.representation(request);
        // The two encodings are two representations, so a strong tag must distinguish them (RFC 9110 8.8.3).
        let tag = format!("\"{}{}\"", self.tag, if gzipped { "-gz" } else { "" });
        let unchanged = knows(request, &tag);
        let mut response = Response::new(if unchanged { Body::empty() } else { Body::from(bytes) });
        let headers = response.headers_mut();
        self.common_headers(headers, &tag);
        if unchanged {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if gzipped {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn common_headers(&self, headers: &mut HeaderMap, tag: &str) {
        if let Ok(tag) = HeaderValue::from_str(tag) {
            headers.insert(ETAG, tag);
        }
        if self.packed {
            headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        }
        let fixed: [(HeaderName, &'static str); 7] = [
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, self.policy),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (REFERRER_POLICY, "no-referrer"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// Routes of the pages: `GET`/`HEAD` of `/`, `/docs`, `/docs/ui/{file}` and `/assets/{file}`; `/docs/` redirects
/// to `/docs`. They need no state and may be merged into any router.
pub fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut router = serve(Router::new(), "/", Asset::page(START, POLICY));
    router = serve(router, "/docs", Asset::page(DOCS, DOCS_POLICY));
    router = router.route("/docs/", get(without_slash));
    for path in Own::iter() {
        if let Some(file) = Own::get(&path) {
            router = serve(router, &format!("/assets/{path}"), Asset::new(&path, file.data, false));
        }
    }
    for name in SWAGGER_FILES {
        if let Some(asset) = swagger(name) {
            router = serve(router, &format!("/docs/ui/{name}"), asset);
        }
    }
    router
}

fn serve<S>(router: Router<S>, path: &str, asset: Asset) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let asset = Arc::new(asset);
    router.route(path, get(move |headers: HeaderMap| std::future::ready(asset.answer(&headers))))
}

/// The page's links are relative to `/`, so the address with a slash must redirect. The target is relative too: behind
/// a path prefix an absolute one would leave it.
async fn without_slash() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("../docs"));
    response
}

/// A file of the vendored Swagger UI, which the build embeds gzipped.
fn swagger(name: &str) -> Option<Asset> {
    let config = Arc::new(utoipa_swagger_ui::Config::from("openapi.json"));
    let file = utoipa_swagger_ui::serve(name, config).ok().flatten()?;
    // The embedded files live as long as the process, but the crate's type does not say so.
    Some(Asset::new(name, Cow::Owned(file.bytes.into_owned()), file.gzpipped))
}

fn unpack(gzipped: &[u8]) -> Option<Bytes> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(gzipped).read_to_end(&mut plain).ok()?;
    Some(Bytes::from(plain))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

/// Whether `Accept-Encoding` names gzip (or anything) without giving it a weight of zero (RFC 9110 12.5.3).
fn accepts_gzip(request: &HeaderMap) -> bool {
    let weight = |wanted: &str| {
        listed(request, &ACCEPT_ENCODING).find_map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(1.0, |q| q.parse().unwrap_or(0.0));
            coding.trim().eq_ignore_ascii_case(wanted).then_some(weight)
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight: f32| weight > 0.0)
}

/// Whether `If-None-Match` names this representation, compared weakly (RFC 9110 13.1.2).
fn knows(request: &HeaderMap, tag: &str) -> bool {
    listed(request, &IF_NONE_MATCH).any(|item| item == "*" || item.trim_start_matches("W/") == tag)
}

fn listed<'a>(request: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    request
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|v| v.split(','))
        .map(str::trim)
}

#[cfg(test)]
mod tests;
