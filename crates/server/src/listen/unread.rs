//! Bodies of requests that were answered before they were read (`http-api.md` "Exact answers").
//!
//! The next request of a connection starts where the body ends. So a small body is read and dropped while its response
//! is already being sent; otherwise the response has `Connection: close`, and the socket lingers ([`super::socket`]).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// The largest rest of a body that is read and dropped.
const DISCARD_BYTES: u64 = 64 * 1024;

/// The body of a request, recovered after its response.
#[derive(Debug, Default)]
pub(super) struct Unread {
    rest: Arc<Mutex<Option<Rest>>>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    expects: bool,
}

/// A body that was not read to its end.
#[derive(Debug)]
struct Rest {
    body: Incoming,
    touched: bool,
}

/// A request's body, lent to a handler.
#[derive(Debug)]
pub(super) struct Lent {
    body: Option<Rest>,
    back: Arc<Mutex<Option<Rest>>>,
}

impl Unread {
    /// Lends a body to a handler.
    pub(super) fn lend(headers: &HeaderMap, body: Incoming) -> (Self, Lent) {
        let unread = Self { rest: Arc::default(), expects: headers.contains_key(header::EXPECT) };
        let lent = Lent { body: Some(Rest { body, touched: false }), back: unread.rest.clone() };
        (unread, lent)
    }

    /// Handles the part of the body that the handler left unread. `within`: the time limit for a body.
    pub(super) fn settle<B>(self, response: &mut Response<B>, within: Duration) {
        let Some(Rest { body, touched }) = self.rest.lock().take() else { return };
        if body.is_end_stream() {
            return;
        }
        let is_small = body.size_hint().exact().is_some_and(|left| left <= DISCARD_BYTES);
        // A client that was late with its body, or that may not send it at all, is not waited for.
        let comes = response.status() != StatusCode::REQUEST_TIMEOUT && (touched || !self.expects);
        if is_small && comes {
            // Ends with its connection at the latest.
            tokio::spawn(tokio::time::timeout(within, discard(body)));
        } else {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

async fn discard(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(rest) = &mut self.body else { return Poll::Ready(None) };
        rest.touched = true;
        let frame = ready!(Pin::new(&mut rest.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), |rest| rest.body.size_hint())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.back.lock() = self.body.take();
    }
}
