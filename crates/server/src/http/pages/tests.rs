//! The pages and files with the headers that browsers rely on, without a socket.

use super::*;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use tower::ServiceExt;

async fn ask(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Bytes) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let response = routes::<()>().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn get_ok(path: &str) -> (HeaderMap, String) {
    let (status, headers, body) = ask(Method::GET, path, &[]).await;
    assert_eq!(status, StatusCode::OK, "{path}");
    (headers, String::from_utf8(body.to_vec()).unwrap())
}

/// The URLs in `src="…"` and `<link href="…">` of a page.
fn loaded(html: &str) -> Vec<String> {
    let tags =
        html.split('<').filter(|tag| ["script", "link", "img"].iter().any(|name| tag.starts_with(name)));
    tags.flat_map(|tag| tag.split(['"', ' ']).collect::<Vec<_>>())
        .filter(|word| word.starts_with("assets/") || word.starts_with("docs/"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn pages_are_html_under_a_strict_policy() {
    for (path, title) in [("/", "<title>Fanfare</title>"), ("/docs", "<title>Fanfare API</title>")] {
        let (headers, body) = get_ok(path).await;
        assert!(body.contains(title));
        assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[X_FRAME_OPTIONS], "DENY");
        assert_eq!(headers[REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[CACHE_CONTROL], "no-cache");
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    }
}

#[tokio::test]
async fn pages_hold_no_inline_code_and_only_relative_links() {
    for path in ["/", "/docs"] {
        let (_, html) = get_ok(path).await;
        let handler = html.split_whitespace().find(|word| word.starts_with("on") && word.contains("=\""));
        assert!(
            handler.is_none() && !html.contains("<style") && !html.contains(" style="),
            "{path}: inline code"
        );
        for script in html.split("<script").skip(1) {
            let (tag, rest) = script.split_once('>').unwrap();
            assert!(tag.contains(" src=\"") && rest.starts_with("</script>"), "{path}: {tag}");
        }
        for quoted in html.split("=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(!quoted.starts_with('/') && !quoted.contains("://"), "{path}: {quoted}");
        }
    }
}

#[tokio::test]
async fn everything_a_page_loads_is_served_with_its_type() {
    for page in ["/", "/docs"] {
        let (_, html) = get_ok(page).await;
        let urls = loaded(&html);
        assert!(urls.len() > 4, "{page} loads {urls:?}");
        for url in urls {
            let (headers, body) = get_ok(&format!("/{url}")).await;
            assert_ne!(headers[CONTENT_TYPE], "application/octet-stream", "{url}");
            assert!(!body.is_empty() && headers.contains_key(ETAG), "{url}");
        }
    }
}

#[tokio::test]
async fn modules_import_only_modules_that_exist() {
    for path in Own::iter().filter(|path| path.ends_with(".js")) {
        let (_, code) = get_ok(&format!("/assets/{path}")).await;
        for import in code.lines().filter_map(|line| line.strip_prefix("import ")?.split('"').nth(1)) {
            let file = import.strip_prefix("./").unwrap_or_else(|| panic!("{path} imports {import}"));
            assert!(Own::get(file).is_some(), "{path} imports {import}");
        }
    }
}

#[tokio::test]
async fn a_known_tag_gets_304() {
    for path in ["/", "/docs", "/assets/app.js", "/docs/ui/swagger-ui.css"] {
        let (headers, _) = get_ok(path).await;
        let tag = headers[ETAG].to_str().unwrap().to_owned();
        for sent in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
            let (status, headers, body) = ask(Method::GET, path, &[(IF_NONE_MATCH, &sent)]).await;
            assert_eq!(status, StatusCode::NOT_MODIFIED, "{path} {sent}");
            assert_eq!(headers[ETAG], tag.as_str());
            assert!(body.is_empty() && headers.contains_key(CONTENT_SECURITY_POLICY));
        }
        let (status, ..) = ask(Method::GET, path, &[(IF_NONE_MATCH, "\"other\"")]).await;
        assert_eq!(status, StatusCode::OK);
    }
}

#[tokio::test]
async fn head_returns_the_length_without_the_body() {
    for path in ["/", "/docs", "/assets/style.css"] {
        let (_, whole) = get_ok(path).await;
        let (status, headers, body) = ask(Method::HEAD, path, &[]).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-length"], whole.len().to_string().as_str());
        assert!(body.is_empty());
    }
}

#[tokio::test]
async fn swagger_ui_is_sent_packed_only_if_accepted() {
    let path = "/docs/ui/swagger-ui-bundle.js";
    let (headers, plain) = get_ok(path).await;
    assert!(plain.contains("SwaggerUIBundle") && !headers.contains_key(CONTENT_ENCODING));
    assert_eq!(headers[VARY], "accept-encoding");
    for refused in ["gzip;q=0", "br, gzip;q=0, *", "identity"] {
        let (_, headers, _) = ask(Method::GET, path, &[(ACCEPT_ENCODING, refused)]).await;
        assert!(!headers.contains_key(CONTENT_ENCODING), "{refused}");
    }
    for taken in ["gzip", "br;q=1.0, GZIP;q=0.5", "*"] {
        let (_, packed, body) = ask(Method::GET, path, &[(ACCEPT_ENCODING, taken)]).await;
        assert_eq!(packed[CONTENT_ENCODING], "gzip", "{taken}");
        assert_ne!(packed[ETAG], headers[ETAG]);
        assert_eq!(unpack(&body).unwrap(), plain.as_bytes());
    }
}

#[tokio::test]
async fn docs_disable_the_validator_badge_and_read_the_servers_document() {
    let (_, code) = get_ok("/assets/docs.js").await;
    assert!(code.contains("validatorUrl: null") && code.contains("\"openapi.json\""));
}

#[tokio::test]
async fn the_address_with_a_slash_leads_to_the_page() {
    let (status, headers, _) = ask(Method::GET, "/docs/", &[]).await;
    assert_eq!(
        (status, &headers[LOCATION]),
        (StatusCode::PERMANENT_REDIRECT, &HeaderValue::from_static("../docs"))
    );
}

#[tokio::test]
async fn other_paths_are_left_to_the_application() {
    let app = || routes::<()>().fallback(|| async { StatusCode::IM_A_TEAPOT });
    for path in ["/assets/none.js", "/assets/../Cargo.toml", "/docs/ui/swagger-initializer.js", "/index.html"]
    {
        let request = Request::get(path).body(Body::empty()).unwrap();
        assert_eq!(app().oneshot(request).await.unwrap().status(), StatusCode::IM_A_TEAPOT, "{path}");
    }
    let (status, ..) = ask(Method::POST, "/", &[]).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}
