//! Which series are registered, when, and in which recorder.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use metrics::Unit;
use tonic::body::Body;
use tonic::{Code, GrpcMethod};
use tonic_call::{KnownMethods, Methods, Observe, ObserveLayer, Observer, Side};
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Recorder, Script};
use tonic_metrics_layer::MetricsLayer;
use tower::{Layer, Service};

use crate::readings::{GO_CODES, Readings};

const SIDES: [Side; 2] = [Side::Server, Side::Client];

/// The methods of `test.v1`, and the kind of each.
const METHODS: [(&str, &str); 5] = [
    ("unary", "Unary"),
    ("client_stream", "ClientStream"),
    ("server_stream", "ServerStream"),
    ("bidi_stream", "BidiStream"),
    ("unary", "Peek"),
];

fn methods() -> Methods {
    Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap()
}

fn layer(side: Side) -> MetricsLayer {
    match side {
        Side::Server => MetricsLayer::server(),
        Side::Client => MetricsLayer::client(),
    }
}

/// The series of all methods of the descriptor set, with all codes.
fn described(side: Side, more: &[&str]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let prefix = if side == Side::Server { "grpc_server" } else { "grpc_client" };
    for (kind, method) in METHODS {
        let labels =
            format!("grpc_type=\"{kind}\",grpc_service=\"test.v1.Kinds\",grpc_method=\"{method}\"");
        let families = [
            "started_total",
            "msg_received_total",
            "msg_sent_total",
            "handling_seconds",
            "in_flight",
        ];
        for family in families.iter().chain(more) {
            all.insert(format!("{prefix}_{family}{{{labels}}}"));
        }
        for code in GO_CODES {
            all.insert(format!("{prefix}_handled_total{{{labels},grpc_code=\"{code}\"}}"));
        }
    }
    all
}

/// Makes one successful call.
async fn one_call<O: Observer>(
    layer: impl Layer<Answers, Service = Observe<Answers, O>>,
    path: &str,
) {
    let request = Request::post(path).body(Script::new()).unwrap();
    let mut body = layer.layer(Answers).call(request).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {}
}

/// Answers every call with `OK`.
#[derive(Clone)]
struct Answers;

impl Service<Request<Body>> for Answers {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Script>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Script::new().messages(1).trailers(Code::Ok).respond()))
    }
}

#[test]
fn with_a_descriptor_set_every_method_is_there_at_zero_with_its_kind_and_all_codes() {
    for side in SIDES {
        let readings = Readings::new();
        let layer = layer(side).methods(&methods()).with_recorder(readings.clone());
        assert_eq!(readings.all().len(), 0, "a layer that is not used counts nothing");
        let _ = layer.layer(Answers);
        let more: &[_] = if side == Side::Server { &["panics_total"] } else { &[] };
        assert_eq!(readings.all().into_keys().collect::<BTreeSet<_>>(), described(side, more));
        assert_eq!(readings.moved(), []);
    }
}

#[test]
fn histograms_of_sizes_are_there_too_if_they_are_on() {
    let readings = Readings::new();
    let layer = MetricsLayer::client().message_bytes().methods(&methods());
    let _ = layer.with_recorder(readings.clone()).observer();
    let more = ["msg_received_bytes", "msg_sent_bytes"];
    let all: BTreeSet<_> = readings.all().into_keys().collect();
    assert_eq!(all, described(Side::Client, &more));
}

#[tokio::test]
async fn a_call_of_a_described_method_adds_no_series() {
    for side in SIDES {
        let readings = Readings::new();
        let layer = layer(side).methods(&methods()).with_recorder(readings.clone());
        let _ = layer.observer();
        let (before, registered) = (readings.all().len(), readings.registered());
        for (_, method) in METHODS {
            one_call(layer.clone(), &format!("/test.v1.Kinds/{method}")).await;
        }
        assert_eq!((readings.all().len(), readings.registered()), (before, registered));
        let started = if side == Side::Server {
            "grpc_server_started_total"
        } else {
            "grpc_client_started_total"
        };
        for (kind, method) in METHODS {
            let labels = format!(
                "grpc_type=\"{kind}\",grpc_service=\"test.v1.Kinds\",grpc_method=\"{method}\""
            );
            assert_eq!(readings.sum(started, &labels), 1.0, "{method}");
        }
    }
}

