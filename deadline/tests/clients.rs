//! What is particular to clients, over real sockets: channels that do not connect, tonic's own timers, and what is
//! sent.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use common::{Client, SERVERS_MESSAGE, Served, serve, serve_with};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request};
use tonic_call::{EndedBy, GrpcService as _};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Ended, KindsService, Recorder, ask, methods, poll_once};
use tonic_deadline_layer::{BoxChannel, Deadline, DeadlineLayer};
use tower::layer::util::Identity;
use tower::{Layer as _, service_fn};

const SHORT: Duration = Duration::from_millis(60);

fn request(timeout: Duration, act: Act) -> Request<Ask> {
    let mut request = Request::new(ask(act, 0));
    request.set_timeout(timeout);
    request
}

fn assert_deadline(recorder: &Recorder, ended: Ended) {
    let recorded = recorder.only();
    let ending = (recorded.ended, recorded.code, recorded.by);
    assert_eq!(ending, (ended, Code::DeadlineExceeded, EndedBy::Deadline), "{recorded:?}");
}

/// A channel that cannot connect as long as there is no permit.
fn unconnected(endpoint: &Endpoint, permits: &Arc<Semaphore>) -> Channel {
    let permits = Arc::clone(permits);
    endpoint.connect_with_connector_lazy(service_fn(move |uri: Uri| {
        let permits = Arc::clone(&permits);
        async move {
            permits.acquire().await.unwrap().forget();
            let stream = TcpStream::connect(uri.authority().unwrap().as_str()).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_channel_whose_peer_says_nothing_ends_at_its_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint =
        Endpoint::from_shared(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut client = Client::new(DeadlineLayer::client(None), endpoint.connect_lazy());
    let status = client.kinds.unary(request(SHORT, Act::Unspecified)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, SERVERS_MESSAGE));
    assert_deadline(&client.outside, Ended::Status);
    assert_deadline(&client.inside, Ended::Dropped { responded: false });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_a_channel_that_never_connects_end_at_their_deadlines() {
    let served = Served::start(DeadlineLayer::server());
    let permits = Arc::new(Semaphore::new(0));
    // Room for one call: the others wait until the channel is ready.
    let channel = unconnected(&served.endpoint.clone().buffer_size(1), &permits);
    let client = Client::new(DeadlineLayer::client(None), channel.clone());
    let mut calls = JoinSet::new();
    for _ in 0..8 {
        let mut kinds = client.kinds.clone();
        calls.spawn(async move { kinds.unary(request(SHORT, Act::Unspecified)).await });
    }
    // The layer outside is ready at once, although the channel is not.
    let mut layered = DeadlineLayer::client(None).layer(channel);
    let ready = poll_once(pin!(poll_fn(|cx| layered.poll_grpc_ready(cx))));
    assert!(matches!(ready, Poll::Ready(Ok(()))));
    // It has a place in the queue.
    drop(layered);
    for answer in calls.join_all().await {
        let status = answer.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, SERVERS_MESSAGE));
    }
    // Those that waited for the channel did not get past the layer.
    assert!((1..8).contains(&client.inside.begun()), "{}", client.inside.begun());
    for (observer, count) in [(&client.outside, 8), (&client.inside, client.inside.begun())] {
        for recorded in observer.until_ended(count).await {
            let ending = (recorded.code, recorded.by);
            assert_eq!(ending, (Code::DeadlineExceeded, EndedBy::Deadline), "{recorded:?}");
        }
    }

    // Nothing of them arrives when the channel connects at last.
    permits.add_permits(1);
    let mut kinds = client.kinds.clone();
    let answer = kinds.unary(request(Duration::from_secs(60), Act::Unspecified)).await;
    assert!(answer.is_ok(), "{answer:?}");
    served.outside.until_ended(1).await;
    assert_eq!(served.outside.only().code, Code::Ok);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_time_left_is_not_sent() {
    let served = Served::start(DeadlineLayer::server());
    let channel = served.endpoint.connect().await.unwrap();
    let client = Client::new(DeadlineLayer::client(None), channel);
    let passed = Deadline::after(Duration::ZERO);
    let mut kinds = client.kinds.clone();
    let call = Deadline::scope(passed, kinds.unary(Request::new(ask(Act::Unspecified, 0))));
    let status = call.await.unwrap_err();
    let message = "the deadline of the inbound call has passed";
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, message));
    assert_deadline(&client.outside, Ended::Status);
    assert_eq!(client.inside.begun(), 0);

    // The next call arrives, alone.
    let mut kinds = client.kinds.clone();
    kinds.unary(request(Duration::from_secs(60), Act::Unspecified)).await.unwrap();
    served.outside.until_ended(1).await;
    assert_eq!(served.outside.only().code, Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_is_what_is_enforced() {
    use tonic_call::{GRPC_TIMEOUT, parse_timeout};
    let nanosecond = Duration::from_nanos(1);
    for limit in [
        SHORT + nanosecond,
        Duration::from_secs(1) + nanosecond,
        Duration::from_secs(100) + nanosecond, // in microseconds no longer
        Duration::from_micros(123_456_789),
        Duration::from_secs(100_000) + nanosecond, // 27.8 hours: nor in milliseconds
        Duration::from_millis(123_456_789),
        Duration::from_secs(99_999_999) + SHORT,
        Duration::from_secs(6_000_000_001), // 190 years
    ] {
        let (sender, mut received) = mpsc::channel(1);
        let inner = service_fn(move |request: http::Request<tonic::body::Body>| {
            let sent = parse_timeout(&request.headers()[GRPC_TIMEOUT]).unwrap();
            let enforced = Deadline::of(request.extensions()).unwrap().remaining();
            sender.try_send((sent, enforced)).unwrap();
            pending::<Result<http::Response<tonic::body::Body>, tonic::Status>>()
        });
        let channel = DeadlineLayer::client(limit).methods(&methods()).layer(inner);
        let mut kinds = KindsClient::new(BoxChannel::new(channel));
        let began = tokio::time::Instant::now();
        let status = kinds.unary(ask(Act::Hang, 0)).await.unwrap_err();
        let took = began.elapsed();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let (sent, enforced) = received.recv().await.unwrap();
        assert_eq!(sent, enforced, "{limit:?}");
        assert!(sent <= limit && limit - sent < limit / 90_000, "{limit:?} {sent:?}");
        // tokio's timers are exact to a millisecond, and never early.
        assert!(took >= sent, "{limit:?} {took:?}");
        assert!(took <= sent + Duration::from_millis(2), "{limit:?} {took:?} {sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channels_own_timeout_is_a_deadline() {
    let served = Served::start(DeadlineLayer::server());
    let channel = served.endpoint.clone().timeout(SHORT).connect().await.unwrap();
    for timeout in [None, Some(Duration::from_secs(60))] {
        let mut client = Client::new(DeadlineLayer::client(None), channel.clone());
        let mut request = Request::new(ask(Act::Hang, 0));
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        let status = client.kinds.unary(request).await.unwrap_err();
        let message = "the channel's own timeout has passed";
        assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, message));
        assert_deadline(&client.outside, Ended::Status);
        assert_deadline(&client.inside, Ended::Error);
        served.service.until_alive(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timeout_of_tonics_server_stays_cancelled() {
    let (outside, service) = (Recorder::new(), KindsService::default());
    let layers = tower::ServiceBuilder::new()
        .layer(tonic_call::ObserveLayer::server(outside.clone()).server_timeout(SHORT))
        .layer(DeadlineLayer::server());
    let (address, server) = serve_with(Server::builder().timeout(SHORT), layers, service.clone());
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    for (count, timeout) in [(1, None), (2, Some(Duration::from_secs(60)))] {
        let mut client = Client::new(DeadlineLayer::client(None), channel.clone());
        let mut request = Request::new(ask(Act::Hang, 0));
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        let status = client.kinds.unary(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Cancelled, "Timeout expired"));
        let seen = client.outside.only();
        assert_eq!((seen.code, seen.by), (Code::Cancelled, EndedBy::Service));
        service.until_alive(0).await;
        let recorded = outside.until_ended(count).await.pop().unwrap();
        assert_eq!(recorded.by, EndedBy::Deadline, "{recorded:?}");
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_stream_ends_with_its_call() {
    // One server ends calls at their deadlines, one does not.
    let served = Served::start(DeadlineLayer::server());
    let service = KindsService::default();
    let (address, server) = serve(Identity::new(), service.clone());
    let bare = Endpoint::from_shared(format!("http://{address}")).unwrap();
    for (endpoint, service) in [(served.endpoint.clone(), &served.service), (bare, &service)] {
        for act in [Act::Hang, Act::Unspecified] {
            let channel = endpoint.connect().await.unwrap();
            let mut client = Client::new(DeadlineLayer::client(None), channel);
            let (sender, asks) = mpsc::channel(1);
            sender.send(ask(act, 1)).await.unwrap();
            let mut request = Request::new(ReceiverStream::new(asks));
            request.set_timeout(SHORT);
            let mut notes = client.kinds.bidi_stream(request).await.unwrap().into_inner();
            assert_eq!(notes.message().await.unwrap().unwrap().number, 1);
            // The caller's stream is dropped, although nobody reads the response.
            sender.closed().await;
            service.until_alive(0).await;
            let status = notes.message().await.unwrap_err();
            let seen = (status.code(), status.message());
            assert_eq!(seen, (Code::DeadlineExceeded, SERVERS_MESSAGE), "{act:?}");
            assert_deadline(&client.outside, Ended::Status);
        }
    }
    server.abort();
}

/// tonic's timers, in the channel and in the server, have the same time as the layer's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonics_timers_win_none_of_two_thousand_expiries() {
    let service = KindsService::default();
    let (address, server) = serve(Identity::new(), service.clone());
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let client = Client::new(DeadlineLayer::client(None), endpoint.connect().await.unwrap());
    let mut answers = BTreeMap::new();
    for _ in 0..20 {
        let mut calls = JoinSet::new();
        for number in 0..100 {
            let mut kinds = client.kinds.clone();
            let timeout = Duration::from_micros(20_000 + number * 131);
            calls.spawn(async move { kinds.unary(request(timeout, Act::Hang)).await });
        }
        for answer in calls.join_all().await {
            let status = answer.unwrap_err();
            let key = (status.code() as i32, status.message().to_owned());
            *answers.entry(key).or_insert(0) += 1;
        }
    }
    let ours = (Code::DeadlineExceeded as i32, SERVERS_MESSAGE.to_owned());
    assert_eq!(answers, BTreeMap::from([(ours, 2_000)]));
    for (observer, count) in [(&client.outside, 2_000), (&client.inside, client.inside.begun())] {
        for recorded in observer.until_ended(count).await {
            assert_eq!(recorded.by, EndedBy::Deadline, "{recorded:?}");
        }
    }
    service.until_alive(0).await;
    server.abort();
}
