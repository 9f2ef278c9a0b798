//! With the panic hook installed, location and backtrace are reported, and caught panics print nothing.
//!
//! One test, because the hook belongs to the process.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::Status;
use tonic_call_test_kit::Script;
use tonic_recovery_layer::{
    RecoverStream, RecoveryLayer, capture_panics, capture_panics_quietly, captured,
};
use tower::{Layer as _, Service as _, service_fn};

#[derive(Debug, Default, Clone)]
struct Seen {
    location: Option<String>,
    backtrace: bool,
}

async fn seen(panics: impl Fn() + Clone + Send + 'static) -> Seen {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let handler = Arc::clone(&seen);
    let layer = RecoveryLayer::server().with_handler(move |panic| {
        *handler.lock().unwrap() = Seen {
            location: panic.location().map(ToOwned::to_owned),
            backtrace: panic.backtrace().is_some_and(|trace| trace.to_string().contains("capture")),
        };
        Status::internal("")
    });
    let mut service = layer.layer(service_fn(async |_: Request<tonic::body::Body>| {
        panics();
        Ok::<Response<Script>, Infallible>(Script::new().respond())
    }));
    service.call(Request::new(Script::new())).await.unwrap();
    seen.lock().unwrap().clone()
}

#[tokio::test]
async fn location_and_backtrace_are_reported_and_the_previous_hook_is_called() {
    static PREVIOUS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {
        PREVIOUS.fetch_add(1, Ordering::SeqCst);
    }));
    let previous = || PREVIOUS.swap(0, Ordering::SeqCst);

    let before = seen(|| panic!("before")).await;
    assert!(before.location.is_none() && !before.backtrace);
    assert_eq!(previous(), 1);

    capture_panics();
    capture_panics();
    let line = line!() + 1;
    let after = seen(|| panic!("captured")).await;
    let location = after.location.unwrap();
    assert!(location.starts_with(&format!("recovery/tests/capture.rs:{line}:")), "{location}");
    // The environment of the tests may disable backtraces; `bounded.rs` tests each setting in its own process.
    let wanted = std::env::var_os("RUST_LIB_BACKTRACE").or(std::env::var_os("RUST_BACKTRACE"));
    assert_eq!(after.backtrace, wanted.is_none_or(|value| value != "0"));
    assert_eq!(previous(), 1, "the previous hook still sees it, once");

    // A panic that was caught further inside is not reported instead of this one.
    let other = seen(|| {
        let _ = catch_unwind(AssertUnwindSafe(|| panic!("caught inside")));
        resume_unwind(Box::new("raised without the hook"));
    })
    .await;
    assert!(other.location.is_none(), "{other:?}");
    assert_eq!(previous(), 1);

    capture_panics_quietly();
    assert!(seen(|| panic!("quiet")).await.location.is_some());
    assert_eq!(previous(), 0, "a caught panic prints nothing");
    let _ = catch_unwind(|| panic!("not in a call"));
    assert_eq!(previous(), 1, "any other panic is printed");

    // A task that is wrapped in `captured` reports its panics as those of the call.
    let location = Arc::new(Mutex::new(None));
    let handler = Arc::clone(&location);
    let mut service = RecoveryLayer::server()
        .with_handler(move |panic| {
            assert_eq!(panic.message(), "in a producer");
            *handler.lock().unwrap() = panic.location().map(ToOwned::to_owned);
            Status::internal("")
        })
        .layer(service_fn(async |_: Request<tonic::body::Body>| {
            let producer = tokio::spawn(captured(async { panic!("in a producer") }));
            let frames = tokio_stream::empty::<Result<Frame<Bytes>, Status>>();
            let frames = RecoverStream::<_, ()>::fed_by(frames, producer);
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        }));
    let body = service.call(Request::new(Script::new())).await.unwrap().into_body();
    assert!(body.collect().await.is_err(), "the encoder turns this error into trailers");
    assert!(location.lock().unwrap().take().unwrap().starts_with("recovery/tests/capture.rs:"));
    assert_eq!(previous(), 0, "nor does it speak twice");
    let _ = std::panic::take_hook();
}
