//! A million calls with deadlines leave neither timers nor memory behind. Time is paused.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::AllocationInfo;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::runtime::{Builder, Runtime};
use tonic::{Code, Status};
use tonic_call_test_kit::{Script, methods, trailers_only};
use tonic_deadline_layer::DeadlineLayer;
use tower::{Layer, Service};

const HOUR: Duration = Duration::from_secs(3_600);

/// What becomes of a call. None of them lasts until its deadline.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    Refused,
    Streamed,
    DroppedBeforeHead,
    DroppedBetweenMessages,
    NeverPolled,
}

const FATES: [Fate; 6] = [
    Fate::Answered,
    Fate::Refused,
    Fate::Streamed,
    Fate::DroppedBeforeHead,
    Fate::DroppedBetweenMessages,
    Fate::NeverPolled,
];

impl Fate {
    fn request(self) -> Request<tonic::body::Body> {
        let message = Full::new(Bytes::from_static(b"\0\0\0\0\0"));
        let mut request = Request::new(tonic::body::Body::new(message));
        *request.uri_mut() = http::Uri::from_static(match self {
            Self::Streamed | Self::DroppedBetweenMessages => "/test.v1.Kinds/ServerStream",
            _ => "/test.v1.Kinds/Unary",
        });
        request.headers_mut().insert("grpc-timeout", HeaderValue::from_static("1H"));
        request.extensions_mut().insert(self);
        request
    }

    /// Holds `alive` until the call is over, as a handler and its stream hold what they need.
    async fn handle(self, alive: Arc<()>) -> Response<Holding> {
        let response = match self {
            Self::Answered | Self::NeverPolled => stream(1),
            Self::Streamed => stream(4),
            Self::Refused => trailers_only(&Status::not_found("no such order")),
            Self::DroppedBeforeHead => std::future::pending().await,
            Self::DroppedBetweenMessages => Script::new().messages(2).stall().respond(),
        };
        response.map(|script| Holding { script, _alive: alive })
    }

    /// How many frames the caller reads; `None` if the call gets no head.
    fn frames(self) -> Option<usize> {
        match self {
            Self::Answered => Some(2),
            Self::Streamed => Some(5),
            Self::Refused => Some(0),
            Self::DroppedBetweenMessages => Some(1),
            Self::DroppedBeforeHead | Self::NeverPolled => None,
        }
    }
}

fn stream(messages: usize) -> Response<Script> {
    Script::new().messages(messages).trailers(Code::Ok).respond()
}

struct Holding {
    script: Script,
    _alive: Arc<()>,
}

impl Body for Holding {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.script).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.script.is_end_stream()
    }
}

#[derive(Clone)]
struct Inner {
    alive: Arc<()>,
}

impl Service<Request<tonic::body::Body>> for Inner {
    type Response = Response<Holding>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let fate = *request.extensions().get::<Fate>().unwrap();
        let alive = Arc::clone(&self.alive);
        Box::pin(async move { Ok(fate.handle(alive).await) })
    }
}

/// Makes one call, up to where its fate ends it.
fn call<S, B>(service: &mut S, fate: Fate)
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut response = pin!(service.call(fate.request()));
    if let Fate::NeverPolled = fate {
        return;
    }
    let Poll::Ready(response) = response.as_mut().poll(&mut cx) else {
        return assert!(fate.frames().is_none());
    };
    let mut body = pin!(response.unwrap().into_body());
    for _ in 0..fate.frames().unwrap() {
        assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
    }
}

/// What it allocates that the hour passes in which the deadlines would be reached. An alarm that rings spawns a task.
fn after_the_hour(runtime: &Runtime) -> AllocationInfo {
    allocation_counter::measure(|| runtime.block_on(tokio::time::sleep(2 * HOUR)))
}

/// Makes half a million calls through a layer.
fn leaves_nothing_behind<L, B>(layer: &L)
where
    L: Layer<Inner>,
    L::Service: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let _inside = runtime.enter();
    let alive = Arc::new(());
    let mut service = layer.layer(Inner { alive: Arc::clone(&alive) });
    let held = Arc::strong_count(&alive);
    let mut calls = |count| {
        FATES.into_iter().cycle().take(count).for_each(|fate| call(&mut service, fate));
    };
    // Makes what is made once.
    calls(100);
    let quiet = after_the_hour(&runtime);

    let left = allocation_counter::measure(|| calls(500_000));
    assert!(left.count_total > 5 * 500_000);
    assert_eq!((left.count_current, left.bytes_current), (0, 0));
    assert_eq!(Arc::strong_count(&alive), held);
    assert_eq!(after_the_hour(&runtime), quiet);

    // A call that has not ended has a timer, which rings.
    let mut open = Box::pin(service.call(Fate::DroppedBeforeHead.request()));
    assert!(open.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(Arc::strong_count(&alive) > held);
    assert_ne!(after_the_hour(&runtime), quiet);
    assert_eq!(Arc::strong_count(&alive), held);
}

#[test]
fn half_a_million_calls_with_deadlines_leave_nothing_behind_in_a_server() {
    leaves_nothing_behind(&DeadlineLayer::server());
}

#[test]
fn half_a_million_calls_with_deadlines_leave_nothing_behind_in_a_client() {
    leaves_nothing_behind(&DeadlineLayer::client(HOUR).methods(&methods()));
}
