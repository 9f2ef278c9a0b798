use std::convert::Infallible;
use std::future::{Future, ready};
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::Scrape;
use super::connections::{Connection, Connections};

/// The pause after a failed accept. Without file descriptors, for example, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

impl Scrape {
    /// Serves `GET /metrics` over HTTP/1 until the future is dropped. Needs a tokio runtime with I/O and time.
    ///
    /// Other paths are answered with 404, other methods than `GET` and `HEAD` with 405. At most 32 connections
    /// are open; a further one replaces the one that has been idle longest. A new connection must send its
    /// first request within 1 second, and each further one within 60 seconds after the last answer.
    ///
    /// There is no TLS (see [`serve_over`](Self::serve_over)) and no authentication: listen on an address that only
    /// Prometheus can reach. The labels contain the names of your services and methods.
    pub async fn serve(self, listener: TcpListener) {
        self.serve_over(listener, |stream| ready(Some(stream))).await;
    }

    /// As [`serve`](Self::serve), over what `connect` makes of each connection: for example, the TLS handshake of an
    /// acceptor of your own, which offers the protocol `http/1.1`. `None` closes the connection.
    ///
    /// The second until the first request includes the time that `connect` takes.
    pub async fn serve_over<F, C, IO>(self, listener: TcpListener, connect: F)
    where
        F: Fn(TcpStream) -> C,
        C: Future<Output = Option<IO>> + Send + 'static,
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut connections = Connections::default();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    connections.ready().await;
                    let (scrape, connecting) = (self.clone(), connect(stream));
                    connections.spawn(|connection| async move {
                        if let Some(io) = connecting.await {
                            scrape.answer_on(io, connection).await;
                        }
                    });
                }
                Err(error) if is_client_error(&error) => {}
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    async fn answer_on<IO>(self, stream: IO, connection: Arc<Connection>)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(async |request: Request<Incoming>| {
            let _busy = connection.busy();
            Ok::<_, Infallible>(self.answer(request.method(), request.uri().path()).await)
        });
        let served = http1::Builder::new()
            // `Connection` has the timeouts.
            .header_read_timeout(None)
            // A client may close its side before the answer.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        // After an error there is no client left to report it to.
        let _ = served.await;
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
            Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "rendering failed\n"),
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Whether only this connection failed before it was accepted.
fn is_client_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
