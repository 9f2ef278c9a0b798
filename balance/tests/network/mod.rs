//! A network in memory, whose servers do as the test says.
// Not every test uses all of it.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, copy_bidirectional, duplex};
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tonic::service::Routes;
use tonic::transport::{Endpoint, Server};
use tonic_balance::Address;
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_health::server::{HealthReporter, health_reporter};
use tower::util::MapRequestLayer;
use tower_service::Service;

/// What happens to those who connect to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// A gRPC server answers.
    Serves,
    /// The same, but runs one call at a time.
    ServesOneAtATime,
    /// The connection is refused.
    Refuses,
    /// The attempt never ends.
    Hangs,
    /// The connection is accepted, and nothing is sent.
    IsSilent,
    /// SETTINGS are sent, and the connection is closed.
    Greets,
    /// SETTINGS are sent, and the connection is closed 0.1 s later.
    ClosesSoon,
    /// GOAWAY is sent for the first request, which was not processed.
    SendsGoaway,
    /// `REFUSED_STREAM` is sent for the first request.
    RefusesStreams,
    /// The connector panics.
    Panics,
}

#[derive(Clone, Default)]
pub struct Network(Arc<Mutex<BTreeMap<Address, Host>>>);

#[derive(Default)]
struct Host {
    server: Option<Behaviour>,
    attempts: Vec<Instant>,
    calls: usize,
    authorities: Vec<String>,
    timeouts: Vec<Duration>,
    wires: Vec<AbortHandle>,
    drain: watch::Sender<bool>,
    service: KindsService,
    /// Also served.
    health: Option<Routes>,
}

/// The address with this number.
pub fn address(number: u8) -> Address {
    format!("10.0.0.{number}:50051").parse().unwrap()
}

pub fn addresses(count: u8) -> Vec<Address> {
    (1..=count).map(address).collect()
}

/// An endpoint whose name is resolved by nobody.
pub fn endpoint() -> Endpoint {
    Endpoint::from_static("http://orders.svc:50051")
}

impl Network {
    /// A network in which these addresses serve.
    pub fn serving(count: u8) -> Self {
        let network = Self::default();
        for address in addresses(count) {
            network.set(&address, Behaviour::Serves);
        }
        network
    }

    pub fn set(&self, address: &Address, server: Behaviour) {
        self.host(address, |host| host.server = Some(server));
    }

    /// The times at which somebody has tried to connect.
    pub fn attempts(&self, address: &Address) -> Vec<Instant> {
        self.host(address, |host| host.attempts.clone())
    }

    /// The number of calls that have reached the server.
    pub fn calls(&self, address: &Address) -> usize {
        self.host(address, |host| host.calls)
    }

    pub fn authorities(&self, address: &Address) -> Vec<String> {
        self.host(address, |host| host.authorities.clone())
    }

    /// What the calls have said of their deadlines.
    pub fn timeouts(&self, address: &Address) -> Vec<Duration> {
        self.host(address, |host| host.timeouts.clone())
    }

    pub fn service(&self, address: &Address) -> KindsService {
        self.host(address, |host| host.service.clone())
    }

    /// The connections that are open.
    pub fn open(&self, address: &Address) -> usize {
        self.host(address, |host| host.wires.iter().filter(|wire| !wire.is_finished()).count())
    }

    /// Cuts all connections.
    pub fn cut(&self, address: &Address) {
        self.host(address, |host| host.wires.drain(..).for_each(|wire| wire.abort()));
    }

    /// Shuts the servers of all connections down, as a server does that is stopped.
    pub fn drain(&self, address: &Address) {
        self.host(address, |host| host.drain.send_replace(true));
    }

    /// Adds a health service to the servers that start later.
    pub fn health(&self, address: &Address) -> HealthReporter {
        let (reporter, health) = health_reporter();
        self.also_serves(address, Routes::new(health));
        reporter
    }

    /// Adds this health service to the servers that start later.
    pub fn also_serves(&self, address: &Address, health: Routes) {
        self.host(address, |host| host.health = Some(health));
    }

