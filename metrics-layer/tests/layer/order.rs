//! The order of a call's updates: the in-flight gauge changes first and last.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use http::Request;
use http_body::Body as _;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tonic::Code;
use tonic_call_test_kit::{Script, silence_panics};
use tonic_metrics_layer::MetricsLayer;
use tower::{Layer as _, Service as _, service_fn};

/// Records the names of the updated metrics in order.
#[derive(Clone, Default)]
struct Events {
    events: Arc<Mutex<Vec<String>>>,
    panics_at: Option<&'static str>,
}

struct Event {
    name: String,
    events: Events,
}

impl Event {
    fn new(key: &Key, events: &Events) -> Arc<Self> {
        Arc::new(Self { name: key.name().to_owned(), events: events.clone() })
    }

    fn happens(&self, what: &str) {
        self.events.events.lock().unwrap().push(format!("{}{what}", self.name));
        assert!(self.events.panics_at != Some(&self.name), "in a recorder, on purpose");
    }
}

impl CounterFn for Event {
    fn increment(&self, _: u64) {
        self.happens("");
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Event {
    fn increment(&self, _: f64) {
        self.happens(" up");
    }

    fn decrement(&self, _: f64) {
        self.happens(" down");
    }

    fn set(&self, _: f64) {}
}

impl HistogramFn for Event {
    fn record(&self, _: f64) {
        self.happens("");
    }
}

impl Recorder for Events {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Event::new(key, self))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Event::new(key, self))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Event::new(key, self))
    }
}

fn one_call(events: &Events) -> Vec<String> {
    let mut service =
        MetricsLayer::server().with_recorder(events.clone()).layer(service_fn(async |_| {
            Ok::<_, Infallible>(Script::new().messages(1).trailers(Code::Ok).respond())
        }));
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let cx = &mut Context::from_waker(Waker::noop());
        let request = Request::post("/").body(Script::new()).unwrap();
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(cx) else {
            panic!("answers at once")
        };
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(cx) {}
    }));
    events.events.lock().unwrap().clone()
}

#[test]
fn a_call_is_in_flight_before_it_is_started_and_until_it_is_handled() {
    assert_eq!(
        one_call(&Events::default()),
        [
            "grpc_server_in_flight up",
            "grpc_server_started_total",
            "grpc_server_msg_sent_total",
            "grpc_server_handled_total",
            "grpc_server_handling_seconds",
            "grpc_server_in_flight down",
        ]
    );
}

#[test]
fn a_recorder_that_panics_leaves_nothing_in_flight() {
    silence_panics();
    for family in ["started_total", "msg_sent_total", "handled_total", "handling_seconds"] {
        let name: &'static str = format!("grpc_server_{family}").leak();
        let events = Events { panics_at: Some(name), ..Events::default() };
        let counts = |events: &[String], what: &str| {
            events.iter().filter(|event| **event == format!("grpc_server_in_flight {what}")).count()
        };
        let events = one_call(&events);
        assert_eq!((counts(&events, "up"), counts(&events, "down")), (1, 1), "{events:?}");
    }
}
