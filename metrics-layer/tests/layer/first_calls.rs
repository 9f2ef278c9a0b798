//! How the first calls after a start are counted, without a descriptor set.

use std::convert::Infallible;
use std::pin::pin;
use std::task::Poll;

use http::Request;
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{Refusal, Rejection};
use tonic_call_test_kit::{PanicsInDrop, Script, drain, frame_of, poll_once, silence_panics};
use tonic_metrics_layer::MetricsLayer;
use tower::{Layer as _, Service as _, service_fn};

use crate::readings::Readings;

const C: &str = "grpc_service=\"a.B\",grpc_method=\"C\"";
const UNKNOWN: &str = "grpc_method=\"unknown\"";

fn layer(readings: &Readings) -> MetricsLayer {
    MetricsLayer::server().with_recorder(readings.clone())
}

fn request(path: &str, body: Script) -> Request<Script> {
    Request::post(path).body(body).unwrap()
}

#[tokio::test]
async fn the_first_stream_has_its_name_while_it_is_open() {
    let readings = Readings::new();
    let mut service = layer(&readings).layer(service_fn(async |request: Request<Body>| {
        drain(request.into_body()).await;
        Ok::<_, Infallible>(Script::new().messages(2).trailers(Code::Ok).respond())
    }));
    let call = service.call(request("/a.B/C", Script::new().messages(3)));
    assert_eq!(readings.sum("grpc_server_in_flight", UNKNOWN), 1.0, "until its head is here");
    assert_eq!(readings.sum("grpc_server_started_total", ""), 0.0);

    let mut body = call.await.unwrap().into_body();
    assert_eq!(readings.sum("grpc_server_in_flight", C), 1.0);
    assert_eq!(readings.sum("grpc_server_in_flight", UNKNOWN), 0.0);
    assert_eq!(readings.sum("grpc_server_started_total", C), 1.0);
    assert_eq!(readings.sum("grpc_server_msg_received_total", C), 3.0, "those before the head");
    body.frame().await.unwrap().unwrap();
    assert_eq!(readings.sum("grpc_server_msg_sent_total", C), 1.0);
    while let Some(Ok(_)) = body.frame().await {}

    assert_eq!(readings.sum("grpc_server_handled_total", C), 1.0);
    assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0);
    for family in ["started_total", "msg_received_total", "msg_sent_total", "handled_total"] {
        assert_eq!(readings.sum(&format!("grpc_server_{family}"), UNKNOWN), 0.0, "{family}");
    }
}

#[tokio::test]
async fn the_sizes_of_early_messages_are_counted_where_the_call_is() {
    let readings = Readings::new();
    let layer = layer(&readings).message_bytes();
    let mut service = layer.layer(service_fn(async |request: Request<Body>| {
        drain(request.into_body()).await;
        Ok::<_, Infallible>(Script::new().trailers(Code::Ok).respond())
    }));
    let body = Script::new().data(frame_of(&[0; 10])).data(frame_of(&[0; 20]));
    drain(service.call(request("/a.B/C", body)).await.unwrap().into_body()).await;
    assert_eq!(readings.samples("grpc_server_msg_received_bytes"), [10.0, 20.0]);
    assert_eq!(readings.sum("grpc_server_msg_received_bytes", C), 2.0);
}

#[tokio::test]
async fn a_thousand_invented_paths_that_hang_are_one_gauge() {
    let readings = Readings::new();
    let mut service = layer(&readings).layer(service_fn(async |_| {
        std::future::pending::<Result<http::Response<Script>, Infallible>>().await
    }));
    let mut calls = Vec::new();
    for n in 0..1_000 {
        let mut call = Box::pin(service.call(request(&format!("/x.Y/{n}"), Script::new())));
        assert!(poll_once(call.as_mut()).is_pending());
        calls.push(call);
    }
    let gauges = readings.all().into_iter().filter(|(name, _)| name.contains("in_flight")).count();
    assert_eq!(gauges, 1);
    assert_eq!(readings.sum("grpc_server_in_flight", UNKNOWN), 1_000.0);
    drop(calls);
    assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0);
    assert_eq!(readings.sum("grpc_server_started_total", UNKNOWN), 1_000.0, "at the drop");
    assert_eq!(readings.sum("grpc_server_handled_total", UNKNOWN), 1_000.0);
}

#[tokio::test]
async fn a_known_method_that_stalls_is_started_all_the_same() {
    let readings = Readings::new();
    let layer = layer(&readings);
    let answers = service_fn(async |_| {
        Ok::<_, Infallible>(Script::new().messages(1).trailers(Code::Ok).respond())
    });
    let answer = layer.layer(answers).call(request("/a.B/C", Script::new())).await.unwrap();
    drain(answer.into_body()).await;
    let mut stalled = layer.layer(service_fn(async |_| {
        std::future::pending::<Result<http::Response<Script>, Infallible>>().await
    }));
    let mut call = pin!(stalled.call(request("/a.B/C", Script::new())));
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!(readings.sum("grpc_server_started_total", C), 2.0);
    assert_eq!(readings.sum("grpc_server_in_flight", C), 1.0);
}

#[tokio::test]
async fn a_hundred_thousand_refused_paths_make_nothing_known() {
    let readings = Readings::new();
    let layer = layer(&readings);
    let known = layer.known_methods();
    let mut service = layer.layer(service_fn(async |request: Request<Body>| {
        let refusal = Refusal::new("auth", "CREDENTIALS_MISSING");
        let status = Status::unauthenticated("");
        let status = Rejection::new(refusal, status).into_status(request.extensions());
        Ok::<_, Infallible>(status.into_http::<()>().map(|()| Script::new().says_end()))
    }));
    for n in 0..100_000 {
        let call = service.call(request(&format!("/x.Y{n}/Z"), Script::new()));
        let Poll::Ready(Ok(_)) = poll_once(pin!(call)) else { panic!("answers at once") };
    }
    assert!(known.is_empty());
    assert_eq!(readings.sum("grpc_server_handled_total", UNKNOWN), 100_000.0);
    assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0);
}

#[test]
fn a_panic_before_the_head_leaves_nothing_in_flight() {
    silence_panics();
    let readings = Readings::new();
    let mut service = layer(&readings).layer(service_fn(async |_| {
        let _guard = PanicsInDrop;
        std::future::pending::<Result<http::Response<Script>, Infallible>>().await
    }));
    let mut call = Box::pin(service.call(request("/a.B/C", Script::new())));
    assert!(poll_once(call.as_mut()).is_pending());
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(call)));
    assert!(unwound.is_err());
    assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0);
    assert_eq!(readings.sum("grpc_server_started_total", UNKNOWN), 1.0);
    assert_eq!(readings.sum("grpc_server_panics_total", UNKNOWN), 1.0);
}
