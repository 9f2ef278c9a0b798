//! A server for browsers: the layer is outside tonic-web, and reads gRPC-Web. It calls itself, then exits.
//!
//! ```sh
//! cargo run -p tonic-logging-layer --example logging-web
//! ```
//!
//! It prints one line of JSON, for a gRPC-Web call over HTTP/1.1. A CORS layer would be outside both.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Server;
use tonic_call_test_kit::orders::order_service_server::OrderServiceServer;
use tonic_call_test_kit::{Orders, listen};
use tonic_logging_layer::LoggingLayer;
use tonic_web::GrpcWebLayer;

/// A gRPC-Web request with one empty message, as a browser sends it.
const REQUEST: &[u8] =
    b"POST /test.v1.Kinds/Unary HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
    content-type: application/grpc-web\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().json().flatten_event(true).init();

    let (incoming, _) = listen(); // a free port
    let address = incoming.local_addr()?;
    tokio::spawn(
        Server::builder()
            .accept_http1(true)
            .layer(LoggingLayer::server())
            .layer(GrpcWebLayer::new())
            .add_service(OrderServiceServer::new(Orders::default()))
            .serve_with_incoming(incoming),
    );

    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(REQUEST).await?;
    connection.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
