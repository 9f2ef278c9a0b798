//! Ends the streams when the server goes down: a layer around all services, ours and others'.
//!
//! A stream that waits for news (a watch, health, reflection) would hold the drain for as long as its
//! caller likes. So each call whose method answers with a stream is wrapped in a [`Cut`], and the drain
//! cuts those that are open: their handlers and all that they hold are gone at once, and the callers get
//! `UNAVAILABLE`. A task that still reads requests (reflection has one) reads an error. Calls with one
//! answer are not touched; nor is a stream that [`Ends`] by itself.
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

/// The streams that are open now. A clone is the same; as a layer, it learns of them.
#[derive(Clone)]
pub(crate) struct Streams {
    /// The paths of the methods that answer with a stream.
    paths: Arc<HashSet<String>>,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// No stream may begin any more.
    stopped: bool,
    /// How many there have been.
    count: u64,
    cuts: HashMap<u64, Cut>,
}

impl Streams {
    /// `methods` are those of every service that the layer is put around.
    pub(crate) fn of(methods: &Methods) -> Self {
        let streams = methods.iter().filter(|method| !method.kind().has_one_response());
        let paths = streams.map(|method| format!("/{}", method.full())).collect();
        Self { paths: Arc::new(paths), open: Arc::default() }
    }

    /// Ends those that are open, and those that still come.
    pub(crate) fn stop(&self) {
        let mut open = self.open();
        open.stopped = true;
        let cuts = std::mem::take(&mut open.cuts);
        drop(open);
        cuts.values().for_each(cut);
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, stream: Cut) -> OpenStream {
        let mut open = self.open();
        open.count += 1;
        let number = open.count;
        if open.stopped {
            drop(open);
            cut(&stream);
        } else {
            open.cuts.insert(number, stream);
        }
        OpenStream { streams: self.clone(), number }
    }
}

fn cut(stream: &Cut) {
    stream.refuse(&Refusal::new("drain", "SERVER_STOPPING"), refusal::stopping());
}

/// One of them, until it is dropped.
struct OpenStream {
    streams: Streams,
    number: u64,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let removed = self.streams.open().cuts.remove(&self.number);
        // After the lock is released.
        drop(removed);
    }
}

impl<S> Layer<S> for Streams {
    type Service = Stoppable<S>;

    fn layer(&self, inner: S) -> Stoppable<S> {
        Stoppable { inner, streams: self.clone() }
    }
}

/// A service whose streams end when the server stops.
#[derive(Clone)]
pub(crate) struct Stoppable<S> {
    inner: S,
    streams: Streams,
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
        if !self.streams.paths.contains(request.uri().path()) {
            return Box::pin(self.inner.call(request));
        }
        let (cut, response) = Cut::call(&mut self.inner, request);
        let open = self.streams.add(cut);
        Box::pin(async move {
            let response = response.await?;
            if response.extensions().get::<Ends>().is_some() {
                drop(open);
                return Ok(response.map(Body::new));
            }
            Ok(response.map(|body| Body::new(OpenBody { body, _open: open })))
        })
    }
}

/// Knows when the stream is over: it is dropped then.
struct OpenBody<B> {
    body: B,
    _open: OpenStream,
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

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("open", &self.open().cuts.len()).finish_non_exhaustive()
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

    fn streams() -> Streams {
        let methods = Methods::from_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        Streams::of(&methods.expect("good"))
    }

    /// What a service that never ends answers with, and who knows whether that is still there.
    async fn call(streams: &Streams, path: &'static str, ends: bool) -> (Response<Body>, Arc<()>) {
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
        let mut service = streams.layer(service);
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().expect("good");
        let response = service.call(request).await.expect("infallible");
        drop(service);
        (response, held)
    }

    /// Guards against: a caller who reads nothing, so that nobody polls its stream.
    #[tokio::test]
    async fn what_a_stream_holds_is_gone_at_once_even_if_nobody_polls_it() {
        let streams = streams();
        let (response, held) = call(&streams, PATH, false).await;
        assert_eq!(Arc::strong_count(&held), 2);
        streams.stop();
        assert_eq!(Arc::strong_count(&held), 1);
        drop(response);
        assert!(streams.open().cuts.is_empty());
    }

    #[tokio::test]
    async fn one_that_comes_later_is_ended_as_well() {
        let streams = streams();
        streams.stop();
        let (response, held) = call(&streams, PATH, false).await;
        assert_eq!(Arc::strong_count(&held), 1);
        assert_eq!(response.headers()["grpc-status"], "14");
    }

    #[tokio::test]
    async fn what_ends_by_itself_is_left_alone() {
        let streams = streams();
        let check = call(&streams, "/grpc.health.v1.Health/Check", false).await;
        let page = call(&streams, PATH, true).await;
        streams.stop();
        for (response, held) in [check, page] {
            assert_eq!(Arc::strong_count(&held), 2);
            drop(response);
        }
    }

    #[tokio::test]
    async fn one_that_is_over_is_forgotten() {
        let streams = streams();
        let (response, _) = call(&streams, PATH, false).await;
        assert_eq!(streams.open().cuts.len(), 1);
        drop(response);
        assert!(streams.open().cuts.is_empty());
    }
}
