use std::time::{Duration, Instant};

use orders::connections::ConnectionLimits;
use orders::tls::{ClientCertificates, Tls, TlsFiles};
use orders::v1::GetOrderRequest;
use orders::v1::order_service_client::OrderServiceClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic_tls_reload::ClientTls;

use crate::common::certificates::Certificates;
use crate::common::server::Server;
use crate::common::soon;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3_600);

fn tls(certificates: &Certificates) -> Tls {
    let files = TlsFiles {
        certificate: certificates.path("server.crt").into(),
        key: certificates.path("server.key").into(),
        clients: ClientCertificates::Ignored,
    };
    files.load().unwrap()
}

async fn call(server: &Server, certificates: &Certificates) {
    let tls = ClientTls::from_files(certificates.path("ca.crt")).build().unwrap();
    let endpoint = tls.endpoint(format!("https://{}", server.address)).unwrap();
    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    let request = GetOrderRequest { id: "x".to_owned() };
    assert_eq!(soon(client.get_order(request)).await.unwrap_err().code(), Code::NotFound);
}

async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) {
    let mut heard = Vec::new();
    // An error closes it, too.
    while matches!(soon(stream.read_buf(&mut heard)).await, Ok(1..)) {}
}

#[tokio::test]
async fn one_that_does_not_finish_in_time_is_closed() {
    let certificates = Certificates::new();
    let connections = ConnectionLimits::default().preface_timeout(SHORT).idle_timeout(LONG);
    let server = Server::with_tls(connections, Some(tls(&certificates))).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    // The head of a handshake message.
    stuck.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    until_closed(&mut silent).await;
    until_closed(&mut stuck).await;
    assert!(began.elapsed() >= SHORT);
    // Nor may it be silent after its handshake.
    let client = ClientTls::from_files(certificates.path("ca.crt")).build().unwrap();
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let connecting =
        TlsConnector::from(client.config()).connect("localhost".try_into().unwrap(), tcp);
    until_closed(&mut connecting.await.unwrap()).await;
    call(&server, &certificates).await;
}

/// Guards against: thousands of handshakes that never finish, and keep all other clients out.
#[tokio::test]
async fn those_that_do_not_finish_give_way() {
    const AT_MOST: usize = 16;
    let certificates = Certificates::new();
    let connections = ConnectionLimits::default()
        .max_connections(AT_MOST)
        .preface_timeout(LONG)
        .idle_timeout(LONG);
    let server = Server::with_tls(connections, Some(tls(&certificates))).await;
    let mut silent = Vec::new();
    for _ in 0..10 * AT_MOST {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    call(&server, &certificates).await;
    for socket in &mut silent[..9 * AT_MOST] {
        until_closed(socket).await;
    }
}
