//! A client whose certificate and trusted CAs are renewed, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server, Uri};
use tonic::{Code, Request};
use tonic_call::Encrypted;
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_tls_reload::{ClientTls, ClientTlsBuilder, ServerTls, TlsConnectError};
use tower::{ServiceExt as _, service_fn};

use crate::support::{self, Ca, Identity, Secret, provider, server};

/// What a server sees of each call: the certificate of the client.
type Seen = mpsc::UnboundedReceiver<Option<CertificateDer<'static>>>;

fn serve(tls: &ServerTls) -> (u16, Seen) {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let port = incoming.local_addr().unwrap().port();
    let (sender, seen) = mpsc::unbounded_channel();
    let look = move |request: Request<()>| {
        let certificates = request.peer_certs();
        sender.send(certificates.map(|certificates| certificates[0].clone())).unwrap();
        Ok(request)
    };
    let service = KindsServer::with_interceptor(KindsService::default(), look);
    let routes = Server::builder().add_service(service);
    tokio::spawn(routes.serve_with_incoming(tls.incoming(incoming)));
    (port, seen)
}

fn client(secret: &Secret) -> ClientTlsBuilder {
    ClientTls::from_files(secret.path("ca.crt"))
        .certificate(secret.path("tls.crt"), secret.path("tls.key"))
        .with_provider(provider())
}

async fn call(channel: Channel) -> Result<(), tonic::Status> {
    KindsClient::new(channel).unary(Ask::default()).await.map(|_| ())
}

/// The texts of an error and of its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| format!("{error}: ")).collect()
}

