//! Refusals are counted by layer and reason, with any number of reasons.

use std::convert::Infallible;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tonic::{Code, Status};
use tonic_call::{AnswerBody, CallInfo, Refusal, Rejection};
use tonic_call_test_kit::Script;
use tonic_metrics_layer::MetricsLayer;
use tower::{Layer as _, Service, service_fn};

use crate::readings::Readings;

type Answer = Response<AnswerBody<Script>>;

/// Calls a known method once for each refusal. `answer` is the service inside the layer.
async fn calls(
    count: usize,
    answer: impl Fn(usize, &Request<tonic::body::Body>) -> Answer,
) -> Readings {
    let readings = Readings::new();
    let numbers = std::cell::Cell::new(0);
    let mut service =
        MetricsLayer::server().with_recorder(readings.clone()).layer(service_fn(async |request| {
            let number = numbers.replace(numbers.get() + 1);
            Ok::<_, Infallible>(if number == 0 { good() } else { answer(number, &request) })
        }));
    for _ in 0..=count {
        let request = Request::post("/a.B/C").body(Script::new()).unwrap();
        let mut body = service.call(request).await.unwrap().into_body();
        while let Some(Ok(_)) = body.frame().await {}
    }
    readings
}

fn good() -> Answer {
    Script::new().messages(1).trailers(Code::Ok).respond().map(AnswerBody::inner)
}

fn refuse(refusal: Refusal, request: &Request<tonic::body::Body>) -> Answer {
    Rejection::new(refusal, Status::permission_denied("")).into_response(request.extensions())
}

const BASE: &str = "grpc_type=\"unknown\",grpc_service=\"a.B\",grpc_method=\"C\"";

#[tokio::test]
async fn a_refusal_is_counted_by_layer_and_reason() {
    let readings = calls(3, |number, request| {
        let reason = if number == 1 { "TOKEN_EXPIRED" } else { "CREDENTIALS_MISSING" };
        refuse(Refusal::new("auth", reason), request)
    })
    .await;
    for (reason, count) in [("TOKEN_EXPIRED", 1.0), ("CREDENTIALS_MISSING", 2.0)] {
        let key = format!(
            "grpc_server_refused_total{{{BASE},refused_by=\"auth\",reason=\"{reason}\",shadow=\"false\"}}"
        );
        assert_eq!(readings.all()[&key], count);
    }
    assert_eq!(readings.sum("grpc_server_handled_total", "grpc_code=\"PermissionDenied\""), 3.0);
}

#[tokio::test]
async fn what_would_have_been_refused_is_told_apart_and_every_refusal_counts() {
    let readings = calls(2, |_, request| {
        let info = CallInfo::of(request.extensions()).unwrap();
        info.add_refusal(Refusal::shadow("ratelimit", "QUOTA"));
        refuse(Refusal::new("ratelimit", "QUOTA"), request)
    })
    .await;
    let refused = |labels| readings.sum("grpc_server_refused_total", labels);
    assert_eq!((refused("shadow=\"true\""), refused("shadow=\"false\"")), (2.0, 2.0));
}

#[tokio::test]
async fn a_call_that_nobody_refuses_has_no_such_series() {
    assert!(!calls(1, |_, _| good()).await.has("grpc_server_refused_total"));
}

#[tokio::test]
async fn past_a_hundred_reasons_there_is_one_more() {
    let readings = calls(1_000, |number, request| {
        refuse(Refusal::new("auth", format!("REASON_{number}")), request)
    })
    .await;
    let series = readings.all();
    let refused = series.iter().filter(|(key, _)| key.starts_with("grpc_server_refused_total"));
    assert_eq!(refused.count(), 101);
    assert_eq!(readings.sum("grpc_server_refused_total", "reason=\"other\""), 900.0);
    assert_eq!(readings.sum("grpc_server_refused_total", ""), 1_000.0);
}
