//! Number of allocations per call.
// The figures are printed, because the docs contain them.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::AllocationInfo;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;
use tonic_call::{CallInfo, Side};
use tonic_call_test_kit::{Script, methods};
use tonic_deadline_layer::{DeadlineLayer, MethodTable};
use tower::{Layer, Service};

const HOUR: Duration = Duration::from_secs(3_600);

/// A service that answers at once.
#[derive(Default)]
struct Inner {
    /// Whether each call first has to wait.
    is_slow: bool,
    waits: bool,
}

impl Clone for Inner {
    fn clone(&self) -> Self {
        Self { is_slow: self.is_slow, waits: false }
    }
}

impl Service<Request<tonic::body::Body>> for Inner {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Script>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.waits = self.is_slow && !self.waits;
        if self.waits { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        ready(Ok(Script::new().messages(2).trailers(Code::Ok).respond()))
    }
}

fn request(timeout: Option<&'static str>) -> Request<tonic::body::Body> {
    // Shared, as behind another layer that has read it.
    static URI: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("/test.v1.Kinds/Unary"));
    let message = Full::new(Bytes::from_static(b"\0\0\0\0\0"));
    let mut request = Request::new(tonic::body::Body::new(message));
    *request.uri_mut() = URI.clone();
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    if let Some(timeout) = timeout {
        headers.insert("grpc-timeout", HeaderValue::from_static(timeout));
    }
    let remote_addr = Some("10.0.0.1:4711".parse().unwrap());
    request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    request
}

/// What a call allocates, with its request, that is read to its end.
fn allocated<S, B>(
    service: &mut S,
    request: impl Fn() -> Request<tonic::body::Body>,
) -> AllocationInfo
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut call = || {
        allocation_counter::measure(|| {
            assert!(service.poll_ready(&mut cx).is_ready());
            let mut response = pin!(service.call(request()));
            // A client's call may wait once for its channel.
            let mut polls = (0..2).map(|_| response.as_mut().poll(&mut cx));
            let Some(Poll::Ready(Ok(response))) = polls.find(Poll::is_ready) else {
                panic!("no answer")
            };
            let mut body = pin!(response.into_body());
            for _ in 0..3 {
                assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
            }
        })
    };
    call();
    let counted = call();
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0), "it leaves memory behind");
    counted
}

/// How many allocations a layer adds to a call, and how many bytes.
fn added<L, B>(layer: &L, request: impl Fn() -> Request<tonic::body::Body>) -> (u64, u64)
where
    L: Layer<Inner>,
    L::Service: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    let bare = allocated(&mut Inner::default(), &request);
    let layered = allocated(&mut layer.layer(Inner::default()), &request);
    (layered.count_total - bare.count_total, layered.bytes_total - bare.bytes_total)
}

fn without_deadline() -> Request<tonic::body::Body> {
    request(None)
}

fn with_deadline() -> Request<tonic::body::Body> {
    request(Some("1H"))
}

/// As behind a layer that watches calls.
fn with_info(mut request: Request<tonic::body::Body>, side: Side) -> Request<tonic::body::Body> {
    CallInfo::get_or_insert(side, request.extensions_mut());
    request
}

/// A `Cut` allocates, and a timer outside a runtime panics: none of these calls has either.
#[test]
fn a_call_without_a_deadline_costs_a_server_nothing() {
    let other = || MethodTable::new(None).method("test.v1.Kinds", "Peek", Some(HOUR));
    let server = DeadlineLayer::server;
    for layer in [
        server(),
        server().methods(&methods()),
        server().methods(&methods()).stream_default(HOUR).stream_cap(HOUR),
        server().methods(&methods()).default(other()).cap(other()).stall(other()),
        server().required(MethodTable::new(false).service("orders.v1.OrderService", true)),
    ] {
        assert_eq!(added(&layer, without_deadline), (0, 0), "{layer:?}");
    }
}

#[test]
fn a_call_without_a_deadline_costs_a_client_nothing() {
    let other = MethodTable::new(None).method("test.v1.Kinds", "Peek", Some(HOUR));
    let client = DeadlineLayer::client(other).methods(&methods()).margin(HOUR);
    assert_eq!(added(&DeadlineLayer::client(None), without_deadline), (0, 0));
    assert_eq!(added(&client, without_deadline), (0, 0));
    // A limit for unary methods, when it is not known which ones these are.
    assert_eq!(added(&DeadlineLayer::client(HOUR), without_deadline), (0, 0));
}

#[test]
fn a_client_call_that_waits_for_its_channel_costs_one() {
    let bare = allocated(&mut Inner::default(), without_deadline);
    let slow = Inner { is_slow: true, waits: false };
    let layered = allocated(&mut DeadlineLayer::client(None).layer(slow), without_deadline);
    assert_eq!(layered.count_total - bare.count_total, 1);
}

/// The `CallInfo` costs two, unless a layer that watches calls has made it; the deadline in the extensions one, the
/// `Cut` four, and the alarm two.
#[tokio::test(start_paused = true)]
async fn a_call_with_a_deadline_costs_nine() {
    let (server, client) = (DeadlineLayer::server, || DeadlineLayer::client(None));
    let watched = |side| move || with_info(with_deadline(), side);
    let costs = |name: &str, (count, bytes): (u64, u64), expected: u64| {
        println!("{name}: {count} allocations, {bytes} bytes");
        assert_eq!(count, expected, "{name}");
    };
    costs("a server, the caller's deadline", added(&server(), with_deadline), 9);
    costs("the same, watched", added(&server(), watched(Side::Server)), 7);
    costs("a client, the caller's deadline", added(&client(), with_deadline), 9);
    costs("the same, watched", added(&client(), watched(Side::Client)), 7);

    // A limit for the head alone is not shown to the handler.
    let limited = server().methods(&methods()).default(HOUR);
    costs("a server's limit", added(&limited, without_deadline), 9);
    costs("its limit for the head", added(&server().default(HOUR), without_deadline), 8);

    // The header that is sent.
    let limited = DeadlineLayer::client(HOUR).methods(&methods());
    costs("a client's limit", added(&limited, without_deadline), 10);
}

/// What is known of the caller's reading costs one, and with a deadline there are two alarms: the first one holds up to
/// the head of the response.
#[tokio::test(start_paused = true)]
async fn a_call_whose_stalls_are_watched_costs_nine_and_with_a_deadline_twelve() {
    let layer = DeadlineLayer::server().stall(HOUR);
    assert_eq!(added(&layer, without_deadline).0, 9);
    assert_eq!(added(&layer, with_deadline).0, 12);
}
