//! One request over HTTP/1.1, as `curl` makes it.

use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::codegen::http::{Request, StatusCode};

/// Sends a request with this body to the address, and returns the status and the body of the response.
pub(super) async fn send(
    address: &str,
    request: Request<String>,
) -> Result<(StatusCode, String), String> {
    let failed = |error: &dyn std::error::Error| format!("HTTP request to {address}: {error}");
    let socket = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(&error))?;
    // It ends when the sender is dropped.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| failed(&error))?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}
