//! Tells clients of HTTP/1.1 that the connection closes, when a response comes before the request has ended.
//!
//! hyper closes the connection after such a response, but does not announce it: a client that uses the connection
//! again loses its next call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tower::{Layer, Service};

/// How long, and how much, a connection reads on after a response: as long as Go's servers do.
const LINGER_TIME: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 256 * 1_024;

/// The layer. It is the outermost one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosingLayer;

impl<S> Layer<S> for ClosingLayer {
    type Service = Closing<S>;

    fn layer(&self, inner: S) -> Closing<S> {
        Closing { inner }
    }
}

/// A service that announces the end of connections.
#[derive(Clone, Debug)]
pub(crate) struct Closing<S> {
    inner: S,
}

type Announce<B> = Box<dyn FnOnce(Response<B>) -> Response<B> + Send>;

impl<S, B> Service<Request<Body>> for Closing<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = MapOk<S::Future, Announce<B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let is_http1 = request.version() < Version::HTTP_2;
        let has_ended = Arc::new(AtomicBool::new(request.body().is_end_stream()));
        let watched = Arc::clone(&has_ended);
        let request =
            request.map(|inner| Body::new(Watched { inner, has_ended: watched, is_http1 }));
        let announce: Announce<B> = Box::new(move |mut response| {
            if is_http1 && !has_ended.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        self.inner.call(request).map_ok(announce)
    }
}

/// A request body that remembers whether it was read to its end. When it is dropped before, a task reads on for a
/// moment: a client that still writes would otherwise find the connection closed, and lose the response.
struct Watched {
    inner: Body,
    has_ended: Arc<AtomicBool>,
    is_http1: bool,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.is_http1 && !self.has_ended.load(Ordering::Relaxed) {
            let rest = std::mem::take(&mut self.inner);
            tokio::spawn(tokio::time::timeout(LINGER_TIME, read_on(rest)));
        }
    }
}

/// Reads the rest of a request, up to its end or a limit.
async fn read_on(mut rest: Body) {
    let mut received = 0;
    while let Some(Ok(frame)) = rest.frame().await {
        received += frame.data_ref().map_or(0, Bytes::len);
        if received > LINGER_BYTES {
            return;
        }
    }
}

impl HttpBody for Watched {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.inner.is_end_stream() {
            self.has_ended.store(true, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
