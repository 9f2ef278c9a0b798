//! What an observer inside the layer sees, if no other layer is outside. Time is paused.

use std::convert::Infallible;
use std::time::Duration;

use http::{HeaderValue, Request, Response};
use tokio::time::Instant;
use tonic::Code;
use tonic_call::{EndedBy, GRPC_TIMEOUT, ObserveLayer};
use tonic_call_test_kit::{Recorder, Script, frame, methods};
use tonic_deadline_layer::DeadlineLayer;
use tower::util::MapRequestLayer;
use tower::{Service as _, ServiceBuilder, service_fn};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_server_is_a_deadline_to_an_observer_inside() {
    for (name, layer) in [
        ("default", DeadlineLayer::server().methods(&methods()).default(SECOND)),
        ("cap, kind not known", DeadlineLayer::server().cap(SECOND)),
        ("stall", DeadlineLayer::server().stall(SECOND)),
    ] {
        let inside = Recorder::new();
        let hangs_before_head = name != "stall";
        let service = service_fn(move |_: Request<tonic::body::Body>| async move {
            if hangs_before_head {
                std::future::pending::<()>().await;
            }
            Ok::<Response<Script>, Infallible>(Script::new().messages(2).stall().respond())
        });
        let mut service = ServiceBuilder::new()
            .layer(layer)
            .layer(ObserveLayer::server(inside.clone()))
            .service(service);
        let request = Request::post("/test.v1.Kinds/Unary").body(Script::new()).unwrap();
        let response = service.call(request).await.unwrap();
        if !hangs_before_head {
            let mut body = response.into_body();
            assert!(frame(&mut body).await.is_data());
            tokio::time::sleep(3 * SECOND).await;
        }
        let recorded = inside.only();
        assert_eq!(
            (recorded.code, recorded.by),
            (Code::DeadlineExceeded, EndedBy::Deadline),
            "{name}"
        );
    }
}

/// A layer without our API may change the header after another layer has read it.
#[tokio::test(start_paused = true)]
async fn a_timeout_that_a_layer_in_between_has_changed_is_the_one_that_is_enforced() {
    for (sent, changed) in [("10S", "1S"), ("1S", "10S"), ("2S", "2S")] {
        let outside = Recorder::new();
        let mut service = ServiceBuilder::new()
            .layer(ObserveLayer::server(outside.clone()))
            .layer(MapRequestLayer::new(move |mut request: Request<tonic::body::Body>| {
                request.headers_mut().insert(GRPC_TIMEOUT, HeaderValue::from_static(changed));
                request
            }))
            .layer(DeadlineLayer::server())
            .service(service_fn(|_: Request<tonic::body::Body>| {
                std::future::pending::<Result<Response<Script>, Infallible>>()
            }));
        let request = Request::post("/test.v1.Kinds/Unary").header(GRPC_TIMEOUT, sent);
        let started = Instant::now();
        let response = service.call(request.body(Script::new()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "4", "{sent} {changed}");
        let seconds = changed.trim_end_matches('S').parse::<u64>().unwrap();
        assert_eq!(started.elapsed().as_secs(), seconds, "{sent} {changed}");
        assert_eq!(outside.only().by, EndedBy::Deadline);
    }
}
