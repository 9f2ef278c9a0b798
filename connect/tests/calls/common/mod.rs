//! A server with the layer, and raw HTTP clients.
#![allow(dead_code)]

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, KindsService, Recorder, Script};
use tonic_connect_layer::ConnectLayer;
use tower::{Layer as _, ServiceExt as _, service_fn};

pub(crate) fn layer() -> ConnectLayer {
    ConnectLayer::new(FILE_DESCRIPTOR_SET).unwrap()
}

/// A running server. An observer inside the layer records its calls.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) service: KindsService,
    pub(crate) recorder: Recorder,
    pub(crate) task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn of<B: Body<Data = Bytes>>(response: Response<B>) -> Self
    where
        B::Error: std::fmt::Debug,
    {
        let (head, body) = response.into_parts();
        let collected = body.collect().await.unwrap();
        assert!(collected.trailers().is_none(), "Connect has no HTTP trailers");
        Self { status: head.status, headers: head.headers, body: collected.to_bytes() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    /// The plain text of a refusal.
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.header("content-type"), "text/plain; charset=utf-8");
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The envelopes of a stream.
    pub(crate) fn envelopes(&self) -> Vec<(u8, Bytes)> {
        envelopes(self.body.clone())
    }

    /// The JSON at the end of a stream.
    pub(crate) fn end(&self) -> serde_json::Value {
        let (flags, end) = self.envelopes().pop().expect("an envelope");
        assert_eq!(flags, 2, "the last envelope is the end");
        serde_json::from_slice(&end).unwrap()
    }
}

pub(crate) fn envelope(flags: u8, message: &[u8]) -> Bytes {
    let mut whole = BytesMut::new();
    whole.put_u8(flags);
    whole.put_u32(message.len() as u32);
    whole.put_slice(message);
    whole.freeze()
}

pub(crate) fn envelopes(mut body: Bytes) -> Vec<(u8, Bytes)> {
    let mut found = Vec::new();
    while !body.is_empty() {
        let prefix = body.split_to(5);
        let len = u32::from_be_bytes(prefix[1..].try_into().unwrap());
        found.push((prefix[0], body.split_to(len as usize)));
    }
    found
}

pub(crate) fn proto(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

/// Serves `KindsService` with a layer, and another one inside it.
macro_rules! serve_inside {
    ($layer:expr, $inside:expr) => {{
        let (incoming, _) = ::tonic_call_test_kit::listen();
        let address = incoming.local_addr().unwrap();
        let service = ::tonic_call_test_kit::KindsService::default();
        let recorder = ::tonic_call_test_kit::Recorder::new();
        let kinds = ::tonic_call_test_kit::v1::kinds_server::KindsServer::new(service.clone());
        let server = ::tonic::transport::Server::builder()
            .accept_http1(true)
            .layer($layer)
            .layer(::tonic_call::ObserveLayer::server(recorder.clone()))
            .layer($inside)
            .add_service(kinds)
            .serve_with_incoming(incoming);
        let task = ::tokio::spawn(async { server.await.unwrap() });
        $crate::common::Served { address, service, recorder, task }
    }};
}

/// Serves `KindsService` with this layer. gRPC-Web is translated inside it.
pub(crate) fn serve(layer: ConnectLayer) -> Served {
    serve_inside!(layer, tonic_web::GrpcWebLayer::new())
}

impl Served {
    /// Sends a request on a new HTTP/1.1 connection.
    pub(crate) async fn http1<B>(&self, request: Request<B>) -> Response<hyper::body::Incoming>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        head.headers.insert("host", "localhost".parse().unwrap());
        sender.send_request(Request::from_parts(head, body)).await.unwrap()
    }

    /// Sends a request on a new HTTP/2 connection.
    pub(crate) async fn http2<B>(&self, request: Request<B>) -> Response<hyper::body::Incoming>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let (mut head, body) = request.into_parts();
        head.uri = format!("http://localhost{}", head.uri).parse().unwrap();
        sender.send_request(Request::from_parts(head, body)).await.unwrap()
    }

    /// A `POST` of a whole body on HTTP/1.1.
    pub(crate) async fn post(&self, method: &str, kind: &str, body: impl Into<Bytes>) -> Answer {
        self.send(post(method, kind, body)).await
    }

    /// Sends a request on HTTP/1.1.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::of(self.http1(request).await).await
    }

    /// Sends a request on HTTP/2.
    pub(crate) async fn send2(&self, request: Request<Full<Bytes>>) -> Answer {
        Answer::of(self.http2(request).await).await
    }
}

/// A `POST` to a method of `test.v1.Kinds`.
pub(crate) fn post(method: &str, kind: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("/test.v1.Kinds/{method}"))
        .header("content-type", kind)
        .body(Full::new(body.into()))
        .unwrap()
}

/// A `GET` with this query.
pub(crate) fn get(method: &str, query: &str) -> Request<Full<Bytes>> {
    Request::get(format!("/test.v1.Kinds/{method}?{query}")).body(Full::default()).unwrap()
}

/// What the service inside the layer saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) head: http::request::Parts,
    /// The data of the body, or the status that it failed with.
    pub(crate) body: Result<Bytes, Status>,
}

/// Sends a request through the layer to a service that reads it and then gives this response.
pub(crate) async fn through<B>(
    layer: ConnectLayer,
    request: Request<B>,
    respond: Response<Script>,
) -> (Answer, Seen)
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let respond = std::sync::Arc::new(std::sync::Mutex::new(Some(respond)));
    let service = service_fn(move |request: Request<tonic::body::Body>| {
        let (sender, respond) = (sender.clone(), respond.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes);
            sender.send(Seen { head, body }).unwrap();
            Ok::<_, Status>(respond.lock().unwrap().take().expect("one call"))
        }
    });
    let response = layer.layer(service).oneshot(request).await.unwrap();
    (Answer::of(response).await, seen.recv().await.expect("a call"))
}
