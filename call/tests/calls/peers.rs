//! The peer that a server sees on a real connection of each kind.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::Request;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::server::TlsStream;
use tokio_stream::StreamExt as _;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic_call::Peer;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, ask};
use tower::{Layer, Service};
use tower_layer::layer_fn;

/// The recorded peers.
type Seen = Arc<Mutex<Vec<Option<Peer>>>>;

#[derive(Clone)]
struct Sees<S> {
    inner: S,
    seen: Seen,
}

impl<S, B> Service<Request<B>> for Sees<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.seen.lock().unwrap().push(Peer::of(request.extensions()));
        self.inner.call(request)
    }
}

fn sees<S>(seen: &Seen) -> impl Layer<S, Service = Sees<S>> + Clone + use<S> {
    let seen = Arc::clone(seen);
    layer_fn(move |inner| Sees { inner, seen: Arc::clone(&seen) })
}

/// Serves incoming connections and records their peers.
fn serve<I, IO>(incoming: I) -> Seen
where
    I: tokio_stream::Stream<Item = std::io::Result<IO>> + Send + 'static,
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Connected + Unpin + Send + 'static,
{
    serve_by(Server::builder(), incoming)
}

fn serve_by<I, IO>(server: Server, incoming: I) -> Seen
where
    I: tokio_stream::Stream<Item = std::io::Result<IO>> + Send + 'static,
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Connected + Unpin + Send + 'static,
{
    let seen = Seen::default();
    let kinds = KindsServer::new(KindsService::default());
    let mut server = server.layer(sees(&seen));
    tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
    seen
}

/// The only peer, after one call.
async fn seen_by_one_call(seen: &Seen, channel: tonic::transport::Channel) -> Peer {
    KindsClient::new(channel).unary(ask(Act::Unspecified, 0)).await.unwrap();
    let seen = seen.lock().unwrap();
    let [Some(peer)] = &seen[..] else { panic!("{seen:?}") };
    peer.clone()
}

fn bind() -> (TcpIncoming, String) {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap().to_string();
    (incoming, address)
}

/// A certificate for `localhost`, and its key, as PEM.
fn certificate() -> (rcgen::CertifiedKey<rcgen::KeyPair>, Certificate, Identity) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = own.cert.pem();
    let identity = Identity::from_pem(&pem, own.signing_key.serialize_pem());
    (own, Certificate::from_pem(pem), identity)
}

fn over_tls(endpoint: Endpoint, certificate: Certificate) -> Endpoint {
    let tls = ClientTlsConfig::new().ca_certificate(certificate).domain_name("localhost");
    endpoint.tls_config(tls).unwrap()
}

/// An incoming that accepts TLS without tonic: tonic then provides the TCP info only inside the TLS info.
fn acceptor(own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key.into());
    let mut config = config.unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn over_tcp_the_peer_is_the_address_of_the_client() {
    let (incoming, address) = bind();
    let seen = serve(incoming);
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let peer = seen_by_one_call(&seen, channel.connect().await.unwrap()).await;
    let at = peer.socket_addr().unwrap();
    assert!(at.ip().is_loopback() && peer.ip() == Some(at.ip()), "{peer}");
    assert_eq!(peer.to_string(), at.to_string());
    assert_eq!(peer.address().unwrap().to_string(), "127.0.0.1");
}

#[tokio::test]
async fn over_tonics_tls_the_peer_is_the_address_of_the_client() {
    let (_, certificate, identity) = certificate();
    let (incoming, address) = bind();
    let server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity)).unwrap();
    let seen = serve_by(server, incoming);
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    let channel = over_tls(endpoint, certificate).connect().await.unwrap();
    let peer = seen_by_one_call(&seen, channel).await;
    assert!(peer.ip().unwrap().is_loopback(), "{peer}");
}

/// Guards against calls without an address behind a custom incoming with TLS.
#[tokio::test]
async fn over_tls_of_a_custom_incoming_the_peer_is_the_address_of_the_client() {
    let (own, certificate, _) = certificate();
    let acceptor = acceptor(&own);
    let (incoming, address) = bind();
    let incoming = incoming.then(move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream?).await as std::io::Result<TlsStream<TcpStream>> }
    });
    let seen = serve(incoming);
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap();
    let channel = over_tls(endpoint, certificate).connect().await.unwrap();
    let peer = seen_by_one_call(&seen, channel).await;
    assert!(peer.ip().unwrap().is_loopback(), "{peer}");
}

