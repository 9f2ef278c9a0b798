use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::Scrape;
use super::places::{Place, Places};

/// How long nothing is accepted after that failed, for want of file descriptors for example: it
/// fails again at once until there are some.
const PAUSE: Duration = Duration::from_millis(500);

impl Scrape {
    /// Answers `GET /metrics` over HTTP/1 until it is dropped.
    ///
    /// Any other path is not found (404), any method but `GET` and `HEAD` is not allowed (405).
    /// There are 32 connections at once; for a further one, the one is closed that has been idle for longest.
    /// A new connection must send its first request within 1 second, and each further one within 60 seconds of
    /// the last answer: Prometheus keeps its connection. Needs a tokio runtime with I/O and time.
    ///
    /// There is no TLS and no authentication: listen where only Prometheus comes. Labels name your
    /// services and methods.
    pub async fn serve(self, listener: TcpListener) {
        let mut places = Places::default();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    places.room().await;
                    let scrape = self.clone();
                    places.take(|place| scrape.answer_on(stream, place));
                }
                Err(error) if is_of_the_caller(&error) => {}
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn answer_on(self, stream: TcpStream, place: Arc<Place>) {
        let service = service_fn(async |request: Request<Incoming>| {
            let _busy = place.busy();
            Ok::<_, Infallible>(self.answer(request.method(), request.uri().path()).await)
        });
        let connection = http1::Builder::new()
            // How long a connection may be silent is up to its place.
            .header_read_timeout(None)
            // Who has said all it wants may close its side before it is answered.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        // Whatever failed, there is nobody left to tell.
        let _ = connection.await;
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
