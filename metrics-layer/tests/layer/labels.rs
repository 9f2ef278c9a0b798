//! Extra labels only have declared values.

use std::convert::Infallible;

use http::{Request, request};
use tonic_call::Methods;
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Script};
use tonic_metrics_layer::{LabelError, Labels, MetricsLayer, Names};
use tower::{Layer as _, Service as _, service_fn};

use crate::readings::Readings;

fn tier(head: &request::Parts) -> Option<&str> {
    head.headers.get("x-tier")?.to_str().ok()
}

fn zone(head: &request::Parts) -> Option<&str> {
    head.headers.get("x-zone")?.to_str().ok()
}

fn labels() -> Labels {
    Labels::new()
        .by("tier", ["free", "paid"], tier)
        .and_then(|labels| labels.constant("region", "eu"))
        .and_then(|labels| labels.by("zone", ["a", "b", "c"], zone))
        .unwrap()
}

async fn call(layer: &MetricsLayer, tier: &str, zone: &str) {
    call_of(layer, "/test.v1.Kinds/Unary", tier, zone).await;
}

async fn call_of(layer: &MetricsLayer, path: &str, tier: &str, zone: &str) {
    let mut service = layer.layer(service_fn(async |_| {
        Ok::<_, Infallible>(tonic::Status::not_found("").into_http::<Script>())
    }));
    let request = Request::post(path);
    let request = request.header("x-tier", tier).header("x-zone", zone);
    service.call(request.body(Script::new()).unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_call_has_the_labels_that_its_head_says_and_other_for_what_was_not_declared() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().labels(labels()).with_recorder(readings.clone());
    let calls = [
        ("free", "a"),
        ("free", "b"),
        ("paid", "c"),
        ("paid", "c"),
        ("gold", "a"),
        ("", "z"),
        ("other", "b"),
    ];
    for (tier, zone) in calls {
        call(&layer, tier, zone).await;
    }
    for (tier, zone, count) in [
        ("free", "a", 1.0),
        ("free", "b", 1.0),
        ("free", "c", 0.0),
        ("paid", "c", 2.0),
        ("other", "a", 1.0),
        ("other", "b", 1.0),
        ("other", "other", 1.0),
    ] {
        let labels = format!("tier=\"{tier}\",region=\"eu\",zone=\"{zone}\"");
        for family in ["started_total", "handled_total", "handling_seconds"] {
            let family = format!("grpc_server_{family}");
            assert_eq!(readings.sum(&family, &labels), count, "{family} {labels}");
        }
    }
    assert_eq!(readings.sum("grpc_server_started_total", ""), 7.0);
    // Every family has the extra labels.
    for key in readings.all().keys() {
        assert!(key.contains("tier=") && key.contains("region=\"eu\",zone="), "{key}");
    }
}

#[test]
fn every_combination_of_a_described_method_is_there_at_zero() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let readings = Readings::new();
    let layer = MetricsLayer::client().methods(&methods).labels(labels());
    let _ = layer.with_recorder(readings.clone()).observer();
    // Three tiers and four zones, with `other`; five families, and `handled` with 17 codes.
    assert_eq!(readings.all().len(), methods.len() * 3 * 4 * (5 + 17));
    for tier in ["free", "paid", "other"] {
        for zone in ["a", "b", "c", "other"] {
            let labels = format!(
                "grpc_client_started_total{{grpc_type=\"unary\",grpc_service=\"test.v1.Kinds\",\
                 grpc_method=\"Unary\",tier=\"{tier}\",region=\"eu\",zone=\"{zone}\"}}"
            );
            assert_eq!(readings.all()[&labels], 0.0);
        }
    }
}

#[tokio::test]
async fn each_combination_of_each_method_has_handles_of_its_own() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let readings = Readings::new();
    let layer = MetricsLayer::server().methods(&methods).labels(labels());
    let layer = layer.with_recorder(readings.clone());
    let mut registered = 0;
    for round in 0..2 {
        for path in ["/test.v1.Kinds/Unary", "/test.v1.Kinds/Peek", "/any/other"] {
            for tier in ["free", "paid", "other"] {
                for zone in ["a", "b", "c", "other"] {
                    call_of(&layer, path, tier, zone).await;
                }
            }
        }
        assert!(round == 0 || readings.registered() == registered, "none is asked for again");
        registered = readings.registered();
    }
    // Each series once; and once more those of the code that ended the calls of the two described methods, in each of
    // twelve combinations, because they were registered without handles.
    assert_eq!(registered, readings.all().len() + 2 * 12);
    let started = "grpc_server_started_total";
    for (key, value) in readings.all().into_iter().filter(|(key, _)| key.starts_with(started)) {
        let called = ["\"Unary\"", "\"Peek\"", "\"unknown\""].iter().any(|name| key.contains(name));
        assert_eq!(value, if called { 2.0 } else { 0.0 }, "{key}");
    }
}

#[tokio::test]
async fn opentelemetry_s_names_have_them_too() {
    let readings = Readings::new();
    let layer = MetricsLayer::server().names(Names::OpenTelemetry).labels(labels());
    call(&layer.with_recorder(readings.clone()), "paid", "").await;
    let labels = "tier=\"paid\",region=\"eu\",zone=\"other\"";
    assert_eq!(readings.sum("rpc_server_call_duration_seconds", labels), 1.0);
}

#[test]
fn a_label_that_is_none_is_an_error_that_names_it() {
    for name in ["", "1st", "a-b", "a.b", "é", "__name", "a b"] {
        let error = Labels::new().constant(name, "x").unwrap_err();
        assert_eq!(error, LabelError::InvalidName(name.to_owned()));
        assert_eq!(error.to_string(), format!("`{name}` is not a valid label name"));
    }
    for name in ["a", "_", "_a1", "A_9"] {
        Labels::new().constant(name, "x").unwrap();
    }
}

#[test]
fn a_label_that_is_there_already_is_an_error() {
    for name in ["grpc_method", "grpc_code", "le", "quantile", "refused_by", "rpc_method", "tier"] {
        let error = labels().by(name, ["x"], |_| None).unwrap_err();
        assert_eq!(error, LabelError::DuplicateName(name.to_owned()));
        assert_eq!(error.to_string(), format!("the label `{name}` already exists"));
    }
}

#[test]
fn a_label_without_values_is_an_error() {
    for values in [vec![], vec!["a", ""]] {
        let error = Labels::new().by("tier", values, tier).unwrap_err();
        assert_eq!(error, LabelError::InvalidValues("tier".to_owned()));
    }
    let error = Labels::new().constant("region", "").unwrap_err();
    assert_eq!(error.to_string(), "the label `region` has no values, or an empty one");
}

#[test]
fn more_than_a_hundred_combinations_are_an_error() {
    let values = |count: usize| (0..count).map(|value| format!("v{value}"));
    let labels = Labels::new().by("ten", values(9), |_| None).unwrap();
    labels.clone().by("ten_more", values(9), |_| None).unwrap();
    // Duplicate values, and `other` itself, count once.
    let twice = values(9).chain(values(9)).chain(["other".to_owned()]);
    labels.clone().by("ten_more", twice, |_| None).unwrap();
    let error = labels.by("eleven_more", values(10), |_| None).unwrap_err();
    assert_eq!(
        error,
        LabelError::TooManyCombinations { label: "eleven_more".to_owned(), combinations: 110 }
    );
    assert_eq!(
        error.to_string(),
        "the label `eleven_more` makes 110 combinations of values; the limit is 100"
    );
}
