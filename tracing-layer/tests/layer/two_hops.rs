//! A client calls a server that calls another server over real sockets, with a layer in all four places: the spans
//! form one trace.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use opentelemetry::Context;
use opentelemetry::KeyValue;
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::{
    FutureExt as _, SpanId, SpanKind, Status as SpanStatus, TraceContextExt as _,
};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::{Stream, StreamExt as _};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use tonic_call::{MethodKind, Observe};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::{Kinds, KindsServer};
use tonic_call_test_kit::v1::{Ask, Note};
use tonic_call_test_kit::{KINDS, Outcome, call as call_kind, listen, method_of};
use tonic_tracing_layer::{Conventions, Target, Tracing, TracingLayer};
use tower::Layer as _;

use crate::common::*;

type Client = KindsClient<Observe<Channel, Tracing>>;

fn client(traces: &Traces, endpoint: &Endpoint) -> Client {
    let layer = TracingLayer::client(Target::from(endpoint.uri()))
        .with_tracer_provider(traces.provider())
        .conventions(Conventions::Released);
    KindsClient::new(layer.layer(endpoint.connect_lazy()))
}

/// A service that records its current span, and calls the next service, if there is one.
#[derive(Clone)]
struct Hop {
    next: Option<Client>,
    stood: Arc<Mutex<Vec<Stood>>>,
}

/// The current span of a handler or of its response stream.
#[derive(Debug, Clone)]
struct Stood {
    trace: String,
    span: String,
    sampled: bool,
    tenant: String,
    /// The `traceparent` header of the request.
    traceparent: String,
}

impl Hop {
    async fn run(mut self, kind: MethodKind, sent: MetadataMap, ask: Ask) -> Result<Note, Status> {
        let context = Context::current();
        let span = context.span().span_context().clone();
        self.stood.lock().unwrap().push(Stood {
            trace: span.trace_id().to_string(),
            span: span.span_id().to_string(),
            sampled: span.is_sampled(),
            tenant: context.baggage().get("tenant").map(ToString::to_string).unwrap_or_default(),
            traceparent: sent.get("traceparent").unwrap().to_str().unwrap().to_owned(),
        });
        if let Some(next) = &mut self.next {
            assert_eq!(call_kind(next, kind, ask, &[]).await, Outcome::ok(1));
        }
        Ok(Note::default())
    }
}

type Notes = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

#[tonic::async_trait]
impl Kinds for Hop {
    type ServerStreamStream = Notes;
    type BidiStreamStream = Notes;

    async fn unary(&self, request: Request<Ask>) -> Result<Response<Note>, Status> {
        let (sent, _, ask) = request.into_parts();
        self.clone().run(MethodKind::Unary, sent, ask).await.map(Response::new)
    }

    async fn peek(&self, request: Request<Ask>) -> Result<Response<Note>, Status> {
        self.unary(request).await
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<Note>, Status> {
        let (sent, _, mut asks) = request.into_parts();
        while asks.message().await?.is_some() {}
        self.clone().run(MethodKind::ClientStream, sent, Ask::default()).await.map(Response::new)
    }

    /// Calls the next server when its stream is polled, after the handler has returned.
    async fn server_stream(&self, request: Request<Ask>) -> Result<Response<Notes>, Status> {
        let (sent, _, ask) = request.into_parts();
        let hop = self.clone();
        let run = move |ask| hop.clone().run(MethodKind::ServerStream, sent.clone(), ask);
        Ok(Response::new(Box::pin(tokio_stream::once(ask).then(run))))
    }

    async fn bidi_stream(
        &self,
        request: Request<Streaming<Ask>>,
    ) -> Result<Response<Notes>, Status> {
        let (sent, _, asks) = request.into_parts();
        let hop = self.clone();
        let run = move |ask: Result<Ask, _>| {
            hop.clone().run(MethodKind::BidiStream, sent.clone(), ask.expect("an ask"))
        };
        Ok(Response::new(Box::pin(asks.then(run))))
    }
}

/// A server that runs until it is stopped and its connections are closed.
struct Running {
    endpoint: Endpoint,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    stood: Arc<Mutex<Vec<Stood>>>,
}

impl Running {
    fn new(traces: &Traces, next: Option<Client>) -> Self {
        let stood = Arc::default();
        let hop = Hop { next, stood: Arc::clone(&stood) };
        let (stop, stopped) = oneshot::channel::<()>();
        let (incoming, endpoint) = listen();
        let serve = Server::builder()
            .layer(traces.server())
            .add_service(KindsServer::new(hop))
            .serve_with_incoming_shutdown(incoming, async { stopped.await.unwrap() });
        let served = tokio::spawn(async { serve.await.unwrap() });
        Self { endpoint, stop, served, stood }
    }

    /// Stops the server, and waits until all its calls have ended and are reported.
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.served.await.unwrap();
    }

    #[track_caller]
    fn stood(&self) -> Stood {
        let mut stood = self.stood.lock().unwrap();
        assert_eq!(stood.len(), 1);
        stood.remove(0)
    }

    /// `server.address` and `server.port`.
    fn address(&self) -> (Option<String>, Option<i64>) {
        let uri = self.endpoint.uri();
        (uri.host().map(str::to_owned), uri.port_u16().map(i64::from))
    }
}

/// Calls the first server with baggage; it calls the second one.
async fn call_through(client: &mut Client, kind: MethodKind) {
    let tenant = Context::new().with_baggage([KeyValue::new("tenant", "acme, inc.")]);
    let outcome = call_kind(client, kind, Ask::default(), &[]).with_context(tenant).await;
    assert_eq!(outcome, Outcome::ok(1));
    assert!(!Context::map_current(Context::has_active_span));
}

