//! Calls as browsers and `curl` make them: Connect and gRPC-Web over HTTP/1.1, and Connect over HTTP/2.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::soon;

/// The path of a method of the order service.
pub fn path(method: &str) -> String {
    format!("/orders.v1.OrderService/{method}")
}

/// A client of one HTTP version.
pub struct Web {
    http: Client<HttpConnector, Full<Bytes>>,
    address: String,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

impl Web {
    pub fn http1(address: &str) -> Self {
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { http, address: address.to_owned() }
    }

    pub fn http2(address: &str) -> Self {
        let http = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
        Self { http, address: address.to_owned() }
    }

    /// A request to this path, whose answer may be a stream.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        soon(self.http.request(request)).await.expect("an answer")
    }

    /// A unary call in JSON.
    pub async fn call(&self, method: &str, headers: &[(&str, &str)], message: &Value) -> Answer {
        let headers = [&[("content-type", "application/json")], headers].concat();
        whole(self.send(Method::POST, &path(method), &headers, message.to_string()).await).await
    }

    /// A call with a response stream, in JSON.
    pub async fn stream(&self, method: &str, headers: &[(&str, &str)], message: &Value) -> Stream {
        let headers = [&[("content-type", "application/connect+json")], headers].concat();
        let request = envelope(&message.to_string());
        let response = self.send(Method::POST, &path(method), &headers, request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/connect+json");
        Stream { body: response.into_body(), received: BytesMut::new() }
    }
}

pub async fn whole(response: Response<Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = soon(body.collect()).await.expect("a whole body").to_bytes();
    Answer { status: head.status, headers: head.headers, body }
}

fn envelope(message: &str) -> Bytes {
    let length = u32::try_from(message.len()).expect("short").to_be_bytes();
    [&[0], &length[..], message.as_bytes()].concat().into()
}

/// The envelopes of a response.
pub struct Stream {
    body: Incoming,
    received: BytesMut,
}

impl Stream {
    /// The flags and the JSON of the next envelope; `None` at the end of the body.
    pub async fn next(&mut self) -> Option<(u8, Value)> {
        loop {
            if let [flags, a, b, c, d, rest @ ..] = &self.received[..] {
                let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
                if let Some(json) = rest.get(..length) {
                    let envelope = (*flags, serde_json::from_slice(json).expect("JSON"));
                    self.received.advance(5 + length);
                    return Some(envelope);
                }
            }
            let frame = soon(self.body.frame()).await?.expect("it goes on");
            self.received.extend_from_slice(&frame.into_data().expect("no trailers"));
        }
    }
}

/// What a handwritten HTTP/1.1 request was answered with, until the server closed the connection: head in lower case,
/// and body.
pub async fn until_closed(mut socket: impl AsyncRead + Unpin) -> (String, String) {
    let mut answer = Vec::new();
    // An error closes it, too.
    while matches!(soon(socket.read_buf(&mut answer)).await, Ok(1..)) {}
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_ascii_lowercase(), body.to_owned())
}