fn der(identity: &Identity) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_connections_present_the_renewed_certificate_and_old_ones_go_on() {
    let (server_ca, client_ca) = (Ca::new("server"), Ca::new("client"));
    let served = Secret::new(&server_ca.server(), &[&client_ca]);
    let tls = server(&served).client_ca(served.path("ca.crt")).build().unwrap();
    let (port, mut seen) = serve(&tls);
    let (first, second) = (client_ca.client(&[]), client_ca.client(&[]));
    let secret = Secret::new(&first, &[&server_ca]);
    let client = client(&secret).build().unwrap();
    let endpoint = client.endpoint(format!("https://localhost:{port}")).unwrap();

    let old = endpoint.connect().await.unwrap();
    call(old.clone()).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), Some(der(&first)));
    secret.replace(&second, &[&server_ca]);
    assert_eq!(client.reload().await, Ok(true));
    call(endpoint.connect_lazy()).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), Some(der(&second)));
    call(old).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), Some(der(&first)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewed_cas_decide_which_servers_are_trusted() {
    let (old, new, client_ca) = (Ca::new("old"), Ca::new("new"), Ca::new("client"));
    let served = Secret::new(&new.server(), &[&client_ca]);
    let (port, _seen) = serve(&server(&served).build().unwrap());
    let identity = client_ca.client(&[]);
    let secret = Secret::new(&identity, &[&old]);
    let client = client(&secret).build().unwrap();
    let endpoint = client.endpoint(format!("https://localhost:{port}")).unwrap();

    let refused = call(endpoint.connect_lazy()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    secret.replace(&identity, &[&old, &new]);
    assert_eq!(client.reload().await, Ok(true));
    call(endpoint.connect().await.unwrap()).await.unwrap();
    secret.write("ca.crt", "");
    client.reload().await.unwrap_err();
    call(endpoint.connect().await.unwrap()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_files_of_cas_are_trusted_together() {
    let (one, two) = (Ca::new("one"), Ca::new("two"));
    let served = Secret::new(&two.server(), &[&one]);
    let (port, mut seen) = serve(&server(&served).build().unwrap());
    served.write("two.pem", &two.pem);
    let client = ClientTls::from_files(served.path("ca.crt"))
        .server_ca(served.path("two.pem"))
        .with_provider(provider())
        .build()
        .unwrap();
    let endpoint = client.endpoint(format!("https://localhost:{port}")).unwrap();
    call(endpoint.connect().await.unwrap()).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_must_have_a_certificate_for_the_name() {
    let ca = Ca::new("ca");
    let served = Secret::new(&ca.server(), &[&ca]);
    let (port, _seen) = serve(&server(&served).build().unwrap());
    let client = client(&served).build().unwrap();
    let by_address = client.endpoint(format!("https://127.0.0.1:{port}")).unwrap();
    by_address.connect().await.unwrap_err();
    let named = by_address.server_name("localhost").unwrap();
    call(named.connect().await.unwrap()).await.unwrap();
    named.server_name("no name").unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_http_2_is_refused() {
    let ca = Ca::new("ca");
    let served = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&served).build().unwrap();
    let mut config = rustls::ServerConfig::clone(&tls.config());
    config.alpn_protocols.clear();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let mut incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let port = incoming.local_addr().unwrap().port();
    tokio::spawn(async move {
        let io = incoming.next().await.unwrap().unwrap();
        let _connection = acceptor.accept(io).await.unwrap();
        std::future::pending::<()>().await;
    });
    let client = client(&served).build().unwrap();
    let endpoint = client.endpoint(format!("https://localhost:{port}")).unwrap();
    let chain = chain(&endpoint.connect().await.unwrap_err());
    assert!(chain.contains("the server does not offer HTTP/2 (ALPN h2)"), "{chain}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_below_decides_where_to_connect_and_takes_addresses_of_its_own() {
    let ca = Ca::new("ca");
    let served = Secret::new(&ca.server(), &[&ca]);
    let (port, _seen) = serve(&server(&served).build().unwrap());
    let client = client(&served).build().unwrap();
    let endpoint = client.endpoint("https://localhost:1").unwrap();
    let below = service_fn(|address: SocketAddr| async move {
        TcpStream::connect(address).await.map(TokioIo::new)
    });
    let connector = endpoint.connector().over(below);
    // As a balancer does it.
    let to_address = service_fn(move |_: Uri| {
        connector.clone().oneshot(SocketAddr::from(([127, 0, 0, 1], port)))
    });
    call(endpoint.endpoint().connect_with_connector(to_address).await.unwrap()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_finish_its_handshake_is_given_up_after_ten_seconds() {
    let ca = Ca::new("ca");
    let client = client(&Secret::new(&ca.client(&[]), &[&ca])).build().unwrap();
    let (io, _silent) = tokio::io::duplex(1024);
    let mut io = Some(TokioIo::new(io));
    let below = service_fn(move |(): ()| std::future::ready(io.take().ok_or("only once")));
    let connector = client.endpoint("https://localhost").unwrap().connector().over(below);
    let begin = tokio::time::Instant::now();
    let error = connector.oneshot(()).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, TlsConnectError::Timeout), "{error}");
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_certificate_is_revoked_is_refused() {
    let ca = Ca::new("ca");
    let identity = ca.issue(|params| {
        params.subject_alt_names = vec![support::dns("localhost")];
        params.serial_number = Some(7_u64.into());
    });
    let secret = Secret::new(&identity, &[&ca]);
    let (port, _seen) = serve(&server(&secret).build().unwrap());
    secret.write("crl.pem", &ca.revokes(&[8]));
    let client = client(&secret).revocation_lists(secret.path("crl.pem")).build().unwrap();
    let endpoint = client.endpoint(format!("https://localhost:{port}")).unwrap();
    call(endpoint.connect().await.unwrap()).await.unwrap();
    secret.write("crl.pem", &ca.revokes(&[7]));
    assert_eq!(client.reload().await, Ok(true));
    let error = chain(&endpoint.connect().await.unwrap_err());
    assert!(error.ends_with("invalid peer certificate: Revoked: "), "{error}");
}

/// Guards against: a name in a certificate that looks like a line of the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_error_of_a_server_with_another_name_has_one_line() {
    let ca = Ca::new("ca");
    let identity = ca.issue(|params| {
        params.subject_alt_names =
            vec![support::dns("x\nERROR forged"), support::dns("\u{1b}[31m")];
    });
    let secret = Secret::new(&identity, &[&ca]);
    let (port, _seen) = serve(&server(&secret).build().unwrap());
    let client = client(&secret).build().unwrap();
    let endpoint = client.endpoint(format!("https://localhost:{port}")).unwrap();
    let error = chain(&endpoint.connect().await.unwrap_err());
    assert!(error.contains("not valid for name"), "{error}");
    assert!(error.contains("DnsName(\"x\\nERROR forged\")"), "{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
}

#[test]
fn an_endpoint_has_the_https_origin_and_is_a_proof_for_credentials() {
    fn proves(_: &impl Encrypted) {}

    let ca = Ca::new("ca");
    let client = client(&Secret::new(&ca.client(&[]), &[&ca])).build().unwrap();
    for (address, target) in [
        ("https://orders.example", "http://orders.example:443/"),
        ("https://orders.example:8443", "http://orders.example:8443/"),
        ("https://[::1]:8443", "http://[::1]:8443/"),
    ] {
        let endpoint = client.endpoint(address).unwrap();
        assert_eq!(endpoint.endpoint().uri().to_string(), target);
        proves(&endpoint);
    }
    for (address, error) in [
        ("http://orders.example", "the address does not begin with https://"),
        ("orders.example", "the address does not begin with https://"),
        ("https://orders example", "the address is not a URI"),
        ("https://_%", "the address is not a URI"),
    ] {
        assert_eq!(client.endpoint(address).unwrap_err().to_string(), error, "{address}");
    }
}
