//! Over a real socket, with tonic's own server and client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Status};
use tonic_call::{
    Call, Cut, CutBody, CutFuture, End, EndedBy, Flow, GrpcService, Message, Observe, ObserveLayer,
    Observer, Rpc, Side, code_of_error,
};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Ended, KindsService, Recorder, ask, listen};
use tower::{Layer, Service};

type Client = KindsClient<Observe<tonic::transport::Channel, Recorder>>;

/// A server and a client, both watched.
struct Pair {
    server: Recorder,
    client: Recorder,
    service: KindsService,
    kinds: Client,
}

async fn pair() -> Pair {
    let (server, client) = (Recorder::new(), Recorder::new());
    let service = KindsService::default();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(ObserveLayer::server(server.clone()))
            .add_service(KindsServer::new(service.clone()))
            .serve_with_incoming(incoming),
    );
    let channel = endpoint.connect().await.unwrap();
    let kinds = KindsClient::new(ObserveLayer::client(client.clone()).layer(channel));
    Pair { server, client, service, kinds }
}

fn asks(act: Act, notes: u32) -> impl tokio_stream::Stream<Item = Ask> {
    tokio_stream::iter([ask(act, notes), ask(act, notes), ask(act, notes)])
}

#[tokio::test]
async fn both_sides_see_the_same_calls_of_every_kind() {
    let Pair { server, client, mut kinds, .. } = pair().await;
    let act = Act::Unspecified;
    kinds.unary(ask(act, 0)).await.unwrap();
    kinds.client_stream(asks(act, 0)).await.unwrap();
    let mut notes = kinds.server_stream(ask(act, 3)).await.unwrap().into_inner();
    while notes.message().await.unwrap().is_some() {}
    let mut notes = kinds.bidi_stream(asks(act, 2)).await.unwrap().into_inner();
    while notes.message().await.unwrap().is_some() {}

    let names = ["Unary", "ClientStream", "ServerStream", "BidiStream"];
    let messages = [(1, 1), (3, 1), (1, 3), (3, 6)];
    for ended in [server.until_ended(4).await, client.until_ended(4).await] {
        for ((call, name), messages) in ended.iter().zip(names).zip(messages) {
            assert_eq!(call.rpc, format!("test.v1.Kinds/{name}"));
            assert_eq!((call.ended, call.code), (Ended::Status, Code::Ok), "{name}");
            assert_eq!((call.requests.len(), call.responses.len()), messages, "{name}");
        }
    }
}

