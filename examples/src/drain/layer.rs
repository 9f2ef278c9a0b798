//! A layer that ends calls when the server shuts down.
//!
//! A stream that waits for events (a watch, health, reflection) would keep the server running for as long as its
//! caller stays. So each call is wrapped in a [`Cut`], and the drain first ends the calls with a response stream:
//! their handlers and all that these hold are dropped at once, and the callers get `UNAVAILABLE`. A task that
//! still reads requests, as reflection has one, reads an error. Calls with one response may finish, and so may
//! streams marked [`EndsSoon`]; at the drain limit, they are ended as well.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Bytes, Service};
use tonic_call::{Cut, Methods, Rpc};
use tower::Layer;

use super::open_calls::{CallGuard, OpenCalls};

/// In the extensions of a response: its stream ends by itself, soon, and may finish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndsSoon;

/// The layer, and the handle that ends its calls. A clone shares them.
#[derive(Clone)]
pub(crate) struct DrainLayer {
    methods: Methods,
    calls: OpenCalls,
}

impl DrainLayer {
    /// `methods` are the methods of every service inside the layer.
    pub(crate) fn new(methods: &Methods) -> Self {
        Self { methods: methods.clone(), calls: OpenCalls::default() }
    }

    /// Ends open streams, and those that begin from now on.
    pub(crate) fn end_streams(&self) {
        self.calls.end_streams();
    }

    /// Ends every call.
    pub(crate) fn end_all(&self, reason: &'static str) {
        self.calls.end_all(reason);
    }

    /// Whether the method that is called responds with a stream.
    fn is_stream(&self, request: &Request<Body>) -> bool {
        let method = self.methods.find(&Rpc::from_uri(request.uri()));
        method.is_some_and(|method| !method.kind().has_one_response())
    }
}

impl<S> Layer<S> for DrainLayer {
    type Service = DrainService<S>;

    fn layer(&self, inner: S) -> DrainService<S> {
        DrainService { inner, drain: self.clone() }
    }
}

impl fmt::Debug for DrainLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DrainLayer").field("open", &self.calls.len()).finish_non_exhaustive()
    }
}

/// The service of [`DrainLayer`].
#[derive(Clone)]
pub(crate) struct DrainService<S> {
    inner: S,
    drain: DrainLayer,
}

impl<S> Service<Request<Body>> for DrainService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<Response<Body>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let ends_soon = !self.drain.is_stream(&request);
        let (cut, response) = Cut::call(&mut self.inner, request);
        let guard = self.drain.calls.add(cut, ends_soon);
        Box::pin(async move {
            let response = response.await?;
            if response.extensions().get::<EndsSoon>().is_some() {
                guard.set_ends_soon();
            }
            Ok(response.map(|inner| Body::new(GuardedBody { inner, _guard: guard })))
        })
    }
}

/// A response body that keeps its call open until it is dropped.
struct GuardedBody<B> {
    inner: B,
    _guard: CallGuard,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for GuardedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures_util::StreamExt;
    use http_body_util::StreamBody;
    use tonic::Status;
    use tonic::codegen::tokio_stream;
    use tower::service_fn;

    use super::*;

    const PATH: &str = "/grpc.health.v1.Health/Watch";

    fn layer() -> DrainLayer {
        let methods = Methods::from_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        DrainLayer::new(&methods.expect("good"))
    }

    /// What a service that never ends answers with, and who knows whether that is still there.
    async fn call(drain: &DrainLayer, path: &'static str, ends: bool) -> (Response<Body>, Arc<()>) {
        let held = Arc::new(());
        let holder = Arc::clone(&held);
        let service = service_fn(move |_: Request<Body>| {
            let holder = Arc::clone(&holder);
            let never = tokio_stream::pending::<Result<Frame<Bytes>, Status>>();
            let body = StreamBody::new(never.map(move |frame| {
                _ = &holder;
                frame
            }));
            let mut response = Response::new(Body::new(body));
            if ends {
                response.extensions_mut().insert(EndsSoon);
            }
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let mut service = drain.layer(service);
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().expect("good");
        let response = service.call(request).await.expect("infallible");
        drop(service);
        (response, held)
    }

    /// Guards against: a caller who reads nothing, so that nobody polls its stream.
    #[tokio::test]
    async fn what_a_stream_holds_is_gone_at_once_even_if_nobody_polls_it() {
        let drain = layer();
        let (response, held) = call(&drain, PATH, false).await;
        assert_eq!(Arc::strong_count(&held), 2);
        drain.end_streams();
        assert_eq!(Arc::strong_count(&held), 1);
        drop(response);
        assert_eq!(drain.calls.len(), 0);
    }

    #[tokio::test]
    async fn one_that_comes_later_is_ended_as_well() {
        let drain = layer();
        drain.end_streams();
        let (response, held) = call(&drain, PATH, false).await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(response.headers()["grpc-status"], "14");
    }

    #[tokio::test]
    async fn what_ends_by_itself_is_left_alone() {
        let drain = layer();
        let check = call(&drain, "/grpc.health.v1.Health/Check", false).await;
        let page = call(&drain, PATH, true).await;
        drain.end_streams();
        for (response, held) in [check, page] {
            assert_eq!(Arc::strong_count(&held), 2);
            drop(response);
        }
    }

    #[tokio::test]
    async fn one_that_is_over_is_forgotten() {
        let drain = layer();
        let (response, _) = call(&drain, PATH, false).await;
        assert_eq!(drain.calls.len(), 1);
        drop(response);
        assert_eq!(drain.calls.len(), 0);
    }
}
