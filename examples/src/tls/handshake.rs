//! The handshakes of the server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_rustls::server::TlsStream;
use tonic_tls_reload::{HandshakeFailure, ServerTls};

use super::failures::Failures;

/// TLS of the server, with the newest good files. A clone shares them.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(super) server: ServerTls,
    failures: Arc<Failures>,
}

impl Tls {
    pub(super) fn new(server: ServerTls) -> Self {
        Self { server, failures: Arc::default() }
    }

    /// The handshake of a connection for gRPC; `None` if it fails, which is reported here.
    pub(crate) async fn accept(
        &self,
        tcp: TcpStream,
        limit: Duration,
    ) -> Option<TlsStream<TcpStream>> {
        let peer = tcp.peer_addr().ok();
        match self.server.accept(tcp, limit).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                self.failures.report(peer, error.failure(), &error);
                None
            }
        }
    }

    /// The handshake of a connection for metrics, which are served over HTTP/1. The caller limits its time.
    pub(crate) async fn accept_http1(&self, tcp: TcpStream) -> Option<TlsStream<TcpStream>> {
        let peer = tcp.peer_addr().ok();
        let mut config = ServerConfig::clone(&self.server.config());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each connection is verified: Prometheus makes few.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        match TlsAcceptor::from(Arc::new(config)).accept(tcp).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                self.failures.report(peer, failure_of(&error), &error);
                None
            }
        }
    }
}

/// As that of the handshakes for gRPC.
fn failure_of(error: &io::Error) -> HandshakeFailure {
    use tokio_rustls::rustls::Error::{InvalidCertificate, NoCertificatesPresented};

    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<tokio_rustls::rustls::Error>());
    match tls {
        Some(InvalidCertificate(_) | NoCertificatesPresented) => HandshakeFailure::Certificate,
        Some(_) => HandshakeFailure::Protocol,
        None => HandshakeFailure::Connection,
    }
}
