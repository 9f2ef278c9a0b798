//! Connections that end at their age. In memory, with a paused clock: nothing but time is waited for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_call::{EndedBy, ObserveLayer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KindsService, Recorder, ask};
use tonic_tls_reload::{ConnectionAge, OpenCalls};
use tower::util::MapRequestLayer;
use tower::{Layer as _, service_fn};

/// A server that ages its connections, and a client that connects as often as it must.
struct Aging {
    channel: Channel,
    /// How many connections there were.
    connections: watch::Receiver<usize>,
    service: KindsService,
    recorder: Recorder,
    shutdown: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    /// As long as it lives, the incoming goes on.
    arrivals: mpsc::UnboundedSender<io::Result<DuplexStream>>,
    /// Held by the layers of each connection.
    held: Arc<()>,
}

impl Aging {
    fn new(age: ConnectionAge) -> Self {
        let (arrivals, incoming) = mpsc::unbounded_channel();
        let (counter, connections) = watch::channel(0);
        let to_server: mpsc::UnboundedSender<io::Result<_>> = arrivals.clone();
        let connector = service_fn(move |_| {
            let (ours, theirs) = duplex(16 * 1024);
            counter.send_modify(|count| *count += 1);
            let accepted = to_server.send(Ok(ours));
            let refused = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
            std::future::ready(accepted.map(|()| TokioIo::new(theirs)).map_err(refused))
        });
        let endpoint = Endpoint::from_static("http://localhost");
        let channel = endpoint.connect_with_connector_lazy(connector);
        let (service, recorder) = (KindsService::default(), Recorder::new());
        let routes = Routes::new(KindsServer::new(service.clone()));
        let held = Arc::new(());
        let hold = Arc::clone(&held);
        let holding = MapRequestLayer::new(move |request: http::Request<Body>| {
            let _held = &hold;
            request
        });
        let server = Server::builder().layer(holding).layer(ObserveLayer::server(recorder.clone()));
        let (shutdown, stop) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let stop = async { stop.await.unwrap_or_default() };
            age.serve(server, routes, UnboundedReceiverStream::new(incoming), stop).await;
        });
        Self { channel, connections, service, recorder, shutdown, serving, arrivals, held }
    }

    fn client(&self) -> KindsClient<Channel> {
        KindsClient::new(self.channel.clone())
    }

    fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    async fn call(&self) {
        self.client().unary(Ask::default()).await.unwrap();
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

#[tokio::test(start_paused = true)]
async fn at_its_age_a_connection_takes_no_more_calls_and_its_watch_lives() {
    let aging = Aging::new(ConnectionAge::after(minutes(30)));
    let (asks, receiver) = mpsc::channel(1);
    let one = || ask(Act::Unspecified, 1);
    asks.send(one()).await.unwrap();
    let mut client = aging.client();
    let watch = client.bidi_stream(ReceiverStream::new(receiver)).await.unwrap();
    let mut watch = watch.into_inner();
    watch.message().await.unwrap().unwrap();

    sleep(minutes(26)).await;
    aging.call().await;
    assert_eq!(aging.connections(), 1, "it is too young");
    sleep(minutes(8)).await;
    // A tonic channel that has an open stream learns of the GOAWAY by a call that it does not send.
    if let Err(unsent) = aging.client().unary(Ask::default()).await {
        assert_eq!(unsent.message(), "operation was canceled");
        aging.call().await;
    }
    assert_eq!(aging.connections(), 2, "it is at its age");
    sleep(minutes(24 * 60)).await;
    asks.send(one()).await.unwrap();
    watch.message().await.unwrap().unwrap();
    drop(asks);
    assert_eq!(watch.message().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_the_rest_is_ended_by_the_server() {
    let aging = Aging::new(ConnectionAge::after(minutes(30)).grace(minutes(5)));
    let begin = Instant::now();
    let mut watch = aging.client().server_stream(ask(Act::Hang, 1)).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    let status = watch.message().await.unwrap_err();
    let expected = (Code::Unavailable, "the connection has reached its age");
    assert_eq!((status.code(), status.message()), expected);
    let age = begin.elapsed();
    assert!(minutes(27 + 5) <= age && age <= minutes(33 + 5) + Duration::from_secs(1), "{age:?}");
    aging.service.until_alive(0).await;
    let call = aging.recorder.only();
    assert_eq!((call.code, call.by), (Code::Unavailable, EndedBy::Server));
    aging.call().await;
    assert_eq!(aging.connections(), 2);
}

/// Guards against: a caller that reads nothing leaves no room for the status, and keeps its connection for ever.
#[tokio::test(start_paused = true)]
async fn after_the_grace_a_caller_that_reads_nothing_loses_its_connection() {
    let aging = Aging::new(ConnectionAge::after(minutes(30)).grace(minutes(5)));
    let begin = Instant::now();
    let text = "x".repeat(1000);
    let endless = Ask { notes: u32::MAX, text, ..Ask::default() };
    let unread = aging.client().server_stream(endless).await.unwrap();
    aging.service.until_alive(0).await;
    let handler = begin.elapsed();
    assert!(minutes(27 + 5) <= handler && handler <= minutes(33 + 5) + Duration::from_secs(1));
    // The server can stop, so the connection is gone.
    aging.shutdown.send(()).unwrap();
    aging.serving.await.unwrap();
    assert_eq!((begin.elapsed() - handler).as_secs(), 5);
    assert_eq!(aging.recorder.only().by, EndedBy::Server);
    drop(unread);
}

/// A call that crosses a GOAWAY may fail, with any server; then the server has not seen it, and it can be repeated.
#[tokio::test(start_paused = true)]
async fn no_call_that_the_server_has_seen_is_lost_while_connections_age() {
    let aging = Aging::new(ConnectionAge::after(Duration::from_secs(1)).grace(minutes(1)));
    let mut answered = 0;
    for _ in 0..2000 {
        answered += usize::from(aging.client().unary(Ask::default()).await.is_ok());
        sleep(Duration::from_millis(5)).await;
    }
    assert!((9..=12).contains(&aging.connections()), "{}", aging.connections());
    assert_eq!(answered, aging.recorder.until_ended(answered).await.len());
    assert_eq!(answered, aging.recorder.begun());
    assert!(answered >= 2000 - aging.connections(), "{answered}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_waits_for_its_last_call() {
    let aging = Aging::new(ConnectionAge::after(minutes(30)));
    let (asks, receiver) = mpsc::channel(1);
    asks.send(ask(Act::Unspecified, 1)).await.unwrap();
    let mut client = aging.client();
    let stream = client.bidi_stream(ReceiverStream::new(receiver)).await.unwrap();
    let mut stream = stream.into_inner();
    stream.message().await.unwrap().unwrap();
    aging.shutdown.send(()).unwrap();
    sleep(minutes(60)).await;
    assert!(!aging.serving.is_finished());
    drop(asks);
    assert_eq!(stream.message().await.unwrap(), None);
    aging.serving.await.unwrap();
}

/// Guards against: the server of a connection waits for the age of a connection that is gone.
#[tokio::test(start_paused = true)]
async fn a_connection_that_its_client_closes_is_over_at_once() {
    let aging = Aging::new(ConnectionAge::after(minutes(30)).grace(minutes(5)));
    let without = Arc::strong_count(&aging.held);
    aging.call().await;
    assert!(Arc::strong_count(&aging.held) > without);
    drop(aging.channel);
    let over = async {
        while Arc::strong_count(&aging.held) > without {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(1), over).await.expect("the connection is over");
    assert!(!aging.serving.is_finished());
}

/// Guards against: a client that connects and never begins HTTP/2.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_call_is_closed_at_its_age() {
    let aging = Aging::new(ConnectionAge::after(minutes(30)));
    let (ours, mut silent) = duplex(1024);
    aging.arrivals.send(Ok(ours)).unwrap();
    let begin = Instant::now();
    let closed = timeout(minutes(60), silent.read_to_end(&mut Vec::new())).await;
    closed.expect("the connection is closed").unwrap();
    let age = begin.elapsed();
    assert!(minutes(27) <= age && age <= minutes(33) + Duration::from_secs(6), "{age:?}");
}

/// Guards against: a client that connects and never begins HTTP/2 delays the end of a server for ever.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_call_does_not_delay_a_shutdown() {
    let aging = Aging::new(ConnectionAge::after(minutes(30)));
    let (ours, mut silent) = duplex(1024);
    aging.arrivals.send(Ok(ours)).unwrap();
    silent.write_all(b"PRI * HTTP/2.0").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    aging.shutdown.send(()).unwrap();
    let begin = Instant::now();
    aging.serving.await.unwrap();
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn open_calls_end_together_and_so_does_each_later_one() {
    let (calls, service) = (OpenCalls::default(), KindsService::default());
    let mut client = KindsClient::new(calls.layer(KindsServer::new(service.clone())));
    let mut watch = client.server_stream(ask(Act::Hang, 1)).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();
    client.unary(Ask::default()).await.unwrap();
    assert_eq!(calls.end_all(), 1, "the other one has ended");
    service.until_alive(0).await;
    assert_eq!(watch.message().await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(client.unary(Ask::default()).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(calls.end_all(), 0);
}
