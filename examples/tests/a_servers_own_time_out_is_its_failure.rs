//! A total outage must be visible: the three observing layers report calls that tonic's `Server::timeout` ends as
//! failures of the server if they are configured with that timeout.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::Server;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, KindsService, ask, listen};
use tonic_logging_layer::{LoggingLayer, Methods};
use tonic_metrics_layer::MetricsLayer;
use tonic_metrics_layer::exporter::Prometheus;
use tonic_tracing_layer::TracingLayer;
use tracing::Level;

const TIMEOUT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn every_call_of_an_outage_is_deadline_exceeded_in_lines_counts_and_spans() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let (written, mut lines) = watch::channel(Vec::new());
    let logging =
        LoggingLayer::server().methods(&methods).server_timeout(TIMEOUT).on_finished(move |call| {
            let by = call.ended_by().as_str();
            let line = (call.code(), by, call.default_level());
            written.send_modify(|lines| lines.push(line));
        });
    let (recorder, scrape) = Prometheus::new().build().unwrap();
    let metrics = MetricsLayer::server().with_recorder(recorder);
    let metrics = metrics.methods(&methods).server_timeout(TIMEOUT);
    let spans = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    let tracing = TracingLayer::server().with_tracer_provider(&provider);
    let tracing = tracing.methods(&methods).server_timeout(TIMEOUT);

    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .timeout(TIMEOUT)
        .layer(logging)
        .layer(metrics)
        .layer(tracing)
        .add_service(KindsServer::new(KindsService::default()));
    let serve = tokio::spawn(server.serve_with_incoming(incoming));
    let client = KindsClient::new(endpoint.connect().await.unwrap());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = client.clone();
        calls.spawn(async move { client.unary(ask(Act::Hang, 0)).await });
    }
    for answer in calls.join_all().await {
        assert_eq!(answer.unwrap_err().message(), "Timeout expired");
    }

    let expected = (Code::DeadlineExceeded, "deadline", Level::WARN);
    // The outermost layer sees the end last.
    let lines = lines.wait_for(|lines| lines.len() == 20).await.unwrap();
    assert_eq!(*lines, vec![expected; 20]);
    let text = scrape.render();
    let counted = "grpc_code=\"DeadlineExceeded\"} 20";
    assert!(text.lines().any(|line| line.ends_with(counted)), "{text}");
    let spans = spans.get_finished_spans().unwrap();
    assert_eq!(spans.len(), 20);
    for span in spans {
        let code =
            span.attributes.iter().find(|pair| pair.key.as_str() == "rpc.response.status_code");
        assert_eq!(code.unwrap().value.as_str(), "DEADLINE_EXCEEDED");
        assert!(matches!(span.status, opentelemetry::trace::Status::Error { .. }));
    }
    serve.abort();
}
