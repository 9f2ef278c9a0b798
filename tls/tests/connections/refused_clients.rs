//! What a client reads whose certificate is refused. Over real sockets: only these lose what was not read.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tonic_call_test_kit::listen;

use crate::support::{Ca, Secret, client_config, server};

/// Guards against: a connection that is reset because calls of the client were not read, so that it never learns why.
#[tokio::test]
async fn one_that_already_sends_reads_why_it_is_refused() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    let (incoming, endpoint) = listen();
    let address = endpoint.uri().authority().unwrap().to_string();
    let mut incoming = tls.incoming(incoming);
    tokio::spawn(async move { while incoming.next().await.is_some() {} });

    let config = Arc::new(client_config(&ca, None, &[&TLS13]));
    for _ in 0..20 {
        let tcp = TcpStream::connect(&address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::clone(&config)).connect(name, tcp);
        // For this side the handshake is over.
        let mut stream = connecting.await.unwrap();
        for _ in 0..50 {
            stream.write_all(&[0; 1024]).await.unwrap();
            // The server refuses it in the meantime.
            tokio::task::yield_now().await;
        }
        let refused = stream.read(&mut [0; 16]).await.unwrap_err();
        assert!(refused.to_string().contains("CertificateRequired"), "{refused}");
    }
}