#[tokio::test]
async fn health_has_its_name_and_kind_with_any_descriptor_set_and_no_series_before_it_is_called() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().methods(&methods()).with_recorder(readings.clone());
    let _ = layer.observer();
    assert_eq!(readings.sum("grpc_server_started_total", "grpc_service=\"grpc.health"), 0.0);
    assert!(!readings.all().keys().any(|series| series.contains("grpc.health")));
    for _ in 0..3 {
        one_call(layer.clone(), "/grpc.health.v1.Health/Check").await;
        one_call(layer.clone(), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo").await;
    }
    for labels in [
        "grpc_type=\"unary\",grpc_service=\"grpc.health.v1.Health\",grpc_method=\"Check\"",
        "grpc_type=\"bidi_stream\",grpc_service=\"grpc.reflection.v1.ServerReflection\"",
    ] {
        assert_eq!(readings.sum("grpc_server_started_total", labels), 3.0, "{labels}");
    }
    assert_eq!(readings.sum("grpc_server_started_total", "grpc_method=\"unknown\""), 0.0);
}

/// A descriptor set with `grpc.health.v1.Health/Check`, like that of tonic-health.
fn health() -> Vec<u8> {
    // Fields of `google.protobuf.*Descriptor*`: all are strings or messages.
    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, value.len() as u8][..], value].concat()
    }
    let message = |name: &str| field(4, &field(1, name.as_bytes()));
    let method =
        [field(1, b"Check"), field(2, b".grpc.health.v1.A"), field(3, b".grpc.health.v1.A")];
    let service = [field(1, b"Health"), field(2, &method.concat())].concat();
    let file = [field(1, b"h"), field(2, b"grpc.health.v1"), message("A"), field(6, &service)];
    field(1, &file.concat())
}

#[tokio::test]
async fn health_and_reflection_are_counted_unless_they_are_left_out() {
    for (excluded, series) in [(false, true), (true, false)] {
        let readings = Readings::new();
        let methods = methods().and_descriptor_set(&health()).unwrap();
        let layer = MetricsLayer::server().methods(&methods).with_recorder(readings.clone());
        let layer = if excluded { layer.exclude_infrastructure() } else { layer };
        let _ = layer.observer();
        let of_health = |series: &String| series.contains("grpc_service=\"grpc.health");
        assert_eq!(readings.all().keys().any(of_health), series, "before the first call");
        for path in [
            "/grpc.health.v1.Health/Check",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/test.v1.Kinds/Unary",
            // The service does not have this method; its call is still counted.
            "/grpc.health.v1.Health/Invented",
        ] {
            one_call(layer.clone(), path).await;
        }
        let started = |labels| readings.sum("grpc_server_started_total", labels);
        assert_eq!(started("grpc_service=\"grpc."), if excluded { 0.0 } else { 2.0 });
        assert_eq!(started("grpc_service=\"test.v1.Kinds\""), 1.0);
        assert_eq!(started("grpc_service=\"unknown\""), 1.0);
        assert_eq!(readings.all().keys().any(of_health), series);
    }
}