#[tokio::test]
async fn in_memory_there_is_no_peer() {
    let (client, server) = tokio::io::duplex(64 * 1024);
    let seen = serve(tokio_stream::once(Ok::<_, std::io::Error>(server)));
    let mut client = Some(hyper_util::rt::TokioIo::new(client));
    let connect = tower::service_fn(move |_| {
        let client = client.take();
        async move { client.ok_or(std::io::Error::other("there is one connection")) }
    });
    let endpoint = Endpoint::from_static("http://memory");
    let channel = endpoint.connect_with_connector(connect).await.unwrap();
    KindsClient::new(channel).unary(ask(Act::Unspecified, 0)).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), [None]);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn in_axums_server_the_peer_is_axums_connect_info() {
    use std::net::SocketAddr;

    use tokio::net::TcpListener;
    use tonic::service::Routes;

    let seen = Seen::default();
    let kinds = KindsServer::new(KindsService::default());
    let routes = Routes::new(kinds).into_axum_router().layer(sees(&seen));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, service).into_future());
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let peer = seen_by_one_call(&seen, endpoint.connect().await.unwrap()).await;
    assert!(peer.ip().unwrap().is_loopback(), "{peer}");
}

#[cfg(unix)]
mod unix {
    use std::path::Path;

    use hyper_util::rt::TokioIo;
    use tokio::net::{UnixListener, UnixSocket, UnixStream};
    use tokio_stream::wrappers::UnixListenerStream;
    use tonic::transport::Channel;

    use super::*;

    /// A connection from a socket with this name, or without a name.
    async fn connected(to: &Path, from: Option<&Path>) -> std::io::Result<UnixStream> {
        let socket = UnixSocket::new_stream()?;
        if let Some(from) = from {
            socket.bind(from)?;
        }
        socket.connect(to).await
    }

    async fn channel(endpoint: Endpoint, to: &Path, from: Option<&Path>) -> Channel {
        let (to, from) = (to.to_owned(), from.map(Path::to_owned));
        let connect = tower::service_fn(move |_| {
            let (to, from) = (to.clone(), from.clone());
            async move { connected(&to, from.as_deref()).await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connect).await.unwrap()
    }

    #[tokio::test]
    async fn over_a_unix_socket_the_peer_has_a_path_or_none_and_never_an_ip() {
        let folder = tempfile::tempdir().unwrap();
        let server = folder.path().join("orders.sock");
        let named = folder.path().join("a\nb.sock");
        for (from, shown) in [
            (None, None),
            (Some(&*named), Some(named.to_str().unwrap().replace('\n', "\\n"))),
            #[cfg(target_os = "linux")]
            (Some(Path::new("\0of-a-test-of-tonic-call")), {
                Some("@of-a-test-of-tonic-call".to_owned())
            }),
        ] {
            _ = std::fs::remove_file(&server);
            let listener = UnixListener::bind(&server).unwrap();
            let seen = serve(UnixListenerStream::new(listener));
            let channel = channel(Endpoint::from_static("http://unix"), &server, from).await;
            let peer = seen_by_one_call(&seen, channel).await;
            assert_eq!((peer.ip(), peer.socket_addr()), (None, None));
            let address = peer.address().map(|address| address.to_string());
            assert_eq!(address, shown);
            assert_eq!(peer.to_string(), format!("unix:{}", shown.unwrap_or_default()));
            let Peer::Unix(unix) = &peer else { panic!("{peer}") };
            assert_eq!(unix.path(), from.filter(|from| from.is_absolute()));
        }
    }

    #[tokio::test]
    async fn over_tls_on_a_unix_socket_the_peer_is_the_same() {
        let (own, certificate, _) = certificate();
        let acceptor = acceptor(&own);
        let folder = tempfile::tempdir().unwrap();
        let server = folder.path().join("orders.sock");
        let incoming = UnixListenerStream::new(UnixListener::bind(&server).unwrap());
        let seen =
            serve(
                incoming.then(move |stream| {
                    let acceptor = acceptor.clone();
                    async move {
                        acceptor.accept(stream?).await as std::io::Result<TlsStream<UnixStream>>
                    }
                }),
            );
        let endpoint = over_tls(Endpoint::from_static("https://localhost"), certificate);
        let peer = seen_by_one_call(&seen, channel(endpoint, &server, None).await).await;
        assert_eq!(peer.to_string(), "unix:");
    }
}
