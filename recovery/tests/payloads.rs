//! What is told of a panic, to whom, whatever it was raised with.
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::convert::Infallible;
use std::panic::panic_any;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tonic::{Code, Status};
use tonic_call::CallInfo;
use tonic_call_test_kit::{PanicsInDrop, Script, silence_panics};
use tonic_recovery_layer::{RecoveryLayer, ResponseBody};
use tower::{Layer as _, Service as _, service_fn};

type Answer = Response<ResponseBody<Script>>;

fn request() -> Request<Script> {
    Request::builder().uri("/a.B/C").body(Script::new()).unwrap()
}

async fn call(layer: RecoveryLayer, panics: impl Fn() + Clone + Send + 'static) -> Answer {
    silence_panics();
    let mut service = layer.layer(service_fn(async |_: Request<tonic::body::Body>| {
        panics();
        Ok::<_, Infallible>(Script::new().respond())
    }));
    service.call(request()).await.unwrap()
}

/// The message that the handler is told for a payload.
async fn told(panics: impl Fn() + Clone + Send + 'static) -> String {
    let told = Arc::new(Mutex::new(None));
    let handler = Arc::clone(&told);
    let layer = RecoveryLayer::server().with_handler(move |panic| {
        *handler.lock().unwrap() = Some(panic.message().into_owned());
        Status::internal("fixed")
    });
    let response = call(layer, panics).await;
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(response.headers()["grpc-message"], "fixed");
    told.lock().unwrap().take().unwrap()
}

#[tokio::test]
async fn a_payload_of_any_type_has_a_message() {
    assert_eq!(told(|| panic!("on purpose")).await, "on purpose");
    assert_eq!(told(|| panic!("{} on purpose", 7)).await, "7 on purpose");
    assert_eq!(told(|| panic_any(Cow::Borrowed("a cow"))).await, "a cow");
    assert_eq!(told(|| panic_any(Box::<str>::from("a box"))).await, "a box");
    assert_eq!(told(|| panic_any(Arc::<str>::from("an arc"))).await, "an arc");
    assert!(told(|| panic_any(Status::data_loss("a status"))).await.contains("a status"));
    let error = || panic_any(Box::<dyn std::error::Error + Send + Sync>::from("an error"));
    assert_eq!(told(error).await, "an error");
    assert_eq!(told(|| panic_any(7_u8)).await, "a payload that is not a text");
}

#[tokio::test]
async fn a_handler_sees_the_payload_itself() {
    struct OutOfStock;

    let layer = RecoveryLayer::server().with_handler(|panic| {
        assert!(panic.payload().is::<OutOfStock>());
        Status::resource_exhausted("out of stock")
    });
    let response = call(layer, || panic_any(OutOfStock)).await;
    assert_eq!(response.headers()["grpc-status"], "8");
}

#[tokio::test]
async fn the_caller_never_sees_the_text_of_a_panic() {
    let response = call(RecoveryLayer::server(), || panic!("password=hunter2 on purpose")).await;
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(response.headers()["grpc-message"], "internal%20error");
    assert!(!format!("{response:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_payload_that_panics_when_dropped_goes_no_further() {
    struct PanicsWithAnother;

    impl Drop for PanicsWithAnother {
        fn drop(&mut self) {
            panic_any(PanicsInDrop);
        }
    }

    for panics in [|| panic_any(PanicsInDrop), || panic_any(PanicsWithAnother)] {
        let response = call(RecoveryLayer::server(), panics).await;
        assert_eq!(response.headers()["grpc-status"], "13");
    }
}

#[tokio::test]
async fn a_handler_that_panics_or_says_ok_is_the_default() {
    let panics = RecoveryLayer::server().with_handler(|_| panic!("in the handler, on purpose"));
    let says_ok = RecoveryLayer::server().with_handler(|_| Status::ok("fine"));
    for layer in [panics, says_ok] {
        let response = call(layer, || panic!("on purpose")).await;
        assert_eq!(response.headers()["grpc-status"], "13");
        assert_eq!(response.headers()["grpc-message"], "internal%20error");
    }
}

#[tokio::test]
async fn a_body_that_panics_after_messages_ends_with_trailers() {
    silence_panics();
    let mut service = RecoveryLayer::server().layer(service_fn(async |_| {
        Ok::<_, Infallible>(Script::new().messages(2).panic().panics_in_drop().respond())
    }));
    let mut request = request();
    let info = CallInfo::get_or_insert(request.extensions_mut());
    let mut body = service.call(request).await.unwrap().into_body();
    for _ in 0..2 {
        assert!(body.frame().await.unwrap().unwrap().is_data());
    }
    assert!(!info.panicked());
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(Code::from_bytes(trailers["grpc-status"].as_bytes()), Code::Internal);
    assert!(body.frame().await.is_none());
    assert!(info.panicked());
}

#[tokio::test]
async fn a_panic_in_drop_while_another_unwinds_does_not_abort() {
    silence_panics();
    let mut service = RecoveryLayer::server().layer(service_fn(async |_| {
        Ok::<_, Infallible>(Script::new().stall().panics_in_drop().respond())
    }));
    let body = service.call(request()).await.unwrap().into_body();
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _dropped_while_unwinding = body;
        panic!("outside, on purpose");
    }));
    assert!(unwound.is_err());
}
