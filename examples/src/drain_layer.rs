//! Ends calls when the server goes down: a layer around all services, ours and others'.
//!
//! A stream that waits for news (a watch, health, reflection) would hold the drain for as long as its
//! caller likes. So each call is wrapped in a [`Cut`], and the drain first cuts those that answer with a
//! stream: their handlers and all that they hold are gone at once, and the callers get `UNAVAILABLE`. A
//! task that still reads requests (reflection has one) reads an error. Calls with one answer may finish,
//! and so may a stream that [`Ends`] by itself; what has not at the drain's limit is cut then.
//!
//! A caller that leaves no window cannot be told, as HTTP has no way to: its connection stays until it
//! reads, or until the drain limit.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Bytes, Service};
use tonic_call::{Cut, Methods, Refusal};
use tower::Layer;

use crate::refusal;

/// Put into a response's extensions, it says that the stream ends by itself, and soon: it may finish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends;

/// The calls that are open now. A clone is the same; as a layer, it learns of them.
#[derive(Clone)]
pub(crate) struct Calls {
    /// The paths of the methods that answer with a stream.
    streams: Arc<HashSet<String>>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// No stream may begin any more.
    stopped: bool,
    /// How many there have been.
    count: u64,
    calls: HashMap<u64, Call>,
}

struct Call {
    cut: Cut,
    /// Whether it ends by itself.
    ends: bool,
}

impl Calls {
    /// `methods` are those of every service that the layer is put around.
    pub(crate) fn of(methods: &Methods) -> Self {
        let streams = methods.iter().filter(|method| !method.kind().has_one_response());
        let streams = streams.map(|method| format!("/{}", method.full())).collect();
        Self { streams: Arc::new(streams), open: Arc::default() }
    }

    /// Ends the streams that are open, and those that still come.
    pub(crate) fn stop_streams(&self) {
        let mut open = self.open();
        open.stopped = true;
        let streams: Vec<_> = open.calls.extract_if(|_, call| !call.ends).collect();
        drop(open);
        streams.iter().for_each(|(_, stream)| refuse(&stream.cut, "SERVER_STOPPING"));
    }

    /// Ends whatever is open.
    pub(crate) fn cut_off(&self, reason: &'static str) {
        let open: Vec<_> = self.open().calls.drain().collect();
        open.iter().for_each(|(_, call)| refuse(&call.cut, reason));
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, cut: Cut, ends: bool) -> OpenCall {
        let mut open = self.open();
        open.count += 1;
        let number = open.count;
        if open.stopped && !ends {
            drop(open);
            refuse(&cut, "SERVER_STOPPING");
        } else {
            open.calls.insert(number, Call { cut, ends });
        }
        OpenCall { calls: self.clone(), number }
    }
}

fn refuse(cut: &Cut, reason: &'static str) {
    cut.refuse(&Refusal::new("drain", reason), refusal::stopping());
}

/// One of them, until it is dropped.
struct OpenCall {
    calls: Calls,
    number: u64,
}

impl OpenCall {
    fn ends(&self) {
        if let Some(call) = self.calls.open().calls.get_mut(&self.number) {
            call.ends = true;
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let removed = self.calls.open().calls.remove(&self.number);
        // After the lock is released.
        drop(removed);
    }
}

impl<S> Layer<S> for Calls {
    type Service = Stoppable<S>;

    fn layer(&self, inner: S) -> Stoppable<S> {
        Stoppable { inner, calls: self.clone() }
    }
}

/// A service whose calls end when the server stops.
#[derive(Clone)]
pub(crate) struct Stoppable<S> {
    inner: S,
    calls: Calls,
}

impl<S> Service<Request<Body>> for Stoppable<S>
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
        let ends = !self.calls.streams.contains(request.uri().path());
        let (cut, response) = Cut::call(&mut self.inner, request);
        let open = self.calls.add(cut, ends);
        Box::pin(async move {
            let response = response.await?;
            if response.extensions().get::<Ends>().is_some() {
                open.ends();
            }
            Ok(response.map(|body| Body::new(OpenBody { body, _open: open })))
        })
    }
}

/// Knows when the call is over: it is dropped then.
struct OpenBody<B> {
    body: B,
    _open: OpenCall,
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for OpenBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("open", &self.open().calls.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::StreamExt;
    use http_body_util::StreamBody;
    use tonic::Status;
    use tonic::codegen::tokio_stream;
    use tower::service_fn;

    use super::*;

    const PATH: &str = "/grpc.health.v1.Health/Watch";

    fn calls() -> Calls {
        let methods = Methods::from_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        Calls::of(&methods.expect("good"))
    }

    /// What a service that never ends answers with, and who knows whether that is still there.
    async fn call(calls: &Calls, path: &'static str, ends: bool) -> (Response<Body>, Arc<()>) {
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
                response.extensions_mut().insert(Ends);
            }
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let mut service = calls.layer(service);
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().expect("good");
        let response = service.call(request).await.expect("infallible");
        drop(service);
        (response, held)
    }

    /// Guards against: a caller who reads nothing, so that nobody polls its stream.
    #[tokio::test]
    async fn what_a_stream_holds_is_gone_at_once_even_if_nobody_polls_it() {
        let calls = calls();
        let (response, held) = call(&calls, PATH, false).await;
        assert_eq!(Arc::strong_count(&held), 2);
        calls.stop_streams();
        assert_eq!(Arc::strong_count(&held), 1);
        drop(response);
        assert!(calls.open().calls.is_empty());
    }

    #[tokio::test]
    async fn one_that_comes_later_is_ended_as_well() {
        let calls = calls();
        calls.stop_streams();
        let (response, held) = call(&calls, PATH, false).await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(response.headers()["grpc-status"], "14");
    }

    #[tokio::test]
    async fn what_ends_by_itself_is_left_alone() {
        let calls = calls();
        let check = call(&calls, "/grpc.health.v1.Health/Check", false).await;
        let page = call(&calls, PATH, true).await;
        calls.stop_streams();
        for (response, held) in [check, page] {
            assert_eq!(Arc::strong_count(&held), 2);
            drop(response);
        }
    }

    #[tokio::test]
    async fn one_that_is_over_is_forgotten() {
        let calls = calls();
        let (response, _) = call(&calls, PATH, false).await;
        assert_eq!(calls.open().calls.len(), 1);
        drop(response);
        assert!(calls.open().calls.is_empty());
    }
}
