//! A client in a struct, which traces its calls. The server, in the same process, continues the trace.
//!
//! ```sh
//! cargo run -p tonic-tracing-layer --example tracing-client
//! ```
//!
//! It prints two spans of one trace: the server's span is a child of the client's.
#![allow(clippy::print_stdout)]

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tonic::transport::{Channel, Server};
use tonic_call_test_kit::orders::order_service_client::OrderServiceClient;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen};
use tonic_tracing_layer::{BoxChannel, Target, TracingLayer};
use tower::ServiceBuilder;

/// `BoxChannel` names the type of a layered client.
struct Billing {
    orders: OrderServiceClient<BoxChannel>,
}

impl Billing {
    fn new(target: Target, channel: Channel) -> Self {
        let channel = ServiceBuilder::new().layer(TracingLayer::client(target)).service(channel);
        Self { orders: OrderServiceClient::new(BoxChannel::new(channel)) }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exporter = InMemorySpanExporter::default(); // a program uses `opentelemetry-otlp`
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    opentelemetry::global::set_tracer_provider(provider);

    let (incoming, endpoint) = listen(); // a free port, and its address
    tokio::spawn(
        Server::builder()
            .layer(TracingLayer::server())
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    let target = Target::from(endpoint.uri());
    Billing::new(target, endpoint.connect_lazy()).orders.unary(Ask::default()).await?;

    for span in exporter.get_finished_spans()? {
        println!("{} {:?}", span.name, span.span_kind);
        let ids = &span.span_context;
        let parent = span.parent_span_id;
        println!("  trace={} span={} parent={parent}", ids.trace_id(), ids.span_id());
    }
    Ok(())
}
