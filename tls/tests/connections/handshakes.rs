//! Handshakes that take long, fail, or are many. In memory, with a paused clock: nothing but time is waited for.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic_call_test_kit::Lines;
use tonic_tls_reload::{HandshakeFailure, TlsIncoming};

use crate::support::{Ca, Secret, client_config, server, versions};

/// An incoming, and what comes into it.
struct Server {
    incoming: TlsIncoming<UnboundedReceiverStream<io::Result<DuplexStream>>, DuplexStream>,
    arrivals: UnboundedSender<io::Result<DuplexStream>>,
    failures: UnboundedReceiver<HandshakeFailure>,
    connector: TlsConnector,
}

impl Server {
    fn new() -> Self {
        let ca = Ca::new("ca");
        let secret = Secret::new(&ca.server(), &[&ca]);
        let tls = server(&secret).build().unwrap();
        let (arrivals, connections) = unbounded_channel();
        let (failed, failures) = unbounded_channel();
        let incoming = tls
            .incoming(UnboundedReceiverStream::new(connections))
            .on_failure(move |error| failed.send(error.failure()).unwrap());
        let connector = TlsConnector::from(Arc::new(client_config(&ca, None, &versions())));
        Self { incoming, arrivals, failures, connector }
    }

    /// A client that connects and then does nothing. It stays for as long as the result.
    fn stuck(&self) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        self.arrivals.send(Ok(ours)).unwrap();
        theirs
    }

    /// A client that does a handshake.
    fn good(&self) {
        let stream = self.stuck();
        let connector = self.connector.clone();
        tokio::spawn(async move {
            let name = ServerName::try_from("localhost").unwrap();
            let _connection = connector.connect(name, stream).await.unwrap();
            std::future::pending::<()>().await;
        });
    }

    /// Waits for a connection.
    async fn connected(&mut self) {
        let connected = timeout(Duration::from_secs(60), self.incoming.next()).await;
        connected.expect("a connection in time").unwrap().unwrap();
    }

    /// The failures until `count` of them are known.
    async fn failures(&mut self, count: usize) -> Vec<HandshakeFailure> {
        let mut failures = Vec::new();
        while failures.len() < count {
            tokio::select! {
                failure = self.failures.recv() => failures.extend(failure),
                connection = self.incoming.next() => panic!("{:?}", connection.is_some()),
            }
        }
        failures
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_connections_that_never_finish_a_handshake_delay_nobody() {
    let mut server = Server::new();
    let begin = Instant::now();
    let stuck: Vec<_> = (0..1000).map(|_| server.stuck()).collect();
    server.good();
    server.connected().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert!(server.failures.is_empty(), "nobody has to make room");
    assert_eq!(server.failures(1000).await, [HandshakeFailure::Timeout; 1000]);
    assert_eq!(begin.elapsed().as_secs(), 10);
    drop(stuck);
}

#[tokio::test(start_paused = true)]
async fn when_there_is_no_room_the_oldest_handshake_gives_way_after_two_seconds() {
    let mut server = Server::new();
    server.incoming = server.incoming.max_handshakes(3);
    let begin = Instant::now();
    let stuck: Vec<_> = (0..3).map(|_| server.stuck()).collect();
    server.good();
    server.connected().await;
    assert_eq!(begin.elapsed().as_secs(), 2);
    assert_eq!(server.failures.recv().await, Some(HandshakeFailure::Evicted));
    let timeout = HandshakeFailure::Timeout;
    assert_eq!(server.failures(2).await, [timeout, timeout]);
    assert_eq!(begin.elapsed().as_secs(), 10);
    drop(stuck);
}

/// Guards against: with more clients than room, each new one evicts one that is about to finish.
#[tokio::test(start_paused = true)]
async fn handshakes_that_go_on_are_not_evicted() {
    let mut server = Server::new();
    server.incoming = server.incoming.max_handshakes(2);
    (0..50).for_each(|_| server.good());
    for _ in 0..50 {
        server.connected().await;
    }
    assert!(server.failures.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_handshake_can_be_set() {
    let mut server = Server::new();
    server.incoming = server.incoming.handshake_timeout(Duration::from_secs(3));
    let begin = Instant::now();
    let _stuck = server.stuck();
    assert_eq!(server.failures(1).await, [HandshakeFailure::Timeout]);
    assert_eq!(begin.elapsed().as_secs(), 3);
}

/// Guards against: a limit that begins anew with each byte.
#[tokio::test(start_paused = true)]
async fn a_handshake_that_goes_on_byte_by_byte_may_take_no_longer() {
    let mut server = Server::new();
    let begin = Instant::now();
    let mut slow = server.stuck();
    tokio::spawn(async move {
        // The head of a record of 16 KiB, and its bytes, one in a second.
        let mut bytes = vec![0x16, 0x03, 0x01, 0x40, 0x00];
        bytes.resize(16 * 1024, 1);
        for byte in bytes {
            _ = slow.write_all(&[byte]).await;
            sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(server.failures(1).await, [HandshakeFailure::Timeout]);
    assert_eq!(begin.elapsed().as_secs(), 10);
}

/// The first bytes that a good client sends.
fn client_hello(name: &'static str) -> Vec<u8> {
    let config = Arc::new(client_config(&Ca::new("ca"), None, &versions()));
    let mut client = ClientConnection::new(config, name.try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// A hello whose server name is this one.
fn hello_for(name: &[u8; 9]) -> Vec<u8> {
    const INSTEAD_OF: &str = "localhost";
    let mut hello = client_hello(INSTEAD_OF);
    let at = hello.windows(9).position(|part| part == INSTEAD_OF.as_bytes()).unwrap();
    hello[at..at + 9].copy_from_slice(name);
    hello
}

#[tokio::test(start_paused = true)]
async fn what_is_no_good_handshake_fails_alone_and_writes_one_line() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let mut server = Server::new();
    let hello = client_hello("localhost");
    let cut = hello[..hello.len() / 2].to_vec();
    let mut extra = hello.clone();
    extra.extend(hello.clone());
    let mut alerts = Vec::new();
    (0..1000).for_each(|_| alerts.extend([0x15, 0x03, 0x03, 0, 2, 1, 90]));
    let attempts = [
        cut,
        extra,
        alerts,
        hello_for(b"a\nERROR b"),
        hello_for(b"\0\0\0\0\0\0\0\0\0"),
        hello_for(b"127.0.0.1"),
        hello_for(b"\xff\xfe\xff\xff\xff\xff\xff\xff\xff"),
        // Of SSL 2.
        vec![0x80, 0x2e, 0x01, 0x00, 0x02, 0x00, 0x15, 0x00, 0x00, 0x00, 0x10],
        vec![0x16, 0x03, 0x01, 0xff, 0xff],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        vec![0; 70_000],
        vec![],
    ];
    let count = attempts.len();
    for bytes in attempts {
        let mut client = server.stuck();
        tokio::spawn(async move {
            _ = client.write_all(&bytes).await;
            _ = client.shutdown().await;
            _ = client.read_to_end(&mut Vec::new()).await;
        });
        let failure = server.failures(1).await[0];
        let expected = [HandshakeFailure::Protocol, HandshakeFailure::Connection];
        assert!(expected.contains(&failure), "{failure}");
    }
    server.good();
    server.connected().await;
    let text = lines.text();
    let ours: Vec<_> = text.lines().filter(|line| line.contains("handshake failed")).collect();
    assert_eq!(ours.len(), count, "{text}");
    assert!(!text.lines().any(|line| line.starts_with("ERROR")), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_handshake_ends_nothing_but_itself_and_says_why() {
    let mut server = Server::new();
    drop(server.stuck());
    assert_eq!(server.failures(1).await, [HandshakeFailure::Connection]);
    let mut plain = server.stuck();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    assert_eq!(server.failures(1).await, [HandshakeFailure::Protocol]);
    server.good();
    server.connected().await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_accepting_is_waited_out() {
    let mut server = Server::new();
    let begin = Instant::now();
    server.arrivals.send(Err(ErrorKind::ConnectionReset.into())).unwrap();
    server.good();
    server.connected().await;
    assert_eq!(begin.elapsed(), Duration::ZERO, "that concerned one connection");
    server.arrivals.send(Err(io::Error::other("too many open files"))).unwrap();
    server.good();
    server.connected().await;
    assert_eq!(begin.elapsed().as_millis(), 100);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_connection_the_handshakes_under_way_still_succeed() {
    let mut server = Server::new();
    server.good();
    let (arrivals, _) = unbounded_channel();
    server.arrivals = arrivals;
    server.connected().await;
    assert!(server.incoming.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_incoming_ends_its_handshakes() {
    let mut server = Server::new();
    let mut stuck = server.stuck();
    let begun = timeout(Duration::from_secs(1), server.incoming.next()).await;
    assert!(begun.is_err(), "the handshake is under way");
    drop(server.incoming);
    assert_eq!(stuck.read(&mut [0]).await.unwrap(), 0);
}
