//! What an observer inside the layer sees, if no other layer is outside. Time is paused.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use tonic::Code;
use tonic_call::{EndedBy, ObserveLayer};
use tonic_call_test_kit::{Recorder, Script, frame, methods};
use tonic_deadline_layer::DeadlineLayer;
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