#[tokio::test]
async fn both_sides_see_the_same_failures_of_every_kind() {
    let Pair { server, client, mut kinds, .. } = pair().await;
    let fails = Ask { code: Code::DataLoss as i32, ..ask(Act::Fail, 2) };
    kinds.unary(fails.clone()).await.unwrap_err();
    kinds.client_stream(tokio_stream::once(fails.clone())).await.unwrap_err();
    let mut notes = kinds.server_stream(fails.clone()).await.unwrap().into_inner();
    while let Ok(Some(_)) = notes.message().await {}
    let mut notes = kinds.bidi_stream(tokio_stream::once(fails)).await.unwrap().into_inner();
    while let Ok(Some(_)) = notes.message().await {}

    for ended in [server.until_ended(4).await, client.until_ended(4).await] {
        for (call, responses) in ended.iter().zip([0, 0, 2, 2]) {
            assert_eq!((call.ended, call.code), (Ended::Status, Code::DataLoss), "{call:?}");
            assert_eq!(call.responses.len(), responses);
        }
    }
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_on_both_sides() {
    let Pair { server, client, service, mut kinds } = pair().await;

    // Before the head.
    let mut other = kinds.clone();
    let call = tokio::spawn(async move { other.unary(ask(Act::Hang, 0)).await });
    service.until_alive(1).await;
    call.abort();
    service.until_alive(0).await;

    // In the stream.
    let mut notes = kinds.server_stream(ask(Act::Hang, 2)).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();
    notes.message().await.unwrap().unwrap();
    drop(notes);
    service.until_alive(0).await;

    // While the client still sends.
    let (sender, receiver) = mpsc::channel(1);
    let mut other = kinds.clone();
    let call =
        tokio::spawn(async move { other.client_stream(ReceiverStream::new(receiver)).await });
    sender.send(ask(Act::Unspecified, 0)).await.unwrap();
    service.until_alive(1).await;
    call.abort();
    service.until_alive(0).await;

    // Both ways at once.
    let (sender, receiver) = mpsc::channel(1);
    sender.send(ask(Act::Hang, 1)).await.unwrap();
    let mut notes = kinds.bidi_stream(ReceiverStream::new(receiver)).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();
    drop((notes, sender));
    service.until_alive(0).await;

    for ended in [server.until_ended(4).await, client.until_ended(4).await] {
        for call in &ended {
            assert_eq!((call.code, &call.by), (Code::Cancelled, &EndedBy::Caller), "{call:?}");
        }
        assert_eq!(ended[0].ended, Ended::Dropped { responded: false });
        assert_eq!(ended[1].ended, Ended::Dropped { responded: true });
        // For the third handler the stream ended normally, so it may have answered.
        assert!(matches!(ended[2].ended, Ended::Dropped { .. }));
    }
}

#[tokio::test]
async fn a_timed_out_call_is_a_deadline_on_its_client_and_dropped_on_its_server() {
    let Pair { server, client, service, mut kinds } = pair().await;
    let mut request = tonic::Request::new(ask(Act::Hang, 0));
    request.set_timeout(Duration::from_millis(50));
    let status = kinds.unary(request).await.unwrap_err();
    service.until_alive(0).await;

    assert_eq!(status.code(), Code::Cancelled, "what tonic's client tells its caller");
    let client = client.until_ended(1).await.remove(0);
    assert!(
        // The server's timer may fire first, and tonic's server also answers `Cancelled`.
        matches!(
            (client.ended, client.code),
            (Ended::Error, Code::DeadlineExceeded) | (Ended::Status, Code::Cancelled)
        ),
        "{client:?}"
    );
    // The client's timer started earlier, by the time that the request took to arrive.
    let server = server.until_ended(1).await.remove(0);
    assert_eq!(server.ended, Ended::Dropped { responded: false });
    assert!(matches!(server.code, Code::DeadlineExceeded | Code::Cancelled), "{server:?}");
}

#[tokio::test]
async fn a_call_that_its_server_times_out_is_a_deadline() {
    let server = Recorder::new();
    let (incoming, _) = listen();
    let address = incoming.local_addr().unwrap();
    tokio::spawn(
        Server::builder()
            .layer(ObserveLayer::server(server.clone()))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    // A client without its own timer.
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method("POST")
        .uri("http://localhost/test.v1.Kinds/ClientStream")
        .header("content-type", "application/grpc")
        .header("grpc-timeout", "50m")
        .body(())
        .unwrap();
    let (response, _body) = client.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "1", "what tonic's server tells its caller");
    let call = server.until_ended(1).await.remove(0);
    assert_eq!((call.code, call.by), (Code::DeadlineExceeded, EndedBy::Deadline));
    assert_eq!(call.ended, Ended::Dropped { responded: false });
}

#[tokio::test]
async fn a_stream_that_its_caller_drops_after_its_deadline_is_a_deadline() {
    let Pair { server, service, mut kinds, .. } = pair().await;
    let deadline = Duration::from_millis(50);
    let mut request = tonic::Request::new(ask(Act::Hang, 1));
    request.set_timeout(deadline);
    let mut notes = kinds.server_stream(request).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();
    // tonic's timers stop at the head. The caller enforces the deadline itself, and starts to count later than
    // the server.
    tokio::time::timeout(deadline, notes.message()).await.unwrap_err();
    drop(notes);
    service.until_alive(0).await;
    let call = server.until_ended(1).await.remove(0);
    assert_eq!((call.code, call.by), (Code::DeadlineExceeded, EndedBy::Deadline));
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Recorder::new();
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut kinds = KindsClient::new(ObserveLayer::client(client.clone()).layer(channel));
    kinds.unary(Ask::default()).await.unwrap_err();
    let call = client.only();
    assert_eq!((call.ended, call.code), (Ended::Error, Code::Unavailable));
}

/// A peer that reads some data and then breaks the connection, like a machine that is lost.
async fn breaks_after_the_head(respond: bool) -> (Code, Code) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_request, mut responder) = connection.accept().await.unwrap().unwrap();
        if respond {
            let _body = responder.send_response(Response::new(()), false).unwrap();
            // The head is sent before the connection is dropped.
            let closing = std::future::poll_fn(|cx| connection.poll_closed(cx));
            let _ = tokio::time::timeout(Duration::from_millis(100), closing).await;
        }
    };
    let client = Recorder::new();
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let mut kinds = KindsClient::new(ObserveLayer::client(client.clone()).layer(channel));
    let call = async {
        match kinds.server_stream(Ask::default()).await {
            Ok(notes) => notes.into_inner().message().await.unwrap_err(),
            Err(status) => status,
        }
    };
    let (status, ()) = tokio::join!(call, peer);
    let seen = client.only();
    assert_eq!((seen.ended, seen.heads), (Ended::Error, usize::from(respond)));
    (seen.code, code_of_error(&status))
}

#[tokio::test]
async fn a_lost_connection_is_unavailable() {
    for respond in [false, true] {
        let unavailable = (Code::Unavailable, Code::Unavailable);
        assert_eq!(breaks_after_the_head(respond).await, unavailable, "responded: {respond}");
    }
}

#[tokio::test]
async fn a_reset_is_mapped_by_grpcs_table() {
    for (reason, code) in [
        (h2::Reason::REFUSED_STREAM, Code::Unavailable),
        (h2::Reason::ENHANCE_YOUR_CALM, Code::ResourceExhausted),
        (h2::Reason::INTERNAL_ERROR, Code::Internal),
        (h2::Reason::INADEQUATE_SECURITY, Code::PermissionDenied),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let peer = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((_request, mut responder))) = connection.accept().await {
                responder.send_reset(reason);
            }
        });
        let client = Recorder::new();
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        let mut kinds = KindsClient::new(ObserveLayer::client(client.clone()).layer(channel));
        kinds.unary(Ask::default()).await.unwrap_err();
        assert_eq!(client.only().code, code, "{reason:?}");
        peer.abort();
    }
}

