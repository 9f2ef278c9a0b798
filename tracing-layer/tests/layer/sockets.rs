//! Over a real socket, with tonic's own server and client: both sides have one span per call, however the call
//! ends.

use std::net::TcpListener;
use std::time::Duration;

use http::HeaderName;
use opentelemetry::Context;
use opentelemetry::trace::{
    FutureExt as _, SpanContext, SpanId, SpanKind, Status as SpanStatus, TraceContextExt as _,
    TraceFlags, TraceId, TraceState,
};
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tonic_call::{MethodKind, Observe};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    KINDS, KindsService, Outcome, ask, call as call_kind, listen, method_of, silence_panics,
};
use tonic_recovery_layer::RecoveryLayer;
use tonic_tracing_layer::{Tracing, TracingLayer};
use tower::Layer as _;

use crate::common::{self, *};

type Client = KindsClient<Observe<Channel, Tracing>>;

/// A server and a client, each with a layer.
struct Pair {
    traces: Traces,
    service: KindsService,
    kinds: Client,
}

async fn pair() -> Pair {
    pair_with(|layer| layer).await
}

/// Starts a pair with a configured server layer; a recovery layer is inside it.
async fn pair_with(set: impl FnOnce(TracingLayer) -> TracingLayer) -> Pair {
    let traces = Traces::new();
    let service = KindsService::default();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(set(traces.server()))
            .layer(RecoveryLayer::server())
            .add_service(KindsServer::new(service.clone()))
            .serve_with_incoming(incoming),
    );
    let kinds = KindsClient::new(traces.client().layer(endpoint.connect().await.unwrap()));
    Pair { traces, service, kinds }
}

impl Pair {
    /// Takes the server's and the client's span of the only call.
    async fn both(&self) -> [SpanData; 2] {
        self.traces.until_ended(2).await;
        let mut spans = self.traces.take();
        spans.sort_by_key(|span| span.span_kind == SpanKind::Client);
        let [server, client] = <[SpanData; 2]>::try_from(spans).unwrap();
        assert_eq!((&server.span_kind, &client.span_kind), (&SpanKind::Server, &SpanKind::Client));
        assert_eq!(server.parent_span_id, client.span_context.span_id());
        assert_eq!(trace_id(&server), trace_id(&client));
        assert_eq!(client.parent_span_id, SpanId::INVALID);
        [server, client]
    }

    /// Asserts that both spans ended with this code.
    async fn assert_both(&self, code: Code, message: &str) {
        for span in self.both().await {
            assert_span(&span, code, message);
        }
    }
}

/// Asserts this code, and the span status that follows from it on this side.
#[track_caller]
fn assert_span(span: &SpanData, code: Code, message: &str) {
    let name = tonic_call::code_name(code);
    assert_eq!(common::code(span), name);
    let failed = match span.span_kind {
        SpanKind::Client => code != Code::Ok,
        _ => matches!(code, Code::DeadlineExceeded | Code::Internal | Code::Unavailable),
    };
    let status = if failed { SpanStatus::error(message.to_owned()) } else { SpanStatus::Unset };
    assert_eq!(span.status, status);
    assert_eq!(text(span, "error.type").as_deref(), failed.then_some(name));
}

#[tokio::test]
async fn a_stream_that_its_caller_cancels_is_cancelled_at_both_ends() {
    let mut pair = pair().await;
    for read in [0, 1, 3] {
        let mut notes = pair.kinds.server_stream(ask(Act::Hang, 3)).await.unwrap().into_inner();
        for _ in 0..read {
            notes.message().await.unwrap().unwrap();
        }
        pair.traces.none();
        drop(notes);
        pair.assert_both(Code::Cancelled, "").await;
        pair.service.until_alive(0).await;
    }
}

