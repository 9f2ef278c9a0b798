//! A disabled level costs no more than observing the call.
//!
//! In its own process: its subscriber accepts only errors.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Capture, Lines, SIDES, layer, poll_once};
use http::{HeaderMap, HeaderValue, Request, Response, request};
use tonic::Status;
use tonic::body::Body;
use tonic_call::{Call, CallInfo, End, ObserveLayer, Observer, Rpc, Side};
use tonic_call_test_kit::Script;
use tower::{Layer, Service, service_fn};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;

/// An observer that only creates the `CallInfo` that layers share.
#[derive(Clone)]
struct Nothing;

impl Observer for Nothing {
    type Call = CallInfoOnly;

    fn begin(&self, _: Side, _: &Rpc, head: &mut request::Parts) -> Option<CallInfoOnly> {
        Some(CallInfoOnly(CallInfo::get_or_insert(Side::Server, &mut head.extensions)))
    }
}

struct CallInfoOnly(CallInfo);

impl Call for CallInfoOnly {
    fn end(&self, _: End<'_>) {
        let _ = &self.0;
    }
}

fn answers(
    status: &'static str,
) -> impl Service<Request<Body>, Response = Response<Script>, Error = Status, Future: Send> + Clone
{
    service_fn(move |request: Request<Body>| async move {
        common::drain(request.into_body()).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static(status));
        trailers.insert("grpc-message", HeaderValue::from_static("a%0Ab"));
        Ok::<_, Status>(Script::new().messages(2).trailers_of(trailers).respond())
    })
}

/// The number of allocations of a call, from its request to the drop of its response.
fn allocations<S, B>(service: &mut S) -> u64
where
    S: Service<Request<Body>, Response = Response<B>, Error = Status>,
    B: http_body::Body,
{
    let body = Body::new(Script::new().messages(2));
    let mut request = Request::post("/test.v1.Kinds/ServerStream").body(body).unwrap();
    // tonic's server and generated clients set extensions, too.
    request.extensions_mut().insert("something");
    for (name, value) in [
        ("user-agent", "test/1"),
        ("x-request-id", "1"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let info = allocation_counter::measure(|| {
        let answer = {
            let mut response = std::pin::pin!(service.call(request));
            poll_once(response.as_mut())
        };
        let std::task::Poll::Ready(Ok(response)) = answer else { panic!("no answer") };
        let mut body = std::pin::pin!(common::drain(response.into_body()));
        assert!(poll_once(body.as_mut()).is_ready());
    });
    info.count_total
}

#[test]
fn a_level_that_nobody_listens_to_is_neither_formatted_nor_allocated_for() {
    let subscriber = tracing_subscriber::registry().with(EnvFilter::new("error")).with(Capture);
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let lines = Lines::of_this_thread();
    for side in SIDES {
        let nothing = match side {
            Side::Server => ObserveLayer::server(Nothing),
            Side::Client => ObserveLayer::client(Nothing),
        };
        // The cost of learning a method is not counted here.
        let methods = common::methods();
        let (nothing, logging) = (nothing.methods(&methods), layer(side).methods(&methods));
        let logging = logging.starts(Level::INFO).messages(Level::DEBUG);
        for (status, is_error) in [("0", false), ("5", false), ("13", side == Side::Server)] {
            let least = allocations(&mut nothing.layer(answers(status)));
            let mut service = logging.layer(answers(status));
            for _ in 0..2 {
                let made = allocations(&mut service);
                if is_error {
                    assert!(made > least, "a line that is heard is made");
                    lines.take_only();
                } else {
                    assert_eq!(made, least, "{side:?} {status}");
                    lines.none();
                }
            }
        }
    }
}

/// An observer that does nothing.
#[derive(Clone)]
struct Bare;

impl Observer for Bare {
    type Call = Self;

    fn begin(&self, _: Side, _: &Rpc, _: &mut request::Parts) -> Option<Self> {
        Some(Self)
    }
}

impl Call for Bare {
    fn end(&self, _: End<'_>) {}
}

#[test]
fn the_slot_that_layers_share_costs_two_allocations() {
    let methods = common::methods();
    let bare = ObserveLayer::server(Bare).methods(&methods);
    let nothing = ObserveLayer::server(Nothing).methods(&methods);
    let bare = allocations(&mut bare.layer(answers("0")));
    assert_eq!(allocations(&mut nothing.layer(answers("0"))), bare + 2);
}