/// Passes the `Cut` of every call to the test.
#[derive(Clone)]
struct Cuts<S> {
    inner: S,
    cuts: mpsc::UnboundedSender<Cut>,
}

impl<S> Service<Request<Body>> for Cuts<S>
where
    S: GrpcService,
    S::Future: Send + 'static,
    S::Error: 'static,
    S::ResponseBody: Unpin,
{
    type Response = Response<CutBody<S::ResponseBody, S::Error>>;
    type Error = S::Error;
    type Future = CutFuture<S::ResponseBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (cut, response) = Cut::call(&mut self.inner, request);
        self.cuts.send(cut).unwrap();
        response
    }
}

/// Counts the messages of a response as HTTP polls them.
#[derive(Clone, Default)]
struct Taken(Arc<AtomicUsize>);

impl Observer for Taken {
    type Call = Self;

    fn begin(&self, _: Side, _: &Rpc, _: &mut http::request::Parts) -> Option<Self> {
        Some(self.clone())
    }
}

impl Call for Taken {
    fn message(&self, flow: Flow, _: Message) {
        self.0.fetch_add(usize::from(flow == Flow::Response), Ordering::SeqCst);
    }

    fn end(&self, _: End<'_>) {}
}

/// Runs all ready tasks: all of them are on this thread.
async fn until_idle(mut progress: impl FnMut() -> usize) {
    let mut quiet = 0;
    let mut last = progress();
    while quiet < 1_000 {
        tokio::task::yield_now().await;
        let now = progress();
        quiet = if now == last { quiet + 1 } else { 0 };
        last = now;
    }
}

#[tokio::test]
async fn a_caller_that_stopped_reading_is_cut_at_once() {
    let (outside, inside, taken) = (Recorder::new(), Recorder::new(), Taken::default());
    let service = KindsService::default();
    let (cuts, mut cut) = mpsc::unbounded_channel();
    let (incoming, endpoint) = listen();
    let routes = {
        let observers = (inside.clone(), taken.clone());
        tower::layer::layer_fn(move |inner| Cuts {
            inner: ObserveLayer::server(observers.clone()).layer(inner),
            cuts: cuts.clone(),
        })
    };
    tokio::spawn(
        Server::builder()
            .layer(ObserveLayer::server(outside.clone()))
            .layer(routes)
            .add_service(KindsServer::new(service.clone()))
            .serve_with_incoming(incoming),
    );
    let channel = endpoint.initial_stream_window_size(1_024).connect().await.unwrap();
    let ask = Ask { text: "x".repeat(1_000), ..ask(Act::Unspecified, 1_000_000) };
    let mut notes = KindsClient::new(channel).server_stream(ask).await.unwrap().into_inner();
    notes.message().await.unwrap().unwrap();

    // From here on nothing is read, and after a while HTTP stops polling the body.
    let count = || taken.0.load(Ordering::SeqCst);
    until_idle(count).await;
    assert!((1..10_000).contains(&count()), "{} of a million are taken", count());
    service.until_alive(1).await;
    let cut = cut.recv().await.unwrap();
    assert!(cut.cut(EndedBy::Deadline, Status::deadline_exceeded("too late")));
    service.until_alive(0).await;
    let call = inside.until_ended(1).await.remove(0);
    assert_eq!((call.ended, call.by), (Ended::Dropped { responded: true }, EndedBy::Deadline));
    until_idle(count).await;
    assert!(outside.ended().is_empty(), "the trailers wait for the window");

    // The caller continues to read, and finds the status after the data in transit.
    let mut read = 1;
    let status = loop {
        match notes.message().await {
            Ok(note) => assert!(note.is_some(), "a clean end"),
            Err(status) => break status,
        }
        read += 1;
    };
    assert_eq!((status.code(), read), (Code::DeadlineExceeded, count()));
    let call = outside.until_ended(1).await.remove(0);
    assert_eq!(
        (call.ended, call.code, call.by),
        (Ended::Status, Code::DeadlineExceeded, EndedBy::Deadline)
    );
}

#[tokio::test]
async fn a_hundred_concurrent_calls_are_each_reported_once() {
    let Pair { server, client, mut kinds, .. } = pair().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100_u32 {
        let mut kinds = kinds.clone();
        calls.spawn(async move {
            let notes = kinds.server_stream(ask(Act::Unspecified, number)).await.unwrap();
            notes.into_inner().collect::<Vec<_>>().await.len()
        });
    }
    let received: usize = calls.join_all().await.into_iter().sum();
    kinds.unary(Ask::default()).await.unwrap();
    for ended in [server.until_ended(101).await, client.until_ended(101).await] {
        assert_eq!(ended.len(), 101);
        let total: usize = ended.iter().map(|call| call.responses.len()).sum();
        assert_eq!(total, received + 1);
    }
}