    pub fn connector(
        &self,
    ) -> impl Service<
        Address,
        Response = TokioIo<DuplexStream>,
        Error = io::Error,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static {
        let network = self.clone();
        tower::service_fn(move |address| {
            let network = network.clone();
            async move { network.connect(address).await }
        })
    }

    async fn connect(&self, address: Address) -> io::Result<TokioIo<DuplexStream>> {
        let server = self.host(&address, |host| {
            host.attempts.push(Instant::now());
            host.server.unwrap_or(Behaviour::Refuses)
        });
        match server {
            Behaviour::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
            Behaviour::Hangs => std::future::pending().await,
            Behaviour::Panics => panic!("in a connector, on purpose"),
            _ => {}
        }
        let (client, mut near) = duplex(1 << 16);
        let (mut far, end) = duplex(1 << 16);
        let (is_open, ended) = oneshot::channel::<()>();
        let wire = tokio::spawn(async move {
            let _is_open = is_open;
            copy_bidirectional(&mut near, &mut far).await
        });
        self.host(&address, |host| host.wires.push(wire.abort_handle()));
        match server {
            Behaviour::Serves => self.serve(&address, end, ended, None),
            Behaviour::ServesOneAtATime => self.serve(&address, end, ended, Some(1)),
            _ => drop(tokio::spawn(raw(server, end))),
        }
        Ok(TokioIo::new(client))
    }

    fn serve(
        &self,
        address: &Address,
        end: DuplexStream,
        ended: oneshot::Receiver<()>,
        max_streams: Option<u32>,
    ) {
        let (mut drain, routes) = self.host(address, |host| {
            let kinds = KindsServer::new(host.service.clone());
            let routes = host.health.clone().unwrap_or_default().add_service(kinds);
            (host.drain.subscribe(), routes)
        });
        let (network, at) = (self.clone(), address.clone());
        let count = MapRequestLayer::new(move |request: http::Request<_>| {
            let authority = request.uri().authority().map(ToString::to_string);
            let is_health = request.uri().path().starts_with("/grpc.health");
            network.host(&at, |host| {
                host.calls += usize::from(!is_health);
                host.authorities.extend(authority);
                host.timeouts.extend(tonic_call::timeout_of(request.headers()).unwrap());
            });
            request
        });
        tokio::spawn(async move {
            Server::builder()
                .max_concurrent_streams(max_streams)
                .layer(count)
                .add_routes(routes)
                .serve_with_incoming_shutdown(
                    // A server stops at the end of its incoming connections.
                    tokio_stream::once(io::Result::Ok(end)).chain(tokio_stream::pending()),
                    async move {
                        tokio::select! {
                            _ = drain.wait_for(|drain| *drain) => {}
                            _ = ended => {}
                        }
                    },
                )
                .await
        });
    }

    fn host<T>(&self, address: &Address, look: impl FnOnce(&mut Host) -> T) -> T {
        look(self.0.lock().unwrap().entry(address.clone()).or_default())
    }
}

const PREFACE: usize = 24;
const HEADERS: u8 = 1;

/// A server that speaks just enough HTTP/2.
async fn raw(server: Behaviour, mut end: DuplexStream) -> io::Result<()> {
    let mut preface = [0; PREFACE];
    end.read_exact(&mut preface).await?;
    if server == Behaviour::IsSilent {
        return tokio::io::copy(&mut end, &mut tokio::io::sink()).await.map(drop);
    }
    end.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await?;
    if server == Behaviour::Greets {
        return Ok(());
    }
    if server == Behaviour::ClosesSoon {
        tokio::time::sleep(Duration::from_millis(100)).await;
        return Ok(());
    }
    loop {
        let mut header = [0; 9];
        end.read_exact(&mut header).await?;
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        end.read_exact(&mut payload).await?;
        if header[3] != HEADERS {
            continue;
        }
        let stream = &header[5..];
        let answer = match server {
            // No stream was processed, and no error.
            Behaviour::SendsGoaway => [&[0, 0, 8, 7, 0, 0, 0, 0, 0][..], &[0; 8]].concat(),
            // RST_STREAM with REFUSED_STREAM.
            _ => [&[0, 0, 4, 3, 0], stream, &[0, 0, 0, 7]].concat(),
        };
        end.write_all(&answer).await?;
    }
}
