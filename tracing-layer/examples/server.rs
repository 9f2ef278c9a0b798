//! A tonic server that traces its calls. It calls itself twice, then exits.
//!
//! ```sh
//! cargo run -p tonic-tracing-layer --example tracing-server
//! ```
//!
//! It prints the spans: one `OK`, and one `NOT_FOUND` with the trace id that the caller receives.
#![allow(clippy::print_stdout)]

use http::HeaderName;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tonic::transport::Server;
use tonic_call_test_kit::orders::FILE_DESCRIPTOR_SET;
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Orders, listen};
use tonic_tracing_layer::{Methods, TracingLayer};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exporter = InMemorySpanExporter::default(); // a service uses `opentelemetry-otlp`
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    opentelemetry::global::set_tracer_provider(provider);

    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?;
    let layer = TracingLayer::server()
        .methods(&methods)
        .return_trace_id(HeaderName::from_static("x-trace-id"));
    let (incoming, endpoint) = listen(); // a free port, and its address
    tokio::spawn(
        Server::builder()
            .layer(layer)
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    let mut orders = OrderServiceClient::new(endpoint.connect().await?);
    orders.unary(Ask::default()).await?;
    let not_found = Ask { act: Act::Fail.into(), code: 5, ..Ask::default() };
    if let Err(status) = orders.unary(not_found).await {
        println!("the caller receives {:?}", status.metadata().get("x-trace-id"));
    }

    for span in exporter.get_finished_spans()? {
        println!("{} {:?} {}", span.name, span.span_kind, span.span_context.trace_id());
        span.attributes.iter().for_each(|one| println!("  {}={}", one.key, one.value));
    }
    Ok(())
}
