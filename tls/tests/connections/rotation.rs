//! Certificates, keys and client CAs are replaced while a server serves and clients call, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::service::Routes;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming, TlsConnectInfo};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Server};
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_tls_reload::{ConnectionAge, ServerTls, client_certificates};

use crate::support::{Ca, Identity, Secret, server};

/// Serves on a free port of loopback.
fn serve(tls: &ServerTls) -> SocketAddr {
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = incoming.local_addr().unwrap();
    let routes = Server::builder().add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(routes.serve_with_incoming(tls.incoming(incoming)));
    address
}

/// tonic's own client.
fn endpoint(address: SocketAddr, cas: &[&Ca], client: &Identity) -> Endpoint {
    let roots = cas.iter().map(|ca| Certificate::from_pem(&ca.pem));
    let identity = tonic::transport::Identity::from_pem(&client.certificate, &client.key);
    let tls = ClientTlsConfig::new().ca_certificates(roots).identity(identity);
    let endpoint = Endpoint::from_shared(format!("https://localhost:{}", address.port())).unwrap();
    endpoint.tls_config(tls).unwrap()
}

async fn call(channel: Channel) -> Result<(), tonic::Status> {
    KindsClient::new(channel).unary(Ask::default()).await.map(|_| ())
}

/// Calls all the time, and counts. A call that fails is a panic of the task.
struct Load {
    count: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn new<F>(call: impl Fn() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let (counter, count) = watch::channel(0);
        let task = tokio::spawn(async move {
            while !counter.is_closed() {
                call().await;
                counter.send_modify(|count| *count += 1);
            }
        });
        Self { count, task }
    }

    /// Waits for two more calls: one of them has begun since.
    async fn go_on(&mut self) {
        let now = *self.count.borrow();
        self.count.wait_for(|count| *count >= now + 2).await.expect("no call fails");
    }

    async fn stop(self) -> u64 {
        let count = *self.count.borrow();
        drop(self.count);
        self.task.await.expect("no call fails");
        count
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_of_everything_under_load_loses_nothing() {
    let servers = [Ca::new("server 1"), Ca::new("server 2")];
    let clients = [Ca::new("client 1"), Ca::new("client 2")];
    let [old_client, new_client] = clients.each_ref().map(|ca| ca.client(&[]));
    let secret = Secret::new(&servers[0].server(), &[&clients[0]]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    let address = serve(&tls);
    let old = endpoint(address, &servers.each_ref(), &old_client);
    let new = endpoint(address, &servers.each_ref(), &new_client);

    let channel = old.connect().await.unwrap();
    let (asks, receiver) = mpsc::channel(1);
    let ask = || Ask { notes: 1, ..Ask::default() };
    asks.send(ask()).await.unwrap();
    let mut kinds = KindsClient::new(channel.clone());
    let stream = kinds.bidi_stream(ReceiverStream::new(receiver)).await;
    let mut stream = stream.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();

    let mut loads = vec![{
        let channel = channel.clone();
        Load::new(move || {
            let channel = channel.clone();
            async move { call(channel).await.unwrap() }
        })
    }];
    for _ in 0..2 {
        let old = old.clone();
        loads.push(Load::new(move || {
            let old = old.clone();
            async move { call(old.connect().await.unwrap()).await.unwrap() }
        }));
    }
    for round in 0..6 {
        let cas: &[&Ca] = if round % 2 == 0 { &[&clients[0], &clients[1]] } else { &[&clients[0]] };
        secret.replace(&servers[(round + 1) % 2].server(), cas);
        assert_eq!(tls.reload().await, Ok(true));
        for load in &mut loads {
            load.go_on().await;
        }
    }
    for load in loads {
        assert!(load.stop().await >= 12);
    }

    // The CA of the old client is withdrawn: its new connections fail, and those that exist go on.
    secret.replace(&servers[1].server(), &[&clients[1]]);
    assert_eq!(tls.reload().await, Ok(true));
    let refused = async { call(old.connect().await.map_err(|_| ())?).await.map_err(|_| ()) };
    assert_eq!(refused.await, Err(()));
    call(new.connect().await.unwrap()).await.unwrap();
    call(channel).await.unwrap();
    asks.send(ask()).await.unwrap();
    stream.message().await.unwrap().unwrap();
    drop(asks);
    assert_eq!(stream.message().await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sockets_that_never_finish_a_handshake_delay_nobody() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    let address = serve(&tls);
    let mut stuck = Vec::new();
    for _ in 0..1000 {
        stuck.push(TcpStream::connect(address).await.unwrap());
    }
    let channel = endpoint(address, &[&ca], &ca.client(&[])).connect().await.unwrap();
    call(channel).await.unwrap();
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_the_certificates_and_the_address_of_its_client() {
    for ages in [false, true] {
        has_the_certificates_and_the_address(ages).await;
    }
}

async fn has_the_certificates_and_the_address(ages: bool) {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = incoming.local_addr().unwrap();
    let (seen, mut infos) = mpsc::unbounded_channel();
    let look = move |request: Request<()>| {
        let tls = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
        let inner = tls.and_then(|tls| tls.get_ref().remote_addr());
        let certificates = request.peer_certs().map(|certificates| certificates.len());
        let ours = client_certificates(request.extensions());
        assert_eq!(ours, request.peer_certs());
        let peer = tonic_call::Peer::of(request.extensions()).and_then(|peer| peer.socket_addr());
        seen.send((inner, certificates, peer, request.remote_addr())).unwrap();
        Ok(request)
    };
    let service = KindsServer::with_interceptor(KindsService::default(), look);
    let incoming = tls.incoming(incoming);
    if ages {
        let age = ConnectionAge::after(Duration::from_secs(3600));
        let routes = Routes::new(service);
        tokio::spawn(age.serve(Server::builder(), routes, incoming, std::future::pending()));
    } else {
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
    }
    let endpoint = Arc::new(endpoint(address, &[&ca], &ca.client(&[])));
    call(endpoint.connect().await.unwrap()).await.unwrap();
    let (inner, certificates, peer, remote) = infos.recv().await.unwrap();
    assert_eq!(certificates, Some(1));
    assert!(inner.is_some_and(|inner| inner.ip().is_loopback()));
    assert_eq!((peer, remote), (inner, inner));
}
