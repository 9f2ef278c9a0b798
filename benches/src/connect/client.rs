use std::fmt;

use http::{HeaderValue, Uri};
use http_body_util::BodyExt as _;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::frames::Frames;
use super::request::Call;

/// The version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.1: a connection for each call at a time.
    Http1,
    /// HTTP/2: one connection.
    Http2,
}

impl Version {
    /// A short name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// One that makes calls one after the other. Its part of the work is the same for all protocols: it does not decode.
pub struct Client {
    server: Uri,
    connection: Connection,
}

enum Connection {
    Http1(http1::SendRequest<Frames>),
    Http2(http2::SendRequest<Frames>),
}

impl Client {
    /// So many clients.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, or if the server does not listen.
    pub async fn connect(server: &Uri, version: Version, count: usize) -> Vec<Self> {
        let of = |connection| Self { server: server.clone(), connection };
        match version {
            Version::Http1 => {
                let mut clients = Vec::new();
                for _ in 0..count {
                    let io = TokioIo::new(stream(server).await);
                    let (sender, connection) = http1::handshake(io).await.expect("a connection");
                    tokio::spawn(connection);
                    clients.push(of(Connection::Http1(sender)));
                }
                clients
            }
            Version::Http2 => {
                let io = TokioIo::new(stream(server).await);
                let handshake = http2::handshake(TokioExecutor::new(), io).await;
                let (sender, connection) = handshake.expect("a connection");
                tokio::spawn(connection);
                (0..count).map(|_| of(Connection::Http2(sender.clone()))).collect()
            }
        }
    }

    /// Makes one call.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub async fn call(&mut self, call: &Call) {
        let response = match &mut self.connection {
            Connection::Http1(sender) => {
                sender.ready().await.expect("the connection is open");
                let mut request = call.request(None);
                let host = self.server.authority().map_or("", |host| host.as_str());
                let host = HeaderValue::from_str(host).expect("a host");
                request.headers_mut().insert(http::header::HOST, host);
                sender.send_request(request).await
            }
            Connection::Http2(sender) => {
                sender.ready().await.expect("the connection is open");
                sender.send_request(call.request(Some(&self.server))).await
            }
        };
        let response = response.expect("an answer");
        assert_eq!(response.status(), 200, "{} in {}", call.kind.name(), call.format.name());
        response.into_body().collect().await.expect("a whole answer");
    }
}

async fn stream(server: &Uri) -> TcpStream {
    let address = server.authority().map_or("", |authority| authority.as_str());
    let stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("it is open");
    stream
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.server).finish_non_exhaustive()
    }
}
