//! A handler that does not yield. tonic polls its own timer right after the call, so the layer must look at the clock
//! after the handler's poll as well as before it.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::task::Poll;

use http::Request;
use tonic::body::Body;
use tonic_call::MethodKind;
use tonic_call_test_kit::{Script, poll_once, to_kind, with};
use tonic_deadline_layer::{Deadline, DeadlineLayer};
use tower::{Layer as _, Service as _, service_fn};

#[tokio::test]
async fn a_deadline_that_passes_during_a_poll_ends_the_call_in_that_poll() {
    let mut service = DeadlineLayer::server().layer(service_fn(|_: Request<Body>| async {
        while !Deadline::current().unwrap().has_passed() {
            std::hint::spin_loop();
        }
        pending::<()>().await;
        Ok::<_, Infallible>(Script::new().respond())
    }));
    let request = with(to_kind(MethodKind::Unary), &[("grpc-timeout", "50m")]);
    let Poll::Ready(Ok(response)) = poll_once(pin!(service.call(request))) else {
        panic!("no answer");
    };
    assert_eq!(response.headers()["grpc-status"], "4");
}