/// Sorts the spans so that each is the parent of the next one.
#[track_caller]
fn chain(mut spans: Vec<SpanData>) -> Vec<SpanData> {
    let mut parent = SpanId::INVALID;
    let mut chain = Vec::new();
    while !spans.is_empty() {
        let child = spans.iter().position(|span| span.parent_span_id == parent);
        let child =
            spans.remove(child.unwrap_or_else(|| panic!("no child of {parent}: {spans:#?}")));
        parent = child.span_context.span_id();
        chain.push(child);
    }
    chain
}

#[tokio::test]
async fn two_hops_are_one_trace_whose_parents_are_right() {
    for kind in KINDS {
        let traces = Traces::new();
        let last = Running::new(&traces, None);
        let first = Running::new(&traces, Some(client(&traces, &last.endpoint)));
        let mut caller = client(&traces, &first.endpoint);
        call_through(&mut caller, kind).await;

        let (in_first, in_last) = (first.stood(), last.stood());
        let (to_first, to_last) = (first.address(), last.address());
        drop(caller);
        first.stop().await;
        last.stop().await;
        let spans = traces.spans();
        assert_eq!(spans.len(), 4, "{kind:?}: each span once, not {spans:#?}");
        let spans = chain(spans);

        let kinds: Vec<_> = spans.iter().map(|span| span.span_kind.clone()).collect();
        use SpanKind::{Client, Server};
        assert_eq!(kinds, [Client, Server, Client, Server]);
        for span in &spans {
            assert_eq!(trace_id(span), trace_id(&spans[0]));
            assert_eq!(span.name, method_of(kind));
            assert_eq!(text(span, "rpc.method").as_deref(), Some(method_of(kind)));
            assert_eq!((&*code(span), &span.status), ("OK", &SpanStatus::Unset));
            assert_eq!(span.span_context.trace_flags().to_u8(), 1);
            assert_eq!(span.parent_span_is_remote, span.span_kind == Server);
            assert!(span.start_time <= span.end_time);
        }
        for (span, address) in spans.iter().zip([&to_first, &to_first, &to_last, &to_last]) {
            assert_eq!((text(span, "server.address"), number(span, "server.port")), *address);
            let peer = text(span, "network.peer.address");
            let is_port = number(span, "network.peer.port").is_some_and(|port| port > 0);
            let is_server = span.span_kind == Server;
            assert_eq!(peer.as_deref(), is_server.then_some("127.0.0.1"));
            assert_eq!(is_port, is_server);
        }
        // Outer spans last at least as long as inner ones.
        for pair in spans.windows(2) {
            assert!(pair[0].start_time <= pair[1].start_time);
        }

        for (stood, sent_by, is_in) in
            [(&in_first, &spans[0], &spans[1]), (&in_last, &spans[2], &spans[3])]
        {
            assert_eq!((&stood.trace, &stood.span), (&trace_id(is_in), &span_id(is_in)));
            assert!(stood.sampled);
            assert_eq!(stood.tenant, "acme, inc.");
            let parent = format!("00-{}-{}-01", trace_id(sent_by), span_id(sent_by));
            assert_eq!(stood.traceparent, parent);
        }
    }
}

#[tokio::test]
async fn a_trace_whose_root_is_not_sampled_is_recorded_nowhere_and_goes_on_all_the_same() {
    for kind in KINDS {
        let (off, on) = (Traces::sampled_by(Sampler::AlwaysOff), Traces::new());
        let last = Running::new(&on, None);
        let first = Running::new(&on, Some(client(&on, &last.endpoint)));
        let mut caller = client(&off, &first.endpoint);
        call_through(&mut caller, kind).await;

        let (in_first, in_last) = (first.stood(), last.stood());
        drop(caller);
        first.stop().await;
        last.stop().await;
        off.none();
        on.none();
        for stood in [&in_first, &in_last] {
            assert!(stood.traceparent.ends_with("-00"), "{stood:?}");
            assert!(stood.traceparent.contains(&stood.trace), "{stood:?}");
            assert!(!stood.sampled && !stood.traceparent.contains(&stood.span), "{stood:?}");
            assert_eq!(stood.tenant, "acme, inc.");
        }
        assert_eq!(in_first.trace, in_last.trace);
        assert_ne!(in_first.trace, "0".repeat(32));
    }
}

/// Regression: concurrent calls got each other's parents.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_keep_their_traces_apart() {
    const CALLS: usize = 100;
    let traces = Traces::new();
    let last = Running::new(&traces, None);
    let first = Running::new(&traces, Some(client(&traces, &last.endpoint)));
    let caller = client(&traces, &first.endpoint);
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let mut caller = caller.clone();
            tokio::spawn(async move { call_through(&mut caller, KINDS[number % 4]).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    drop(caller);
    first.stop().await;
    last.stop().await;
    let spans = traces.spans();
    assert_eq!(spans.len(), 4 * CALLS);
    let roots = spans.iter().filter(|span| span.parent_span_id == SpanId::INVALID);
    let ids: Vec<_> = roots.map(trace_id).collect();
    assert_eq!(ids.len(), CALLS);
    for id in ids {
        let spans: Vec<_> = spans.iter().filter(|span| trace_id(span) == id).cloned().collect();
        let names: Vec<_> = chain(spans).into_iter().map(|span| span.name).collect();
        assert_eq!(names, vec![names[0].clone(); 4]);
    }
}
