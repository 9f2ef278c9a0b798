//! Calls by HTTP alone: what tonic's client does not send, and callers that leave at a certain point.

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response, request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_call_test_kit::frame_of;
use tonic_call_test_kit::v1::Ask;

use crate::client::{KNOWN, status};
use crate::server::Server;

/// A call over an HTTP/2 connection of its own.
pub(crate) struct RawCall {
    response: Option<h2::client::ResponseFuture>,
    pub(crate) requests: SendStream<Bytes>,
    body: Option<RecvStream>,
    connection: JoinHandle<()>,
    _sender: SendRequest<Bytes>,
}

impl RawCall {
    /// Opens a connection whose streams may receive this number of bytes, and sends a request head.
    pub(crate) async fn open(server: &Server<'_>, path: &str, window: u32, kind: &str) -> Self {
        let request = Request::post(format!("http://localhost/{path}"))
            .header("te", "trailers")
            .header("content-type", kind)
            .header(KNOWN.0, KNOWN.1);
        Self::send(server, window, request).await
    }

    /// Opens a connection, and sends this request head.
    pub(crate) async fn send(server: &Server<'_>, window: u32, request: request::Builder) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        // A reset instead of a FIN, once it is closed with a request that is not answered.
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (sender, connection) = builder.handshake(stream).await.unwrap();
        let connection = tokio::spawn(async move { _ = connection.await });
        let mut ready = sender.clone().ready().await.unwrap();
        let (response, requests) = ready.send_request(request.body(()).unwrap(), false).unwrap();
        Self { response: Some(response), requests, body: None, connection, _sender: sender }
    }

    /// Sends one message, which is the last one or not.
    pub(crate) fn ask(&mut self, ask: &Ask, is_last: bool) {
        self.requests.send_data(frame_of(&ask.encode_to_vec()), is_last).unwrap();
    }

    /// Receives the response head.
    pub(crate) async fn head(&mut self) -> Response<()> {
        let response = self.response.take().unwrap().await.unwrap();
        let (head, body) = response.into_parts();
        self.body = Some(body);
        Response::from_parts(head, ())
    }

    /// Receives some data, without allowing the server to send more.
    pub(crate) async fn data(&mut self) -> Bytes {
        self.body.as_mut().unwrap().data().await.unwrap().unwrap()
    }

    /// Ends the call by RST_STREAM.
    pub(crate) fn reset(mut self, reason: h2::Reason) -> Reset {
        self.requests.send_reset(reason);
        Reset(self)
    }

    /// Closes the connection by a TCP reset.
    pub(crate) fn hang_up(self) {
        self.connection.abort();
    }

    /// Receives the response to its end: HTTP status, number of bytes, status.
    pub(crate) async fn end(mut self) -> String {
        let head = self.head().await;
        let mut body = self.body.take().unwrap();
        while let Some(data) = body.data().await {
            let data = match data {
                Ok(data) => data,
                Err(error) => return format!("RST_STREAM `{:?}`", error.reason().unwrap()),
            };
            body.flow_control().release_capacity(data.len()).unwrap();
        }
        let trailers = body.trailers().await.unwrap();
        let found = status_in(head.headers()).or_else(|| status_in(&trailers?));
        format!("HTTP {}, {}", head.status().as_u16(), found.unwrap_or("no status".to_owned()))
    }
}

/// A call that was reset. Its connection lives on until this is dropped.
pub(crate) struct Reset(RawCall);

impl Reset {
    pub(crate) fn close(self) {
        drop(self.0);
    }
}

/// The status in headers or trailers.
pub(crate) fn status_in(headers: &HeaderMap) -> Option<String> {
    let code = Code::from_bytes(headers.get("grpc-status")?.as_bytes());
    let status = tonic::Status::from_header_map(headers)?;
    Some(self::status(code, status.message()))
}

/// Sends a request by HTTP/1.1, as a browser or `curl` does.
pub(crate) async fn http1(request: Request<Full<Bytes>>) -> Response<Bytes> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}
