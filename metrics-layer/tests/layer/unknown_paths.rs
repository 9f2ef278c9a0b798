//! All invented paths share one label value, and use no memory.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_call::{AnswerBody, Methods, Refusal, Rejection};
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, KindsService, Script};
use tonic_metrics_layer::MetricsLayer;
use tower::{Layer as _, Service, service_fn};

use crate::readings::Readings;

const PATHS: u64 = 100_000;

/// A recorder without histogram samples: their memory belongs to the recorder, not to the layer.
#[derive(Clone, Default)]
struct NoSamples(Readings);

impl Recorder for NoSamples {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.0.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.0.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        let _ = self.0.register_histogram(key, metadata);
        Histogram::noop()
    }
}

/// A plausible path, unique for each number.
fn path(number: u64) -> String {
    let scattered = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    match number % 10 {
        0 => format!("/{scattered:x}"),
        1 => format!("/test.v1.Kinds/{scattered:x}"),
        2 => format!("/a/{scattered:x}/b"),
        _ => format!("/scan.{:x}/{scattered:x}", scattered.rotate_left(17)),
    }
}

fn refuse(request: &Request<tonic::body::Body>) -> Response<AnswerBody<Script>> {
    let refusal = Refusal::new("auth", "CREDENTIALS_MISSING");
    Rejection::new(refusal, Status::permission_denied("")).into_response(request.extensions())
}

fn served() -> Response<AnswerBody<Script>> {
    Script::new().messages(1).trailers(Code::Ok).respond().map(AnswerBody::inner)
}

/// Calls these paths. The calls never wait.
fn call<S, B>(layer: &MetricsLayer, inner: impl Fn() -> S, numbers: impl Iterator<Item = u64>)
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes, Error = Status> + Send + 'static,
{
    let cx = &mut Context::from_waker(Waker::noop());
    let mut service = layer.layer(inner());
    for number in numbers {
        let request = Request::post(path(number)).body(Script::new()).unwrap();
        let Poll::Ready(Ok(_)) = Service::<Request<Script>>::poll_ready(&mut service, cx) else {
            panic!("always ready")
        };
        let Poll::Ready(response) = pin!(service.call(request)).poll(cx) else {
            panic!("answers at once")
        };
        let mut body = pin!(response.unwrap().into_body());
        while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(cx) {}
    }
}

/// Calls these paths; returns the memory that was allocated and the series that were added.
fn scan<S, B>(
    methods: Option<&Methods>,
    numbers: impl Iterator<Item = u64>,
    inner: impl Fn() -> S,
) -> (i64, Vec<String>)
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes, Error = Status> + Send + 'static,
{
    let readings = Readings::new();
    let layer = MetricsLayer::server().with_recorder(NoSamples(readings.clone()));
    let layer = match methods {
        Some(methods) => layer.methods(methods),
        None => layer,
    };
    let _ = layer.observer();
    let before: BTreeSet<_> = readings.all().into_keys().collect();
    // The first path allocates memory once.
    call(&layer, &inner, 0..10);
    let scanned = measure(|| call(&layer, &inner, numbers));
    let after: BTreeSet<_> = readings.all().into_keys().collect();
    (scanned.bytes_current, after.difference(&before).cloned().collect())
}

fn added(code: &str, refused: bool) -> Vec<String> {
    let labels = "grpc_type=\"unknown\",grpc_service=\"unknown\",grpc_method=\"unknown\"";
    let mut all = vec![
        format!("grpc_server_handled_total{{{labels},grpc_code=\"{code}\"}}"),
        format!("grpc_server_handling_seconds{{{labels}}}"),
        format!("grpc_server_in_flight{{{labels}}}"),
        format!("grpc_server_msg_received_total{{{labels}}}"),
        format!("grpc_server_msg_sent_total{{{labels}}}"),
        format!("grpc_server_panics_total{{{labels}}}"),
    ];
    if refused {
        all.push(format!(
            "grpc_server_refused_total{{{labels},refused_by=\"auth\",reason=\"CREDENTIALS_MISSING\",\
             shadow=\"false\"}}"
        ));
    }
    all.push(format!("grpc_server_started_total{{{labels}}}"));
    all
}

#[test]
fn a_hundred_thousand_refused_paths_add_one_label_value_and_no_memory() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    for methods in [None, Some(&methods)] {
        let (bytes, series) = scan(methods, 0..PATHS, || {
            service_fn(|request| std::future::ready(Ok::<_, Infallible>(refuse(&request))))
        });
        assert_eq!(bytes, 0, "bytes that are still held");
        assert_eq!(series, added("PermissionDenied", true));
    }
}

#[test]
fn a_hundred_thousand_paths_that_the_router_does_not_know_add_no_more() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let routes = Routes::new(KindsServer::new(KindsService::default())).prepare();
    for methods in [None, Some(&methods)] {
        let (bytes, series) = scan(methods, 0..PATHS, || routes.clone());
        assert_eq!(bytes, 0, "bytes that are still held");
        assert_eq!(series, added("Unimplemented", false));
    }
}

#[test]
fn paths_that_are_served_are_learnt_which_this_would_see() {
    let answers = || service_fn(|_| std::future::ready(Ok::<_, Infallible>(served())));
    let twice = (0..2_000).chain(0..2_000);
    let (bytes, series) = scan(None, twice.clone(), answers);
    assert!(bytes > 1_000_000, "{bytes}");
    // A thousand methods and `unknown`: six families that every call counts, and one code each.
    assert_eq!(series.len(), 1_001 * 7);

    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let (bytes, series) = scan(Some(&methods), twice, answers);
    assert_eq!(bytes, 0, "those that are described, and no others");
    assert_eq!(series, added("OK", false));
}
