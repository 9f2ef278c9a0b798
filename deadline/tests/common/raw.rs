//! A gRPC client on HTTP/2 that has no timer: it gets what the server answers.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_call::MethodKind;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{frame_of, method_of};

/// A connection of such a client.
#[derive(Clone)]
pub(crate) struct Raw(SendRequest<Bytes>);

/// A call whose request can go on.
pub(crate) struct RawCall {
    pub(crate) request: SendStream<Bytes>,
    pub(crate) response: ResponseFuture,
}

/// Where a status was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Head,
    Trailers,
}

/// What a caller got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) place: Place,
    pub(crate) code: Code,
    pub(crate) message: String,
    /// The number of whole messages.
    pub(crate) messages: usize,
}

impl Raw {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::with_window(address, 1 << 20).await
    }

    /// A client that takes this number of bytes of each response, and then more as it reads them.
    pub(crate) async fn with_window(address: SocketAddr, window: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1 << 24);
        let (send, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    /// Begins a call with these values of `grpc-timeout`.
    pub(crate) async fn begin(&self, kind: MethodKind, timeouts: &[&str]) -> RawCall {
        let mut request = Request::post(format!("http://localhost/{}", method_of(kind)))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for timeout in timeouts {
            request = request.header("grpc-timeout", *timeout);
        }
        let mut connection = self.0.clone().ready().await.unwrap();
        let (response, request) =
            connection.send_request(request.body(()).unwrap(), false).unwrap();
        RawCall { request, response }
    }

    /// Makes a call with one message, and reads the whole response.
    pub(crate) async fn call(&self, kind: MethodKind, timeouts: &[&str], ask: &Ask) -> Answer {
        let mut call = self.begin(kind, timeouts).await;
        call.send(ask, true);
        read(call.response).await.unwrap()
    }
}

impl RawCall {
    pub(crate) fn send(&mut self, ask: &Ask, is_last: bool) {
        // Fails if the server has answered already, as it does when it refuses a call.
        let _ = self.request.send_data(frame_of(&ask.encode_to_vec()), is_last);
    }

    pub(crate) fn reset(&mut self, reason: Reason) {
        self.request.send_reset(reason);
    }
}

/// Reads a whole response.
pub(crate) async fn read(response: ResponseFuture) -> Result<Answer, h2::Error> {
    let (head, body) = response.await?.into_parts();
    if head.headers.contains_key("grpc-status") {
        return Ok(answer(Place::Head, &head.headers, 0));
    }
    read_rest(body).await
}

/// Reads a response from its head on.
pub(crate) async fn read_rest(mut body: RecvStream) -> Result<Answer, h2::Error> {
    let mut messages = Messages::default();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        messages.receive(&data);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok(answer(Place::Trailers, &trailers, messages.count))
}

/// The reason of a reset by the server.
pub(crate) async fn reset_by_server(request: &mut SendStream<Bytes>) -> Reason {
    poll_fn(|cx| request.poll_reset(cx)).await.unwrap()
}

fn answer(place: Place, headers: &HeaderMap, messages: usize) -> Answer {
    let status = Status::from_header_map(headers).unwrap();
    Answer { place, code: status.code(), message: status.message().to_owned(), messages }
}

/// Counts the messages in a stream of bytes.
#[derive(Default)]
pub(crate) struct Messages {
    begun: BytesMut,
    pub(crate) count: usize,
}

impl Messages {
    pub(crate) fn receive(&mut self, data: &[u8]) {
        self.begun.extend_from_slice(data);
        while self.begun.len() >= 5 {
            let len = u32::from_be_bytes(self.begun[1..5].try_into().unwrap()) as usize;
            if self.begun.len() < 5 + len {
                break;
            }
            self.begun.advance(5 + len);
            self.count += 1;
        }
    }
}
