//! With the panic hook in place, location and backtrace are told, and caught panics keep silent.
//!
//! One test: the hook is the process's.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use tonic::Status;
use tonic_call_test_kit::Script;
use tonic_recovery_layer::{RecoveryLayer, capture_panics, capture_panics_quietly};
use tower::{Layer as _, Service as _, service_fn};

#[derive(Debug, Default, Clone)]
struct Told {
    location: Option<String>,
    backtrace: bool,
}

async fn told(panics: impl Fn() + Clone + Send + 'static) -> Told {
    let told = Arc::new(Mutex::new(Told::default()));
    let handler = Arc::clone(&told);
    let layer = RecoveryLayer::server().with_handler(move |panic| {
        *handler.lock().unwrap() = Told {
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
    told.lock().unwrap().clone()
}

#[tokio::test]
async fn location_and_backtrace_are_told_and_the_previous_hook_is_chained() {
    static PREVIOUS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {
        PREVIOUS.fetch_add(1, Ordering::SeqCst);
    }));
    let previous = || PREVIOUS.swap(0, Ordering::SeqCst);

    let before = told(|| panic!("before")).await;
    assert!(before.location.is_none() && !before.backtrace);
    assert_eq!(previous(), 1);

    capture_panics();
    capture_panics();
    let line = line!() + 1;
    let captured = told(|| panic!("captured")).await;
    let location = captured.location.unwrap();
    assert!(location.starts_with(&format!("recovery/tests/capture.rs:{line}:")), "{location}");
    assert!(captured.backtrace);
    assert_eq!(previous(), 1, "the previous hook still sees it, once");

    // What somebody inside caught is not told in place of what came through.
    let other = told(|| {
        let _ = catch_unwind(AssertUnwindSafe(|| panic!("caught inside")));
        resume_unwind(Box::new("raised without the hook"));
    })
    .await;
    assert!(other.location.is_none(), "{other:?}");
    assert_eq!(previous(), 1);

    capture_panics_quietly();
    assert!(told(|| panic!("quiet")).await.location.is_some());
    assert_eq!(previous(), 0, "what is caught keeps silent");
    let _ = catch_unwind(|| panic!("not in a call"));
    assert_eq!(previous(), 1, "anything else does not");
    let _ = std::panic::take_hook();
}
