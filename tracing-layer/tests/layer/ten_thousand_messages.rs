//! A stream of many messages keeps one context until its end, and leaves no context current on the thread that
//! polled it, however it ends.

use std::collections::HashSet;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use opentelemetry::Context as Telemetry;
use opentelemetry::trace::{TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::trace::SpanData;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use tonic_call::BoxChannel;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::{Kinds, KindsServer};
use tonic_call_test_kit::v1::{Ask, Note};
use tonic_call_test_kit::{PanicsInDrop, Script, listen, silence_panics};
use tower::layer::layer_fn;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::common::*;

const MESSAGES: u32 = 10_000;

/// h2 closes a connection with too many unread small messages; the limit depends on
/// the window.
const WINDOW: u32 = 16 << 20;

/// The current trace and span.
fn here() -> Option<String> {
    Telemetry::map_current(|context| {
        let span = context.span();
        let span = span.span_context();
        context.has_active_span().then(|| format!("{}-{}", span.trace_id(), span.span_id()))
    })
}

fn name_of(span: &SpanData) -> String {
    format!("{}-{}", trace_id(span), span_id(span))
}

// Inside the layer.

/// The spans that were current when a stream was polled, and the number of polls.
#[derive(Clone, Default)]
struct Stood(Arc<Mutex<(HashSet<Option<String>>, u32)>>);

impl Stood {
    fn look(&self) {
        let (spans, times) = &mut *self.0.lock().unwrap();
        spans.insert(here());
        *times += 1;
    }

    /// Asserts that the stream was polled at least this often, and always in one of these spans.
    #[track_caller]
    fn assert_in(&self, spans: &[&SpanData], at_least: u32) {
        let (stood, times) = &*self.0.lock().unwrap();
        assert_eq!(*stood, spans.iter().map(|span| Some(name_of(span))).collect());
        assert!(*times >= at_least, "polled {times} times");
    }
}

/// A stream of this many messages that records the current span whenever it is polled or dropped.
struct Many<T> {
    left: u32,
    is_pending: bool,
    message: T,
    stood: Stood,
}

impl<T> Many<T> {
    fn new(count: u32, message: T, stood: &Stood) -> Self {
        Self { left: count, is_pending: false, message, stood: stood.clone() }
    }
}

impl<T: Clone + Unpin> Stream for Many<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.stood.look();
        // Returns `Pending` from time to time, so that other calls and threads run.
        self.is_pending = !self.is_pending && self.left.is_multiple_of(8);
        if self.is_pending {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return Poll::Ready(None),
        }
        Poll::Ready(Some(self.message.clone()))
    }
}

impl<T> Drop for Many<T> {
    fn drop(&mut self) {
        self.stood.look();
    }
}

/// Answers with the requested number of messages, or with one for each request message.
#[derive(Clone, Default)]
struct Streams {
    stood: Stood,
}

type Notes = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

#[tonic::async_trait]
impl Kinds for Streams {
    type ServerStreamStream = Notes;
    type BidiStreamStream = Notes;

    async fn unary(&self, _: Request<Ask>) -> Result<Response<Note>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn peek(&self, _: Request<Ask>) -> Result<Response<Note>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<Note>, Status> {
        let mut asks = request.into_inner();
        self.stood.look();
        let mut number = 0;
        while asks.message().await?.is_some() {
            self.stood.look();
            number += 1;
        }
        Ok(Response::new(Note { number, ..Note::default() }))
    }

    async fn server_stream(&self, request: Request<Ask>) -> Result<Response<Notes>, Status> {
        self.stood.look();
        let notes = Many::new(request.into_inner().notes, Ok(Note::default()), &self.stood);
        Ok(Response::new(Box::pin(notes)))
    }

    async fn bidi_stream(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<Notes>, Status> {
        self.stood.look();
        let stood = self.stood.clone();
        Ok(Response::new(Box::pin(request.into_inner().map(move |ask| {
            stood.look();
            ask.map(|_| Note::default())
        }))))
    }
}

// Outside the layer.

/// The spans that were still current on a thread after a call was polled.
#[derive(Clone, Default)]
struct Leaks(Arc<(AtomicUsize, Mutex<Vec<String>>)>);

impl Leaks {
    fn look(&self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
        self.0.1.lock().unwrap().extend(here());
    }

