//! A tonic server that answers JSON as well.
//!
//! ```sh
//! cargo run -p tonic-connect-layer --example connect-server
//! ```
//!
//! Prints the answers to a call with JSON, to one with malformed JSON, and to a `GET`.
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Server;
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_connect_layer::ConnectLayer;

use orders::order_service_server::OrderServiceServer;

/// Sends a request as text, as `curl` does, and returns the answer as text.
async fn exchange(address: SocketAddr, request: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (incoming, _) = listen();
    let address = incoming.local_addr()?;
    let server = Server::builder()
        .accept_http1(true)
        .layer(ConnectLayer::new(orders::FILE_DESCRIPTOR_SET)?)
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    // The example service is `Kinds` of the test kit, under another name in Rust.
    for body in [r#"{"text": "hi"}"#, r#"{"text": 7}"#] {
        let request = format!(
            "POST /test.v1.Kinds/Unary HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        );
        println!("{body}\n{}\n", exchange(address, &request).await?);
    }
    let query = "connect=v1&encoding=json&message=%7B%22text%22%3A%22hi%22%7D";
    let request = format!(
        "GET /test.v1.Kinds/Peek?{query} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    );
    println!("{query}\n{}", exchange(address, &request).await?);
    Ok(())
}
