//! The global tracer provider may be set after the layers were built, and after their first calls.
//!
//! In its own process, with one test, because the provider is global.
#![allow(clippy::unwrap_used)]

mod common;

use opentelemetry::global;
use opentelemetry::trace::{SpanId, SpanKind};
use opentelemetry_sdk::trace::SpanData;
use tonic::transport::Server;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KINDS, KindsService, Outcome, ask, call as call_kind, listen};
use tonic_tracing_layer::TracingLayer;
use tower::Layer as _;

use self::common::{TARGET, TRACE, TRACEPARENT, Traces};

#[tokio::test]
async fn a_provider_that_is_set_late_gets_the_spans_from_then_on() {
    let service = KindsService::default();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(TracingLayer::server())
            .add_service(KindsServer::new(service.clone()))
            .serve_with_incoming(incoming),
    );
    let layer = TracingLayer::client(TARGET);
    let mut kinds = KindsClient::new(layer.layer(endpoint.connect().await.unwrap()));
    for kind in KINDS {
        for headers in [&[][..], &[("traceparent", TRACEPARENT)]] {
            let outcome = call_kind(&mut kinds, kind, Ask::default(), headers).await;
            assert_eq!(outcome.code, tonic::Code::Ok);
        }
    }
    // A call that starts before the provider is set, and ends afterwards.
    let mut early = kinds.server_stream(ask(Act::Hang, 1)).await.unwrap().into_inner();
    early.message().await.unwrap().unwrap();

    let traces = Traces::new();
    global::set_tracer_provider(traces.provider().clone());
    drop(early);
    service.until_alive(0).await;
    traces.none();

    // The same layers, and the same connection.
    for kind in KINDS {
        let notes = if kind.has_one_response() { 1 } else { 2 };
        let outcome = call_kind(&mut kinds, kind, ask(Act::Unspecified, 2), &[]).await;
        assert_eq!(outcome, Outcome::ok(notes));
        traces.until_ended(2).await;
        let mut spans = traces.take();
        spans.sort_by_key(|span| span.span_kind == SpanKind::Server);
        let [client, server] = <[SpanData; 2]>::try_from(spans).unwrap();
        assert_eq!(client.span_kind, SpanKind::Client);
        assert_eq!(client.parent_span_id, SpanId::INVALID);
        assert_eq!(server.parent_span_id, client.span_context.span_id());
        assert_ne!(common::trace_id(&client), TRACE);
        let scope = &server.instrumentation_scope;
        assert_eq!(scope.name(), "tonic-tracing-layer");
        assert_eq!(scope.version(), Some(env!("CARGO_PKG_VERSION")));
    }

    // Layers that are built after the provider was set.
    let mut later = KindsClient::new(layer.layer(endpoint.connect().await.unwrap()));
    later.unary(Ask::default()).await.unwrap();
    traces.until_ended(2).await;
    assert_eq!(traces.take().len(), 2);

    // An explicit provider has precedence over the global one.
    let given = Traces::new();
    let layer = TracingLayer::client(TARGET).with_tracer_provider(given.provider());
    let mut kinds = KindsClient::new(layer.layer(endpoint.connect().await.unwrap()));
    kinds.unary(Ask::default()).await.unwrap();
    traces.until_ended(1).await;
    assert_eq!(traces.take_only().span_kind, SpanKind::Server);
    assert_eq!(given.only().span_kind, SpanKind::Client);

    // After a shutdown and a new provider, one call may have no span; the others use the new provider.
    traces.provider().shutdown().unwrap();
    let next = Traces::new();
    global::set_tracer_provider(next.provider().clone());
    later.unary(Ask::default()).await.unwrap();
    next.take();
    later.unary(Ask::default()).await.unwrap();
    next.until_ended(2).await;
    assert_eq!(next.take().len(), 2);
}