    #[track_caller]
    fn assert_none(&self, polls: u32) {
        let leaked = self.0.1.lock().unwrap();
        assert!(leaked.is_empty(), "{leaked:?} was left behind");
        let seen = self.0.0.load(Ordering::Relaxed);
        assert!(seen >= polls as usize, "looked {seen} times only");
    }
}

impl Drop for AfterDrop {
    fn drop(&mut self) {
        self.0.look();
    }
}

/// Checks the current context after the previous field was dropped.
struct AfterDrop(Leaks);

/// A service outside the layer that checks the current context after each poll of the layer's future.
#[derive(Clone)]
struct Outside<S>(S, Leaks);

impl<S, R, B> Service<http::Request<R>> for Outside<S>
where
    S: Service<http::Request<R>, Response = http::Response<B>, Future: Send + 'static>,
{
    type Response = http::Response<Watched<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let ready = self.0.poll_ready(cx);
        self.1.look();
        ready
    }

    fn call(&mut self, request: http::Request<R>) -> Self::Future {
        let future = self.0.call(request);
        self.1.look();
        let leaks = self.1.clone();
        Box::pin(async move {
            let _after = AfterDrop(leaks.clone());
            let mut future = pin!(future);
            let polled = poll_fn(|cx| {
                let polled = future.as_mut().poll(cx);
                leaks.look();
                polled
            });
            Ok(polled.await?.map(|body| Watched::new(body, &leaks)))
        })
    }
}

/// Checks the current context after each poll of a body.
struct Watched<B> {
    body: Pin<Box<B>>,
    after: AfterDrop,
}

impl<B> Watched<B> {
    fn new(body: B, leaks: &Leaks) -> Self {
        Self { body: Box::pin(body), after: AfterDrop(leaks.clone()) }
    }
}

impl<B: Body<Data = Bytes>> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = self.body.as_mut().poll_frame(cx);
        self.after.0.look();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A server and a client, each with a layer that is checked from outside. The client's request bodies are
/// also checked, in the connection's task that polls them.
struct Pair {
    traces: Traces,
    handler: Stood,
    server: Leaks,
    client: Leaks,
    sent: Leaks,
    kinds: KindsClient<BoxChannel>,
}

impl Pair {
    fn new() -> Self {
        let traces = Traces::new();
        let service = Streams::default();
        let [server, client, sent] = <[Leaks; 3]>::default();
        let (incoming, endpoint) = listen();
        let leaks = server.clone();
        tokio::spawn(
            Server::builder()
                .initial_connection_window_size(WINDOW)
                .http2_max_pending_accept_reset_streams(Some(1_000))
                .layer(layer_fn(move |inner| Outside(inner, leaks.clone())))
                .layer(traces.server())
                .add_service(KindsServer::new(service.clone()))
                .serve_with_incoming(incoming),
        );
        let leaks = sent.clone();
        let endpoint = endpoint.initial_connection_window_size(WINDOW);
        let channel = endpoint.connect_lazy().map_request(move |request: http::Request<_>| {
            request.map(|body| tonic::body::Body::new(Watched::new(body, &leaks)))
        });
        let channel = Outside(traces.client().layer(channel), client.clone());
        let kinds = KindsClient::new(BoxChannel::new(channel));
        Self { traces, handler: service.stood, server, client, sent, kinds }
    }

    /// The server's and the client's span of the only call.
    async fn ended(&self) -> [SpanData; 2] {
        let mut spans = self.traces.until_ended(2).await;
        spans.sort_by_key(|span| !span.parent_span_is_remote);
        let [server, client] = <[SpanData; 2]>::try_from(spans).unwrap();
        assert_eq!(server.parent_span_id, client.span_context.span_id());
        [server, client]
    }

    #[track_caller]
    fn assert_nothing_leaked(&self, [server, client, sent]: [u32; 3]) {
        self.server.assert_none(server);
        self.client.assert_none(client);
        self.sent.assert_none(sent);
        assert_eq!(here(), None);
    }
}

