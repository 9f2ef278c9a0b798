//! The metric names of OpenTelemetry.

use std::convert::Infallible;

use http::Request;
use http_body_util::BodyExt as _;
use tonic_call::{CODES, Methods, Side, code_name};
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Script};
use tonic_metrics_layer::{CodeSpelling, MetricsLayer, Names};
use tower::{Layer as _, Service as _, service_fn};

use crate::readings::Readings;

/// The codes that the semantic conventions for gRPC define as server errors.
const FAULTS: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

fn layer(side: Side, names: Names) -> (MetricsLayer, Readings) {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let readings = Readings::new();
    let layer = match side {
        Side::Server => MetricsLayer::server(),
        Side::Client => MetricsLayer::client(),
    };
    (layer.methods(&methods).names(names).with_recorder(readings.clone()), readings)
}

#[tokio::test]
async fn each_code_is_timed_and_named_a_failure_as_the_side_has_it() {
    for (names, label) in [
        (Names::OpenTelemetry, "rpc_response_status_code"),
        (Names::OpenTelemetryNext, "rpc_status_code"),
    ] {
        for side in [Side::Server, Side::Client] {
            let (layer, readings) = layer(side, names);
            // The setting has no effect on these names.
            let layer = layer.code_spelling(CodeSpelling::Go);
            let prefix = if side == Side::Server { "rpc_server" } else { "rpc_client" };
            for (path, method) in
                [("/test.v1.Kinds/Unary", "test.v1.Kinds/Unary"), ("/any/other", "_OTHER")]
            {
                for code in CODES {
                    let mut service = layer.layer(service_fn(async |_| {
                        let script = Script::new().messages(2).trailers(code);
                        Ok::<_, Infallible>(script.respond())
                    }));
                    let request = Request::post(path).body(Script::new()).unwrap();
                    let mut body = service.call(request).await.unwrap().into_body();
                    while let Some(Ok(_)) = body.frame().await {}

                    let name = code_name(code);
                    let is_failure = match side {
                        Side::Server => FAULTS.contains(&name),
                        Side::Client => name != "OK",
                    };
                    let error =
                        if is_failure { format!(",error_type=\"{name}\"") } else { String::new() };
                    let key = format!(
                        "{prefix}_call_duration_seconds{{rpc_system_name=\"grpc\",\
                         rpc_method=\"{method}\",{label}=\"{name}\"{error}}}"
                    );
                    assert_eq!(readings.all()[&key], 1.0);
                }
            }
            // No other series has changed, and no call is in flight.
            assert_eq!(readings.moved().len(), 2 * 17, "{:?}", readings.moved());
        }
    }
}

#[test]
fn every_code_of_a_described_method_is_there_at_zero_and_no_other_family_but_those_without_a_name()
{
    let (layer, readings) = layer(Side::Server, Names::OpenTelemetry);
    let _ = layer.observer();
    assert_eq!(readings.moved(), []);
    let mut families: Vec<_> =
        readings.all().keys().map(|key| key.split('{').next().unwrap().to_owned()).collect();
    assert_eq!(families.len(), 5 * (17 + 2));
    families.dedup();
    assert_eq!(
        families,
        ["grpc_server_in_flight", "grpc_server_panics_total", "rpc_server_call_duration_seconds"]
    );
}
