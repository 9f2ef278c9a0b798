//! A server for browsers: the layer is outside tonic-web, and reads gRPC-Web. It calls itself, then exits.
//!
//! ```sh
//! cargo run -p tonic-tracing-layer --example tracing-web
//! ```
//!
//! It prints the span of the gRPC-Web call. A CORS layer would be outside both.
#![allow(clippy::print_stdout)]

use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Server;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::{Orders, listen};
use tonic_tracing_layer::TracingLayer;
use tonic_web::GrpcWebLayer;

/// A gRPC-Web request with one empty message, as a browser sends it.
const REQUEST: &[u8] =
    b"POST /test.v1.Kinds/Unary HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
    content-type: application/grpc-web\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let exporter = InMemorySpanExporter::default(); // a service uses `opentelemetry-otlp`
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    opentelemetry::global::set_tracer_provider(provider);

    let (incoming, _) = listen(); // a free port
    let address = incoming.local_addr()?;
    tokio::spawn(
        Server::builder()
            .accept_http1(true)
            .layer(TracingLayer::server())
            .layer(GrpcWebLayer::new())
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(REQUEST).await?;
    connection.read_to_end(&mut Vec::new()).await?;

    for span in exporter.get_finished_spans()? {
        println!("{} {:?}", span.name, span.span_kind);
        span.attributes.iter().for_each(|one| println!("  {}={}", one.key, one.value));
    }
    Ok(())
}
