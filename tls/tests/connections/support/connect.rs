use std::io;
use std::sync::{Arc, Mutex};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::{TlsConnector, client, server};
use tokio_stream::StreamExt as _;
use tonic_tls_reload::{HandshakeFailure, ServerTls, ServerTlsBuilder};

use super::{Ca, Identity, Secret};

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

pub(crate) fn versions() -> [&'static SupportedProtocolVersion; 2] {
    [&TLS12, &TLS13]
}

/// A server with the certificate and key of a secret.
pub(crate) fn server(secret: &Secret) -> ServerTlsBuilder {
    ServerTls::from_files(secret.path("tls.crt"), secret.path("tls.key")).with_provider(provider())
}

/// A client of rustls, whose sessions can be resumed.
pub(crate) fn client_config(
    server_ca: &Ca,
    identity: Option<&Identity>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server_ca.pem.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some(identity) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Both ends of a connection.
pub(crate) struct Connection {
    pub(crate) server: server::TlsStream<DuplexStream>,
    pub(crate) client: client::TlsStream<DuplexStream>,
}

/// Connects a client to an incoming of the server, in memory.
pub(crate) async fn connect(
    tls: &ServerTls,
    config: &Arc<ClientConfig>,
) -> Result<Connection, HandshakeFailure> {
    let (ours, theirs) = duplex(64 * 1024);
    let failure = Arc::new(Mutex::new(None));
    let failed = Arc::clone(&failure);
    let mut incoming = tls
        .incoming(tokio_stream::iter([Ok::<_, io::Error>(ours)]))
        .on_failure(move |error| *failed.lock().unwrap() = Some(error.failure()));
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, theirs);
    let (server, client) = tokio::join!(incoming.next(), connecting);
    match server {
        Some(server) => {
            let (mut server, mut client) = (server.unwrap(), client.unwrap());
            // The client reads the session tickets with this.
            server.write_all(b"x").await.unwrap();
            server.flush().await.unwrap();
            client.read_exact(&mut [0]).await.unwrap();
            Ok(Connection { server, client })
        }
        None => Err(failure.lock().unwrap().expect("a failure is reported")),
    }
}
