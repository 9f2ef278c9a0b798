//! An axum router with a page and gRPC routes. Only the gRPC routes have the layer. It calls itself, then exits.
//!
//! ```sh
//! cargo run -p tonic-tracing-layer --example tracing-axum
//! ```
//!
//! It prints the span of the gRPC call.
#![allow(clippy::print_stdout)]

use axum::Router;
use axum::routing::get;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic_call_test_kit::Orders;
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::Ask;
use tonic_tracing_layer::TracingLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exporter = InMemorySpanExporter::default(); // a service uses `opentelemetry-otlp`
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    opentelemetry::global::set_tracer_provider(provider);

    let grpc = Routes::new(OrderServiceServer::new(Orders::default()))
        .into_axum_router()
        .layer(TracingLayer::server());
    let router = Router::new().route("/page", get(async || "hello")).merge(grpc);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint::from_shared(format!("http://{}", listener.local_addr()?))?;
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut orders = OrderServiceClient::new(endpoint.connect().await?);
    orders.unary(Ask::default()).await?;

    for span in exporter.get_finished_spans()? {
        println!("{} {:?}", span.name, span.span_kind);
        span.attributes.iter().for_each(|one| println!("  {}={}", one.key, one.value));
    }
    Ok(())
}
