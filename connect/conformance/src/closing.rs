//! Tells clients of HTTP/1.1 that the connection closes, when a response comes before the request has ended.
//!
//! hyper closes the connection after such a response, but does not announce it: a client that uses the connection
//! again loses its next call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::TryFutureExt as _;
use futures_util::future::MapOk;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tower::{Layer, Service};

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
        let request = request.map(|inner| Body::new(Watched { inner, has_ended: watched }));
        let announce: Announce<B> = Box::new(move |mut response| {
            if is_http1 && !has_ended.load(Ordering::Relaxed) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response
        });
        self.inner.call(request).map_ok(announce)
    }
}

/// A request body that remembers whether it was read to its end.
struct Watched {
    inner: Body,
    has_ended: Arc<AtomicBool>,
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
