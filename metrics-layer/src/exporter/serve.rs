use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Scrape;

/// How many connections there are at once. Further ones wait.
const CONNECTIONS: usize = 32;

/// How long a caller may take to say what it wants.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection lives: a caller that reads nothing holds its place no longer.
const DONE_WITHIN: Duration = Duration::from_secs(60);

/// How long nothing is accepted after that failed, for want of file descriptors for example: it
/// fails again at once until there are some.
const PAUSE: Duration = Duration::from_millis(500);

impl Scrape {
    /// Answers `GET /metrics` over HTTP/1 until it is dropped.
    ///
    /// Any other path is not found (404), any method but `GET` and `HEAD` is not allowed (405).
    /// A connection serves one request, begins it within 10 seconds and ends it within 60; there are
    /// 32 at once. Needs a tokio runtime with I/O and time.
    ///
    /// There is no TLS and no authentication: listen where only Prometheus comes. Labels name your
    /// services and methods.
    pub async fn serve(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            if connections.len() >= CONNECTIONS {
                connections.join_next().await;
            }
            match listener.accept().await {
                Ok((stream, _)) => {
                    connections.spawn(self.clone().answer_one(stream));
                }
                Err(error) if is_of_the_caller(&error) => {}
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn answer_one(self, stream: TcpStream) {
        let service = service_fn(async |request: Request<Incoming>| {
            Ok::<_, Infallible>(self.answer(request.method(), request.uri().path()).await)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .keep_alive(false)
            // Who has said all it wants may close its side before it is answered.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        // Whatever failed, there is nobody left to tell.
        let _ = timeout(DONE_WITHIN, connection).await;
    }

    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if path != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "not found\n");
        }
        if method != Method::GET && method != Method::HEAD {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let scrape = self.clone();
        match tokio::task::spawn_blocking(move || scrape.render()).await {
            Ok(text) => respond(StatusCode::OK, super::CONTENT_TYPE, text.into()),
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "not rendered\n"),
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether one connection failed before it was accepted; the next one may be good.
fn is_of_the_caller(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