#[tokio::test]
async fn a_call_that_its_caller_cancels_is_cancelled_at_both_ends() {
    let pair = pair().await;

    // Before the head.
    let mut kinds = pair.kinds.clone();
    let call = tokio::spawn(async move { kinds.unary(ask(Act::Hang, 0)).await });
    pair.service.until_alive(1).await;
    call.abort();
    pair.assert_both(Code::Cancelled, "").await;

    // While the caller is still sending.
    let (sender, receiver) = mpsc::channel(1);
    let mut kinds = pair.kinds.clone();
    let call =
        tokio::spawn(async move { kinds.client_stream(ReceiverStream::new(receiver)).await });
    sender.send(ask(Act::Unspecified, 0)).await.unwrap();
    pair.service.until_alive(1).await;
    call.abort();
    pair.assert_both(Code::Cancelled, "").await;

    // While both sides are sending.
    let (sender, receiver) = mpsc::channel(1);
    sender.send(ask(Act::Hang, 1)).await.unwrap();
    let mut kinds = pair.kinds.clone();
    let mut notes = kinds.bidi_stream(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();
    drop((notes, sender));
    pair.assert_both(Code::Cancelled, "").await;
}

#[tokio::test]
async fn a_call_whose_deadline_expires_ends_once_at_both_ends() {
    let mut pair = pair().await;
    let mut request = Request::new(ask(Act::Hang, 0));
    request.set_timeout(Duration::from_millis(50));
    pair.kinds.unary(request).await.unwrap_err();
    pair.service.until_alive(0).await;
    for span in pair.both().await {
        // Either timer may fire first, and tonic's own timers report `Cancelled`.
        let code = code(&span);
        assert!(["DEADLINE_EXCEEDED", "CANCELLED"].contains(&&*code), "{span:#?}");
        let is_error = matches!(span.status, SpanStatus::Error { .. });
        assert_eq!(is_error, span.span_kind == SpanKind::Client || code == "DEADLINE_EXCEEDED");
        let error = text(&span, "error.type");
        assert_eq!(error, is_error.then_some(code));
    }
}

/// tonic's timers stop at the head, so this caller has its own timer, which starts later than that of the
/// server.
#[tokio::test]
async fn a_stream_that_its_caller_gives_up_after_its_deadline_is_a_deadline_at_the_server() {
    let mut pair = pair().await;
    let deadline = Duration::from_millis(50);
    let mut request = Request::new(ask(Act::Hang, 1));
    request.set_timeout(deadline);
    let mut notes = pair.kinds.server_stream(request).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();
    tokio::time::timeout(deadline, notes.message()).await.unwrap_err();
    drop(notes);
    let [server, client] = pair.both().await;
    assert_span(&server, Code::DeadlineExceeded, "");
    assert_span(&client, Code::DeadlineExceeded, "");
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let traces = Traces::new();
    let mut kinds = KindsClient::new(traces.client().layer(endpoint.connect_lazy()));
    for kind in KINDS {
        let outcome = call_kind(&mut kinds, kind, Ask::default(), &[]).await;
        assert_eq!((outcome.notes, outcome.code), (0, Code::Unavailable));
        let span = traces.take_only();
        assert_eq!((&span.span_kind, &*span.name), (&SpanKind::Client, method_of(kind)));
        assert_eq!(code(&span), "UNAVAILABLE");
        assert_eq!(text(&span, "error.type").as_deref(), Some("UNAVAILABLE"));
        let SpanStatus::Error { description } = &span.status else { panic!("{:?}", span.status) };
        assert!(description.contains("refused"), "{description}");
        assert_eq!(text(&span, "server.address").as_deref(), Some("orders.svc"));
        assert_eq!(number(&span, "server.port"), Some(8080));
        // The layer cannot know whether the server received it.
        assert_eq!(text(&span, "network.peer.address"), None);
    }
}

#[tokio::test]
async fn a_panic_that_a_layer_inside_recovered_is_an_error_at_both_ends() {
    silence_panics();
    let mut pair = pair().await;
    for kind in KINDS {
        for act in [Act::Panic, Act::PanicInHandler] {
            let outcome = call_kind(&mut pair.kinds, kind, ask(act, 2), &[]).await;
            assert_eq!(outcome.code, Code::Internal, "{kind:?} {act:?}");
            pair.assert_both(Code::Internal, "internal error").await;
        }
    }
}

#[tokio::test]
async fn both_ends_tell_of_each_call_once() {
    silence_panics();
    let mut pair = pair().await;
    let mut expected = Vec::new();
    for kind in KINDS {
        let fails = Ask { code: Code::NotFound as i32, ..ask(Act::Fail, 2) };
        for (ask, code) in [
            (ask(Act::Unspecified, 2), "OK"),
            (fails, "NOT_FOUND"),
            (ask(Act::Panic, 2), "INTERNAL"),
            (ask(Act::PanicInHandler, 2), "INTERNAL"),
        ] {
            call_kind(&mut pair.kinds, kind, ask, &[]).await;
            expected.push((method_of(kind), code));
        }
    }
    for _ in 0..5 {
        drop(pair.kinds.server_stream(ask(Act::Hang, 1)).await.unwrap());
        expected.push((method_of(MethodKind::ServerStream), "CANCELLED"));
    }
    pair.service.until_alive(0).await;
    let spans = pair.traces.until_ended(2 * expected.len()).await;
    assert_eq!(spans.len(), 2 * expected.len());
    let of = |kind| spans.iter().filter(move |span| span.span_kind == kind);
    for client in of(SpanKind::Client) {
        let id = client.span_context.span_id();
        let servers: Vec<_> =
            of(SpanKind::Server).filter(|span| span.parent_span_id == id).collect();
        let [server] = servers[..] else { panic!("one, not {servers:#?}") };
        assert_eq!((&server.name, code(server)), (&client.name, code(client)));
    }
    let mut told: Vec<_> = of(SpanKind::Client).map(|span| (&*span.name, code(span))).collect();
    told.sort();
    expected.sort_unstable();
    assert!(told.iter().map(|(name, code)| (*name, &**code)).eq(expected), "{told:#?}");
}

const X_TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");

/// The trace ids in the response that the caller receives.
#[track_caller]
fn told(metadata: &tonic::metadata::MetadataMap) -> Vec<String> {
    let all = metadata.get_all(X_TRACE_ID.as_str());
    all.iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_caller_is_told_its_trace_however_it_is_answered() {
    silence_panics();
    let mut pair = pair_with(|layer| layer.return_trace_id(X_TRACE_ID)).await;

    let response = pair.kinds.unary(Ask::default()).await.unwrap();
    let [server, _] = pair.both().await;
    assert_eq!(told(response.metadata()), [trace_id(&server)]);

    let response = pair.kinds.server_stream(ask(Act::Hang, 1)).await.unwrap();
    // The trace id is sent with the head, not at the end.
    let told_at_head = told(response.metadata());
    pair.traces.none();
    drop(response);
    let [server, _] = pair.both().await;
    assert_eq!(told_at_head, [trace_id(&server)]);

    // Trailers-only responses.
    for (act, code) in [(Act::Fail, Code::NotFound), (Act::Panic, Code::Internal)] {
        let ask = Ask { code: code as i32, ..ask(act, 0) };
        let status = pair.kinds.unary(ask).await.unwrap_err();
        assert_eq!(status.code(), code);
        let [server, _] = pair.both().await;
        assert_eq!(told(status.metadata()), [trace_id(&server)], "{act:?}");
    }

    // The caller sends its own trace. Its layer is disabled, because it would send another one.
    let mut request = Request::new(Ask::default());
    request.metadata_mut().insert("traceparent", TRACEPARENT.parse().unwrap());
    let suppressed = Context::new().with_telemetry_suppressed();
    let response = pair.kinds.unary(request).with_context(suppressed).await.unwrap();
    assert_eq!(told(response.metadata()), [TRACE]);
}

#[tokio::test]
async fn a_caller_is_told_nothing_unless_the_layer_is_set_so() {
    let mut pair = pair().await;
    let response = pair.kinds.unary(Ask::default()).await.unwrap();
    assert_eq!(told(response.metadata()), [""; 0]);
}

/// An exporter over gRPC must not record spans for its own calls.
#[tokio::test]
async fn a_call_made_where_telemetry_is_suppressed_has_no_span_and_sends_no_trace() {
    let mut pair = pair().await;
    let (trace, span) = (TraceId::from(1_u128), SpanId::from(2_u64));
    let outer = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE);
    for context in [Context::new(), Context::new().with_remote_span_context(outer)] {
        for kind in KINDS {
            let suppressed = context.with_telemetry_suppressed();
            let call = call_kind(&mut pair.kinds, kind, ask(Act::Unspecified, 1), &[]);
            assert_eq!(call.with_context(suppressed).await, Outcome::ok(1));
            pair.traces.until_ended(1).await;
            let server = pair.traces.take_only();
            assert_eq!(server.span_kind, SpanKind::Server);
            assert_eq!(server.parent_span_id, SpanId::INVALID);
        }
    }
    // Afterwards spans are recorded again.
    pair.kinds.unary(Ask::default()).await.unwrap();
    pair.both().await;
}

/// The server stops in the middle of a stream.
#[tokio::test]
async fn a_stream_whose_connection_is_lost_is_an_error_at_the_client() {
    let (traces, server) = (Traces::new(), Traces::new());
    let (incoming, endpoint) = listen();
    // Its connections run in its runtime, and end with that runtime.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let serve = {
        let _entered = runtime.enter();
        Server::builder()
            .layer(server.server())
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming)
    };
    runtime.spawn(serve);
    let mut kinds = KindsClient::new(traces.client().layer(endpoint.connect_lazy()));
    let mut notes = kinds.server_stream(ask(Act::Hang, 1)).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();
    runtime.shutdown_background();
    notes.message().await.unwrap_err();
    let span = traces.only();
    assert_eq!(code(&span), "UNAVAILABLE", "{span:#?}");
    assert!(matches!(span.status, SpanStatus::Error { .. }));
    let span = &server.until_ended(1).await[0];
    assert_eq!(code(span), "CANCELLED");
}
