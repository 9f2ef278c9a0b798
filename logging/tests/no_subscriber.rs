//! Without a subscriber the layer costs nothing.
//!
//! In its own process, without any subscriber.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{SIDES, layer, poll_once};
use http::{Request, Response, Uri};
use tonic::Status;
use tonic::body::Body;
use tonic_call::CallInfo;
use tonic_call_test_kit::Script;
use tonic_logging_layer::LoggingLayer;
use tower::{Layer, Service, service_fn};
use tracing::Level;

/// A service that does not allocate.
fn answers(
    has_info: bool,
) -> impl Service<Request<Body>, Response = Response<Body>, Error = Status, Future: Send> + Clone {
    service_fn(move |request: Request<Body>| async move {
        assert_eq!(CallInfo::of(request.extensions()).is_some(), has_info);
        let (_, body) = request.into_parts();
        common::drain(body).await;
        Ok::<_, Status>(Response::new(Body::empty()))
    })
}

fn request() -> Request<Body> {
    let path = Uri::from_static("/test.v1.Kinds/Unary");
    let mut request = Request::post(path).body(Body::empty()).unwrap();
    for (name, value) in [("user-agent", "test/1"), ("x-request-id", "1"), ("x-tenant", "acme")] {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    request
}

/// The number of allocations of a call, from its request to the drop of its response.
fn allocations<S, B>(service: &mut S) -> u64
where
    S: Service<Request<Body>, Response = Response<B>, Error = Status>,
    B: http_body::Body,
{
    let request = request();
    let info = allocation_counter::measure(|| {
        let mut response = std::pin::pin!(service.call(request));
        let answered = poll_once(response.as_mut());
        assert!(answered.is_ready());
    });
    info.count_total
}

#[test]
fn a_call_that_nobody_listens_to_adds_no_allocation() {
    let bare = allocations(&mut answers(false));
    for side in SIDES {
        let everything = layer(side)
            .methods(&common::methods())
            .starts(Level::ERROR)
            .messages(Level::ERROR)
            .handler_span(true)
            .sample_successes(0.5)
            .slow_after(std::time::Duration::ZERO)
            .request_metadata(["x-tenant"])
            .response_metadata(["x-cost"])
            .fields(["order.id"])
            .unwrap();
        for layer in [layer(side), everything] {
            let mut service = layer.layer(answers(false));
            assert_eq!(allocations(&mut service), bare, "the first call");
            assert_eq!(allocations(&mut service), bare, "a later call");
        }
    }
}

#[tokio::test]
async fn a_hook_is_called_although_nobody_listens() {
    for side in SIDES {
        let told = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&told);
        let layer = layer(side).on_finished(move |_| _ = counts.fetch_add(1, Ordering::SeqCst));
        let service = layer.layer(common::answers(|| Ok(Script::new().messages(1).respond())));
        common::run(service, common::to("/a.B/C")).await;
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_call_that_nobody_listens_to_passes_as_it_is() {
    let mut service = LoggingLayer::server().layer(common::answers(|| {
        Ok(Script::new().messages(3).trailers(tonic::Code::Ok).respond())
    }));
    let mut body = service.call(common::to("/a.B/C")).await.unwrap().into_body();
    for _ in 0..3 {
        assert!(common::frame(&mut body).await.is_data());
    }
    assert!(common::frame(&mut body).await.is_trailers());
}