#[test]
fn what_each_call_of_a_method_uses_is_registered_together_and_before_what_few_calls_use() {
    for side in SIDES {
        let readings = Readings::new();
        let _ = layer(side).methods(&methods()).with_recorder(readings.clone()).observer();
        let order = readings.order();
        let of_each_call = |series: &&String| {
            let is_other_code =
                series.contains("grpc_code=") && !series.contains("grpc_code=\"OK\"");
            !is_other_code && !series.contains("_panics_total")
        };
        let hot = 6 * METHODS.len();
        assert!(order[..hot].iter().all(|series| of_each_call(&series)), "{order:#?}");
        assert_eq!(order.iter().filter(of_each_call).count(), hot);
        for ((_, method), series) in METHODS.iter().zip(order.chunks(6)) {
            let label = format!("grpc_method=\"{method}\"");
            assert!(series.iter().all(|series| series.contains(&label)), "{series:#?}");
        }
    }
}

#[tokio::test]
async fn a_code_of_a_described_method_is_requested_again_when_it_first_occurs() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().methods(&methods()).with_recorder(readings.clone());
    let _ = layer.observer();
    let (series, registered) = (readings.all().len(), readings.registered());
    for _ in 0..3 {
        for code in [Code::NotFound, Code::Unauthenticated] {
            let service = tower::service_fn(move |_: Request<Body>| {
                let answer = Script::new().messages(1).trailers(code).respond();
                ready(Ok::<_, Infallible>(answer))
            });
            let request = Request::post("/test.v1.Kinds/Unary").body(Script::new()).unwrap();
            let mut body = layer.layer(service).call(request).await.unwrap().into_body();
            while let Some(Ok(_)) = body.frame().await {}
        }
    }
    assert_eq!((readings.all().len(), readings.registered()), (series, registered + 2));
    for code in ["NotFound", "Unauthenticated"] {
        let labels = format!("grpc_method=\"Unary\",grpc_code=\"{code}\"");
        assert_eq!(readings.sum("grpc_server_handled_total", &labels), 3.0, "{code}");
    }
}

#[tokio::test]
async fn handles_are_asked_for_once_per_method_and_code() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().with_recorder(readings.clone());
    // The first call makes the method known.
    for _ in 0..2 {
        one_call(layer.clone(), "/a.B/C").await;
    }
    let registered = readings.registered();
    for _ in 0..100 {
        one_call(layer.clone(), "/a.B/C").await;
    }
    assert_eq!(readings.registered(), registered);
    assert_eq!(registered, readings.all().len(), "none is asked for twice");
    assert_eq!(readings.sum("grpc_server_handled_total", "grpc_method=\"C\""), 102.0);
    assert_eq!(readings.sum("grpc_server_handled_total", "grpc_method=\"unknown\""), 0.0);
}

#[tokio::test]
async fn two_layers_with_two_recorders_count_apart() {
    let [one, other] = [Readings::new(), Readings::new()];
    let layers = [&one, &other].map(|to| MetricsLayer::server().with_recorder(to.clone()));
    for (layer, count) in layers.into_iter().zip([1, 2]) {
        for _ in 0..count {
            one_call(layer.clone(), "/a.B/C").await;
        }
    }
    assert_eq!(one.sum("grpc_server_handled_total", ""), 1.0);
    assert_eq!(other.sum("grpc_server_handled_total", ""), 2.0);
}

#[tokio::test]
async fn two_layers_with_one_recorder_count_together() {
    let readings = Readings::new();
    let recorder = Arc::new(readings.clone());
    for _ in 0..2 {
        one_call(MetricsLayer::server().with_recorder(Arc::clone(&recorder)), "/a.B/C").await;
    }
    assert_eq!(readings.sum("grpc_server_handled_total", ""), 2.0);
}

#[tokio::test]
async fn clones_share_what_they_learn_and_their_handles() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().with_recorder(readings.clone());
    let clone = layer.clone();
    one_call(layer, "/a.B/C").await;
    one_call(clone, "/a.B/C").await;
    assert_eq!(readings.sum("grpc_server_handled_total", "grpc_method=\"C\""), 2.0);
    assert_eq!(readings.registered(), readings.all().len());
}

