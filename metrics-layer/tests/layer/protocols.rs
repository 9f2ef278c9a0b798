//! The series of calls that a layer outside has translated into gRPC.

use std::convert::Infallible;

use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use tonic::Code;
use tonic_call::{CODES, CallInfo, Methods, Protocol, Refusal, code_name};
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Script};
use tonic_metrics_layer::{LabelError, Labels, MetricsLayer, Names};
use tower::{Layer as _, Service as _, service_fn};

use crate::readings::Readings;

const UNARY: &str = "/test.v1.Kinds/Unary";

/// The codes that the conventions for Connect define as server errors.
const FAULTS: [&str; 6] =
    ["unknown", "deadline_exceeded", "unimplemented", "internal", "unavailable", "data_loss"];

fn methods() -> Methods {
    Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap()
}

/// A call that a layer outside has translated from this protocol; `None` is a call without such a layer.
async fn call(layer: &MetricsLayer, path: &str, protocol: Option<Protocol>, code: Code) {
    let mut service = layer.layer(service_fn(|request: Request<_>| {
        if let Some(info) = CallInfo::of(request.extensions()) {
            info.add_refusal(Refusal::shadow("ratelimit", "per_second"));
        }
        let response = Script::new().messages(2).trailers(code).respond();
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    let mut request = Request::post(path).body(Script::new()).unwrap();
    request.extensions_mut().extend(protocol.map(extension).unwrap_or_default());
    let mut body = service.call(request).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {}
}

fn extension(protocol: Protocol) -> http::Extensions {
    let mut extensions = http::Extensions::new();
    extensions.insert(protocol);
    extensions
}

#[tokio::test]
async fn by_default_a_call_counts_in_the_same_series_whatever_its_protocol() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().methods(&methods()).with_recorder(readings.clone());
    call(&layer, UNARY, None, Code::NotFound).await;
    let (series, moved) = (readings.all().len(), readings.moved().len());
    for protocol in [Protocol::Grpc, Protocol::GrpcWeb, Protocol::GrpcWebText, Protocol::Connect] {
        call(&layer, UNARY, Some(protocol), Code::NotFound).await;
    }
    assert_eq!((readings.all().len(), readings.moved().len()), (series, moved));
    assert_eq!(readings.sum("grpc_server_handled_total", "grpc_code=\"NotFound\""), 5.0);
    assert!(readings.all().keys().all(|key| !key.contains("connect")));
}

#[tokio::test]
async fn opentelemetry_s_names_have_connect_s_system_and_its_codes() {
    for (names, label) in [
        (Names::OpenTelemetry, "rpc_response_status_code"),
        (Names::OpenTelemetryNext, "rpc_status_code"),
    ] {
        let readings = Readings::new();
        let layer = MetricsLayer::server().methods(&methods()).names(names);
        let layer = layer.with_recorder(readings.clone());
        for (path, method) in [(UNARY, "test.v1.Kinds/Unary"), ("/any/other", "_OTHER")] {
            for code in CODES {
                call(&layer, path, Some(Protocol::Connect), code).await;
                let name = match code {
                    Code::Ok => "OK".to_owned(),
                    Code::Cancelled => "canceled".to_owned(),
                    code => code_name(code).to_lowercase(),
                };
                let error = match FAULTS.contains(&&*name) {
                    true => format!(",error_type=\"{name}\""),
                    false => String::new(),
                };
                let key = format!(
                    "rpc_server_call_duration_seconds{{rpc_system_name=\"connectrpc\",\
                     rpc_method=\"{method}\",{label}=\"{name}\"{error}}}"
                );
                assert_eq!(readings.all()[&key], 1.0, "{key}");
            }
        }
        let refused = "grpc_server_refused_total";
        assert_eq!(readings.sum(refused, "rpc_system_name=\"connectrpc\""), 2.0 * 17.0);
        // Nothing else has changed: durations, and the refusals of two methods.
        assert_eq!(readings.moved().len(), 2 * 17 + 2, "{:?}", readings.moved());
    }
}

#[tokio::test]
async fn grpc_and_connect_calls_of_one_method_have_handles_of_their_own() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().methods(&methods()).names(Names::OpenTelemetry);
    let layer = layer.with_recorder(readings.clone());
    let mut registered = 0;
    for round in 0..2 {
        for protocol in [None, Some(Protocol::Connect), Some(Protocol::GrpcWeb)] {
            for path in [UNARY, "/test.v1.Kinds/Peek", "/any/other"] {
                call(&layer, path, protocol, Code::Ok).await;
            }
        }
        assert!(round == 0 || readings.registered() == registered, "none is asked for again");
        registered = readings.registered();
    }
    let duration = "rpc_server_call_duration_seconds";
    assert_eq!(readings.sum(duration, "rpc_system_name=\"grpc\""), 2.0 * 2.0 * 3.0);
    assert_eq!(readings.sum(duration, "rpc_system_name=\"connectrpc\""), 2.0 * 3.0);
}

#[tokio::test]
async fn a_server_without_connect_has_no_series_of_it() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().methods(&methods()).names(Names::OpenTelemetry);
    let layer = layer.with_recorder(readings.clone());
    let before = readings.all().len();
    call(&layer, UNARY, None, Code::Ok).await;
    call(&layer, UNARY, Some(Protocol::GrpcWeb), Code::Ok).await;
    assert!(readings.all().len() > before);
    assert!(readings.all().keys().all(|key| !key.contains("connectrpc")));
}

