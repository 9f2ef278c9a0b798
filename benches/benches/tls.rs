//! Handshakes per second, new ones and those of resumed sessions, and the throughput over one connection, of
//! `tonic-tls-reload` compared with tonic's own TLS in the same rounds. Over loopback, server and client on one thread, whose CPU time is measured.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};
use tonic::transport::Channel;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_layers_benches::{Certificates, Tls, quantile};

const ROUNDS: usize = 101;
/// Handshakes in a round. Each leaves a port that cannot be used again for a minute.
const HANDSHAKES: usize = 50;
/// The number of concurrent calls.
const AT_ONCE: usize = 64;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let certificates = Certificates::issue();
        handshakes(&certificates).await;
        throughput(&certificates, "empty requests", 1_280, 0).await;
        throughput(&certificates, "requests of 64 KiB", 128, 64 * 1024).await;
    });
}

/// The CPU time that this thread has used.
fn used() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().expect("it is not negative")
}

/// Prints a line: the rate of the second, and its ratio to that of the first, which is measured beside it.
fn print(name: &str, each: usize, rounds: &[(Duration, Duration)]) {
    let rate = |took: Duration| each as f64 / took.as_secs_f64();
    let median = |of: &dyn Fn(Duration, Duration) -> f64| {
        quantile(rounds.iter().map(|(beside, took)| of(*beside, *took)).collect(), 0.5)
    };
    let per_second = median(&|_, took| rate(took));
    let ratio = median(&|beside, took| beside.as_secs_f64() / took.as_secs_f64() * 100.0);
    println!("{name:<48}{per_second:>12.0}{ratio:>16.1} %");
}

async fn handshakes(certificates: &Certificates) {
    println!("\n{:<48}{:>12}{:>18}", "handshakes", "a second", "of tonic's");
    for mutual in [false, true] {
        for resumed in [false, true] {
            let tonic = Target::new(certificates, Tls::Tonic, mutual, resumed);
            let ours = Target::new(certificates, Tls::Reloading, mutual, resumed);
            let mut rounds = Vec::new();
            tonic.round().await;
            ours.round().await;
            for round in 0..ROUNDS {
                // Neither is always the second one.
                rounds.push(if round % 2 == 0 {
                    (tonic.round().await, ours.round().await)
                } else {
                    let took = ours.round().await;
                    (tonic.round().await, took)
                });
            }
            let which = if resumed { "resumed" } else { "new" };
            let certificates = if mutual { ", client certificate" } else { "" };
            print(&format!("{which}{certificates}"), HANDSHAKES, &rounds);
        }
    }
}

/// A server, and the client's configuration with its sessions.
struct Target {
    port: u16,
    config: Arc<ClientConfig>,
    resumed: bool,
}

impl Target {
    fn new(certificates: &Certificates, tls: Tls, mutual: bool, resumed: bool) -> Self {
        let port = certificates.serve(tls, mutual);
        let mut config = ClientConfig::clone(&certificates.client().config());
        if !resumed {
            config.resumption = Resumption::disabled();
        }
        Self { port, config: Arc::new(config), resumed }
    }

    async fn round(&self) -> Duration {
        let start = used();
        let mut kinds = Vec::with_capacity(HANDSHAKES);
        for _ in 0..HANDSHAKES {
            kinds.push(self.handshake().await);
        }
        let took = used() - start;
        // The first handshake of all begins the session.
        let expected = if self.resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
        assert!(kinds.iter().skip(1).all(|kind| *kind == Some(expected)));
        took
    }

    async fn handshake(&self) -> Option<HandshakeKind> {
        let io = TcpStream::connect(("127.0.0.1", self.port)).await.expect("it listens");
        io.set_nodelay(true).expect("it is a TCP connection");
        let name = "localhost".try_into().expect("a name");
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let mut stream = connector.connect(name, io).await.expect("it answers");
        // The first byte of HTTP/2, which comes after the session's tickets.
        stream.read_u8().await.expect("the server begins");
        stream.get_ref().1.handshake_kind()
    }
}

async fn throughput(certificates: &Certificates, what: &str, calls: usize, length: usize) {
    let title = format!("unary calls, {AT_ONCE} at once, {what}");
    println!("\n{title:<48}{:>12}{:>18}", "a second", "of tonic's");
    let port = certificates.serve(Tls::Tonic, false);
    let beside = certificates.connect(Tls::Tonic, port).await;
    for (name, server, client) in [
        ("tonic's own", Tls::Tonic, Tls::Tonic),
        ("server of tonic-tls-reload", Tls::Reloading, Tls::Tonic),
        ("the same with an age of connections", Tls::Aged, Tls::Tonic),
        ("the same with a grace", Tls::AgedWithGrace, Tls::Tonic),
        ("client of tonic-tls-reload", Tls::Tonic, Tls::Reloading),
    ] {
        let port = certificates.serve(server, false);
        let channel = certificates.connect(client, port).await;
        round(&channel, calls, length).await;
        let mut rounds = Vec::new();
        for number in 0..ROUNDS {
            rounds.push(if number % 2 == 0 {
                let tonic = round(&beside, calls, length).await;
                (tonic, round(&channel, calls, length).await)
            } else {
                let took = round(&channel, calls, length).await;
                (round(&beside, calls, length).await, took)
            });
        }
        print(name, calls, &rounds);
    }
}

async fn round(channel: &Channel, calls: usize, length: usize) -> Duration {
    let start = used();
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let mut kinds = KindsClient::new(channel.clone());
        callers.spawn(async move {
            for _ in 0..calls / AT_ONCE {
                let ask = Ask { text: "x".repeat(length), ..Ask::default() };
                kinds.unary(ask).await.expect("it answers");
            }
        });
    }
    callers.join_all().await;
    used() - start
}