fn ask_for(notes: u32) -> Ask {
    Ask { notes, ..Ask::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_the_server_keeps_its_context_and_leaves_none_behind() {
    let mut pair = Pair::new();
    let mut notes = pair.kinds.server_stream(ask_for(MESSAGES)).await.unwrap().into_inner();
    let mut count = 0;
    while notes.message().await.unwrap().is_some() {
        count += 1;
        assert_eq!(here(), None);
    }
    assert_eq!(count, MESSAGES);
    let [server, _] = pair.ended().await;
    pair.handler.assert_in(&[&server], MESSAGES);
    // The encoder takes several messages per poll, but not all of them.
    pair.assert_nothing_leaked([MESSAGES / 100, MESSAGES / 100, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_the_client_keeps_its_context_and_leaves_none_behind() {
    let mut pair = Pair::new();
    let stood = Stood::default();
    let asks = Many::new(MESSAGES, Ask::default(), &stood);
    let note = pair.kinds.client_stream(asks).await.unwrap().into_inner();
    assert_eq!(note.number, MESSAGES);
    let [server, client] = pair.ended().await;
    pair.handler.assert_in(&[&server], MESSAGES);
    stood.assert_in(&[&client], MESSAGES);
    pair.assert_nothing_leaked([2, 2, MESSAGES / 100]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_both_ways_keep_their_contexts_and_leave_none_behind() {
    let mut pair = Pair::new();
    let stood = Stood::default();
    let asks = Many::new(MESSAGES, Ask::default(), &stood);
    let mut notes = pair.kinds.bidi_stream(asks).await.unwrap().into_inner();
    let mut count = 0;
    while notes.message().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, MESSAGES);
    let [server, client] = pair.ended().await;
    pair.handler.assert_in(&[&server], MESSAGES);
    stood.assert_in(&[&client], MESSAGES);
    pair.assert_nothing_leaked([2, 2, MESSAGES / 100]);
}

/// Interleaved calls on two threads must not see each other's contexts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_at_once_half_of_them_cancelled_keep_their_contexts_apart() {
    const CALLS: usize = 200;
    let pair = Pair::new();
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let mut kinds = pair.kinds.clone();
            tokio::spawn(async move {
                let stood = Stood::default();
                let asks = Many::new(100, Ask::default(), &stood);
                let mut notes = kinds.bidi_stream(asks).await.unwrap().into_inner();
                let read = if number % 2 == 0 { 100 } else { number / 4 };
                for _ in 0..read {
                    notes.message().await.unwrap().unwrap();
                    assert_eq!(here(), None);
                }
                if number % 2 == 0 {
                    assert!(notes.message().await.unwrap().is_none());
                }
                stood
            })
        })
        .collect();
    let mut stood = Vec::new();
    for call in calls {
        stood.push(call.await.unwrap());
    }
    let spans = pair.traces.until_ended(2 * CALLS).await;
    assert_eq!(spans.len(), 2 * CALLS);
    let (servers, clients): (Vec<_>, Vec<_>) =
        spans.iter().partition(|span| span.parent_span_is_remote);
    pair.handler.assert_in(&servers, CALLS as u32);
    // Each stream ran in the span of one client, and no two streams in the same span.
    let mut names = HashSet::new();
    for stood in stood {
        let spans = std::mem::take(&mut stood.0.lock().unwrap().0);
        let [span] = <[_; 1]>::try_from(Vec::from_iter(spans)).unwrap();
        assert!(names.insert(span.unwrap()));
    }
    assert_eq!(names, clients.into_iter().map(name_of).collect());
    pair.assert_nothing_leaked([CALLS as u32; 3]);
}

// Panics and cancellations, on this thread.

#[derive(Clone, Copy, Debug, PartialEq)]
enum Goes {
    Well,
    PanicsInCall,
    PanicsInFuture,
    PanicsInBody,
    PanicsInRequest,
    PanicsInDropOfFuture,
    PanicsInDropOfBody,
}

const ALL: [Goes; 7] = [
    Goes::Well,
    Goes::PanicsInCall,
    Goes::PanicsInFuture,
    Goes::PanicsInBody,
    Goes::PanicsInRequest,
    Goes::PanicsInDropOfFuture,
    Goes::PanicsInDropOfBody,
];

fn service(
    goes: Goes,
) -> impl Service<
    http::Request<tonic::body::Body>,
    Response = http::Response<Script>,
    Error = Status,
    Future: Future<Output = Answer>,
> {
    service_fn(move |request: http::Request<tonic::body::Body>| {
        assert!(here().is_some());
        assert!(goes != Goes::PanicsInCall, "on purpose");
        async move {
            let _panics = (goes == Goes::PanicsInDropOfFuture).then_some(PanicsInDrop);
            drain(request.into_body()).await;
            tokio::task::yield_now().await;
            assert!(here().is_some());
            assert!(goes != Goes::PanicsInFuture, "on purpose");
            if goes == Goes::PanicsInDropOfFuture {
                std::future::pending::<()>().await;
            }
            let body = Script::new().messages(2).pending().messages(1);
            let body = match goes {
                Goes::PanicsInBody => body.panic(),
                Goes::PanicsInDropOfBody => body.panics_in_drop(),
                _ => body,
            };
            Ok(body.trailers(tonic::Code::Ok).respond())
        }
    })
}

/// Runs a part of a call and catches a panic, like an outer recovery layer. Asserts that the current context
/// is unchanged afterwards.
#[track_caller]
fn caught<T>(piece: impl FnOnce() -> T) -> Option<T> {
    let before = here();
    let done = catch_unwind(AssertUnwindSafe(piece)).ok();
    assert_eq!(here(), before);
    done
}

/// Polls until the future is ready, panics, or was polled this often.
fn poll_caught<T>(
    polls: &mut usize,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    while let Some(left) = polls.checked_sub(1) {
        *polls = left;
        match caught(|| poll(&mut Context::from_waker(Waker::noop())))? {
            Poll::Ready(done) => return Some(done),
            Poll::Pending => {}
        }
    }
    None
}

/// Makes a call, polls it at most `polls` times, and drops it.
fn call_and_drop(layer: &tonic_tracing_layer::TracingLayer, goes: Goes, mut polls: usize) {
    let mut service = layer.layer(service(goes));
    let mut request = to("/a.B/C");
    if goes == Goes::PanicsInRequest {
        *request.body_mut() = Script::new().messages(1).panic();
    }
    let Some(future) = caught(|| service.call(request)) else { return };
    let mut future = Box::pin(future);
    let response = poll_caught(&mut polls, |cx| future.as_mut().poll(cx));
    caught(|| drop(future));
    let Some(Ok(response)) = response else { return };
    let mut body = Box::pin(response.into_body());
    while let Some(Some(Ok(_))) = poll_caught(&mut polls, |cx| body.as_mut().poll_frame(cx)) {}
    caught(|| drop(body));
}

/// A call that is dropped after any number of polls, and a call that panics at any point, restore the context that
/// was current before: none, or the caller's span.
#[test]
fn a_panic_or_a_cancel_at_any_point_leaves_no_context_behind() {
    silence_panics();
    let traces = Traces::new();
    let tracer = traces.provider().tracer("test");
    for side in SIDES {
        let layer = traces.layer(side);
        for goes in ALL {
            for polls in 0..12 {
                call_and_drop(&layer, goes, polls);
                assert_eq!(here(), None, "{side:?} {goes:?} {polls}");
                let span = traces.take_only();

                let outer = tracer.start("outer");
                let outer = Telemetry::new().with_span(outer);
                let attached = outer.clone().attach();
                let before = here();
                call_and_drop(&layer, goes, polls);
                assert_eq!(here(), before, "{side:?} {goes:?} {polls}");
                drop(attached);
                assert_eq!(here(), None);
                let inner = traces.take_only();
                assert_eq!(inner.parent_span_id, outer.span().span_context().span_id());
                assert_eq!(code(&inner), code(&span), "{side:?} {goes:?} {polls}");
                drop(outer);
                traces.take_only();
            }
        }
    }
}