#[tokio::test]
async fn a_label_can_show_the_protocol_and_all_its_values_are_there_at_zero() {
    let readings = Readings::new();
    let labels = Labels::new().constant("region", "eu").unwrap().protocol("protocol").unwrap();
    let layer = MetricsLayer::server().methods(&methods()).labels(labels);
    let layer = layer.with_recorder(readings.clone());
    let _ = layer.observer();
    // Three protocols; seven families: `handled` with 17 codes, and six others.
    assert_eq!(readings.all().len(), methods().len() * 3 * (6 + 17));
    for (protocol, name, calls) in [
        (None, "grpc", 1.0),
        (Some(Protocol::Grpc), "grpc", 2.0),
        (Some(Protocol::GrpcWeb), "grpc-web", 1.0),
        (Some(Protocol::GrpcWebText), "grpc-web", 2.0),
        (Some(Protocol::Connect), "connect", 1.0),
    ] {
        call(&layer, UNARY, protocol, Code::NotFound).await;
        let labels = format!("region=\"eu\",protocol=\"{name}\"");
        for family in ["started_total", "handled_total", "handling_seconds"] {
            let family = format!("grpc_server_{family}");
            assert_eq!(readings.sum(&family, &labels), calls, "{family} {labels}");
        }
    }
    let code = "protocol=\"connect\",grpc_code=\"NotFound\"";
    assert_eq!(readings.sum("grpc_server_handled_total", code), 1.0);
}

#[tokio::test]
async fn with_the_label_the_names_of_opentelemetry_have_connect_at_zero() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().methods(&methods()).names(Names::OpenTelemetry);
    let layer = layer.labels(Labels::new().protocol("protocol").unwrap());
    let layer = layer.with_recorder(readings.clone());
    let _ = layer.observer();
    let systems = |key: &String| {
        let is_connect = key.contains("protocol=\"connect\"");
        assert_eq!(key.contains("rpc_system_name=\"connectrpc\""), is_connect, "{key}");
        is_connect
    };
    let series = readings.all().len();
    assert_eq!(readings.all().keys().filter(|key| systems(key)).count() * 3, series);
    call(&layer, UNARY, Some(Protocol::Connect), Code::NotFound).await;
    let labels = "protocol=\"connect\",rpc_response_status_code=\"not_found\"";
    assert_eq!(readings.sum("rpc_server_call_duration_seconds", labels), 1.0);
    // Only the series of the refusal is new.
    assert_eq!(readings.all().len(), series + 1);
}

/// Regression: a handler that forwards a Connect call with its extensions makes a gRPC call.
#[tokio::test]
async fn a_client_ignores_the_protocol_of_the_call_that_its_server_is_serving() {
    for names in [Names::Prometheus, Names::OpenTelemetry] {
        let readings = Readings::new();
        let layer = MetricsLayer::client().names(names);
        let layer = layer.labels(Labels::new().protocol("protocol").unwrap());
        let layer = layer.with_recorder(readings.clone());
        call(&layer, UNARY, Some(Protocol::Connect), Code::NotFound).await;
        assert!(!readings.all().is_empty());
        for key in readings.all().keys() {
            assert!(key.contains("protocol=\"grpc\"") && !key.contains("connectrpc"), "{key}");
            assert!(!key.contains("not_found"), "{key}");
        }
    }
}

#[tokio::test]
async fn a_caller_cannot_choose_connect() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().names(Names::OpenTelemetry).methods(&methods());
    let layer = layer.labels(Labels::new().protocol("protocol").unwrap());
    let layer = layer.with_recorder(readings.clone());
    for content_type in ["application/connect+proto", "application/json", "application/grpc"] {
        let mut service = layer.layer(service_fn(async |_| {
            Ok::<_, Infallible>(tonic::Status::ok("").into_http::<Script>())
        }));
        let request = Request::post(UNARY).header(CONTENT_TYPE, content_type);
        let request = request.header("connect-protocol-version", "1").header("protocol", "connect");
        service.call(request.body(Script::new()).unwrap()).await.unwrap();
    }
    let labels = "rpc_system_name=\"grpc\",rpc_method=\"test.v1.Kinds/Unary\",protocol=\"grpc\"";
    assert_eq!(readings.sum("rpc_server_call_duration_seconds", labels), 3.0);
    assert_eq!(readings.sum("rpc_server_call_duration_seconds", "protocol=\"connect\""), 0.0);
}

#[test]
fn a_label_for_the_protocol_is_checked_like_the_others() {
    let twice = Labels::new().protocol("protocol").unwrap().constant("protocol", "x");
    assert_eq!(twice.unwrap_err(), LabelError::DuplicateName("protocol".to_owned()));
    let error = Labels::new().protocol("grpc_method").unwrap_err();
    assert_eq!(error, LabelError::DuplicateName("grpc_method".to_owned()));
    let error = Labels::new().protocol("a-b").unwrap_err();
    assert_eq!(error, LabelError::InvalidName("a-b".to_owned()));
    let many = Labels::new().by("many", (0..49).map(|value| format!("v{value}")), |_| None);
    let error = many.unwrap().protocol("protocol").unwrap_err();
    assert_eq!(
        error,
        LabelError::TooManyCombinations { label: "protocol".to_owned(), combinations: 150 }
    );
}