#[tokio::test]
async fn one_pass_is_shared_with_another_observer() {
    let (readings, calls) = (Readings::new(), Recorder::new());
    let metrics = MetricsLayer::server().methods(&methods()).with_recorder(readings.clone());
    let observers = (metrics.observer(), calls.clone());
    let registered = readings.registered();
    let layer = ObserveLayer::server(observers).known(metrics.known_methods());
    one_call(layer, "/test.v1.Kinds/Unary").await;
    assert_eq!(calls.only().rpc, "test.v1.Kinds/Unary");
    assert_eq!(readings.sum("grpc_server_handled_total", "grpc_method=\"Unary\""), 1.0);
    assert_eq!(readings.registered(), registered, "by the same numbers");
}

#[tokio::test]
async fn an_observer_in_a_layer_that_numbers_methods_otherwise_counts_right() {
    let readings = Readings::new();
    let metrics = MetricsLayer::server().methods(&methods()).with_recorder(readings.clone());
    let series = {
        let _ = metrics.observer();
        readings.all().len()
    };
    // Methods are learned in the order of the calls, including methods that are not in the descriptor set.
    let known = Arc::new(KnownMethods::learning());
    let layer = ObserveLayer::server(metrics.observer()).known(known);
    let names = ["Peek", "BidiStream", "Unary", "A", "B", "C", "D", "E", "F"];
    for name in names {
        for _ in 0..3 {
            one_call(layer.clone(), &format!("/test.v1.Kinds/{name}")).await;
        }
    }
    for name in names {
        let handled = readings.sum("grpc_server_handled_total", &format!("_method=\"{name}\""));
        assert_eq!(handled, 2.0, "{name}: known from the second call on");
    }
    let kind =
        "grpc_type=\"bidi_stream\",grpc_service=\"test.v1.Kinds\",grpc_method=\"BidiStream\"";
    assert_eq!(readings.sum("grpc_server_started_total", kind), 2.0);
    // Six methods that are not in the descriptor set, and `unknown`: six families and one code each.
    assert_eq!(readings.all().len(), series + 7 * 7);
}

#[tokio::test]
async fn a_method_beyond_the_table_does_not_take_the_place_of_those_that_are_not_known() {
    let readings = Readings::new();
    let metrics = MetricsLayer::client().methods(&methods()).with_recorder(readings.clone());
    let layer = ObserveLayer::client(metrics.observer());
    let mut service = layer.layer(Answers);
    // Methods that generated code calls are known at once. With the five standard methods, these are more than the
    // descriptor set has.
    for name in ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"] {
        let mut request = Request::post(format!("/a.B/{name}")).body(Script::new()).unwrap();
        request.extensions_mut().insert(GrpcMethod::new("a.B", name));
        drop(service.call(request).await.unwrap());
    }
    one_call(layer, "/x/y").await;
    let started = |labels| readings.sum("grpc_client_started_total", labels);
    assert_eq!(started("grpc_service=\"a.B\""), 12.0);
    assert_eq!(started("grpc_service=\"unknown\",grpc_method=\"unknown\""), 1.0);
}

#[test]
fn every_family_is_described_with_its_unit_before_it_is_registered() {
    let readings = Readings::new();
    let _ = MetricsLayer::server().message_bytes().with_recorder(readings.clone()).observer();
    let mut described = readings.described();
    described.sort_by(|(one, _), (other, _)| one.cmp(other));
    let count = Some(Unit::Count);
    let expected = [
        ("grpc_server_handled_total", count),
        ("grpc_server_handling_seconds", Some(Unit::Seconds)),
        ("grpc_server_in_flight", count),
        ("grpc_server_msg_received_bytes", Some(Unit::Bytes)),
        ("grpc_server_msg_received_total", count),
        ("grpc_server_msg_sent_bytes", Some(Unit::Bytes)),
        ("grpc_server_msg_sent_total", count),
        ("grpc_server_panics_total", count),
        ("grpc_server_refused_total", count),
        ("grpc_server_started_total", count),
    ];
    assert_eq!(described, expected.map(|(name, unit)| (name.to_owned(), unit)));
}
