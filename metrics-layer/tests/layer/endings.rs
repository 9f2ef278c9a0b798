//! Each ending is counted once, with its code and the call's full duration, and no call stays in flight.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tonic::{Code, Status};
use tonic_call::{Observer as _, Rpc, Side};
use tonic_call_test_kit::Script;
use tonic_metrics_layer::MetricsLayer;
use tower::{Layer as _, Service, service_fn};

use crate::readings::Readings;

const SIDES: [Side; 2] = [Side::Server, Side::Client];

fn layer(side: Side, readings: &Readings) -> MetricsLayer {
    let layer = match side {
        Side::Server => MetricsLayer::server(),
        Side::Client => MetricsLayer::client(),
    };
    layer.with_recorder(readings.clone())
}

fn request(body: Script) -> Request<Script> {
    Request::post("/test.v1.Kinds/Any").body(body).unwrap()
}

fn family(side: Side, name: &str) -> String {
    match side {
        Side::Server => format!("grpc_server_{name}"),
        Side::Client => format!("grpc_client_{name}"),
    }
}

/// Asserts that one call has started and ended with this code, and that no call is in flight.
#[track_caller]
fn assert_one(side: Side, readings: &Readings, code: &str) {
    let sum = |name: &str, labels: &str| readings.sum(&family(side, name), labels);
    assert_eq!(sum("started_total", ""), 1.0);
    assert_eq!(sum("handled_total", ""), 1.0);
    assert_eq!(sum("handled_total", &format!("grpc_code=\"{code}\"")), 1.0, "{readings:?}");
    assert_eq!(sum("handling_seconds", ""), 1.0);
    assert!(readings.has(&family(side, "in_flight")));
    assert_eq!(sum("in_flight", ""), 0.0);
}

/// A body that takes one second per message.
struct Slow {
    script: Script,
    tick: Pin<Box<tokio::time::Sleep>>,
}

impl Slow {
    fn new(script: Script) -> Self {
        Self { script, tick: Box::pin(tokio::time::sleep(Duration::from_secs(1))) }
    }
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        std::task::ready!(self.tick.as_mut().poll(cx));
        let next = tokio::time::Instant::now() + Duration::from_secs(1);
        self.tick.as_mut().reset(next);
        Pin::new(&mut self.script).poll_frame(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_at_its_end_is_counted_so_and_timed_to_its_end() {
    for side in SIDES {
        let readings = Readings::new();
        let mut service = layer(side, &readings).layer(service_fn(async |_| {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let script = Script::new().messages(5).trailers(Code::DataLoss);
            Ok::<_, Infallible>(script.respond().map(Slow::new))
        }));
        let response = service.call(request(Script::new())).await.unwrap();
        assert_eq!(readings.sum(&family(side, "handled_total"), ""), 0.0, "not at its head");
        let mut body = response.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        assert_one(side, &readings, "DataLoss");
        let [seconds] = readings.samples(&family(side, "handling_seconds"))[..] else {
            panic!("one sample")
        };
        // Two seconds until the head, then five messages and the trailers; tokio's timers have a resolution of 1 ms.
        assert!((8.0..8.1).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn a_call_is_in_flight_from_its_begin_to_its_end() {
    for side in SIDES {
        let in_flight = family(side, "in_flight");
        let readings = Readings::new();
        let mut service = layer(side, &readings).layer(service_fn(async |_| {
            Ok::<_, Infallible>(Script::new().messages(1).trailers(Code::Ok).respond())
        }));
        let future = service.call(request(Script::new()));
        assert_eq!(readings.sum(&in_flight, ""), 1.0, "before it is polled");
        let mut body = future.await.unwrap().into_body();
        assert_eq!(readings.sum(&in_flight, ""), 1.0, "after its head");
        body.frame().await.unwrap().unwrap();
        assert_eq!(readings.sum(&in_flight, ""), 1.0, "before its trailers");
        body.frame().await.unwrap().unwrap();
        assert_eq!(readings.sum(&in_flight, ""), 0.0, "with its trailers");
        drop(body);
        assert_one(side, &readings, "OK");
    }
}

#[tokio::test]
async fn a_call_dropped_before_its_head_is_cancelled() {
    for side in SIDES {
        for polls in 0..2 {
            let readings = Readings::new();
            let mut service = layer(side, &readings).layer(service_fn(async |_| {
                pending::<Result<Response<Script>, Infallible>>().await
            }));
            let mut future = Box::pin(service.call(request(Script::new())));
            for _ in 0..polls {
                assert!(poll_once(future.as_mut()).is_pending());
            }
            drop(future);
            assert_one(side, &readings, "Canceled");
        }
    }
}

#[tokio::test]
async fn a_stream_dropped_after_any_of_its_messages_is_cancelled() {
    for side in SIDES {
        for taken in 0..=3 {
            let readings = Readings::new();
            let mut service = layer(side, &readings).layer(service_fn(async |_| {
                Ok::<_, Infallible>(Script::new().messages(3).trailers(Code::Ok).respond())
            }));
            let mut body = service.call(request(Script::new())).await.unwrap().into_body();
            for _ in 0..taken {
                body.frame().await.unwrap().unwrap();
            }
            drop(body);
            // After the third poll all messages have arrived, but not the trailers.
            assert_one(side, &readings, "Canceled");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_its_deadline_is_a_deadline() {
    for side in SIDES {
        for (elapsed, code) in [(900, "Canceled"), (1_000, "DeadlineExceeded")] {
            let readings = Readings::new();
            let mut service = layer(side, &readings).layer(service_fn(async |_| {
                pending::<Result<Response<Script>, Infallible>>().await
            }));
            let mut request = request(Script::new());
            request.headers_mut().insert("grpc-timeout", "1S".parse().unwrap());
            let mut future = Box::pin(service.call(request));
            assert!(poll_once(future.as_mut()).is_pending());
            tokio::time::advance(Duration::from_millis(elapsed)).await;
            drop(future);
            assert_one(side, &readings, code);
        }
    }
}

#[tokio::test]
async fn every_other_ending_is_counted_once() {
    type Answer = fn() -> Result<Response<Script>, Status>;
    let endings: [(&str, &str, Answer); 6] = [
        ("NotFound", "NotFound", || Ok(Status::not_found("").into_http().map(|()| Script::new()))),
        ("OK", "OK", || Ok(Status::ok("").into_http().map(|()| Script::new().says_end()))),
        ("Unavailable", "Unavailable", || Err(Status::unavailable(""))),
        ("Aborted", "Aborted", || {
            Ok(Script::new().messages(1).error(Status::aborted("")).respond())
        }),
        ("Unknown", "Unknown", || Ok(Script::new().messages(1).respond())),
        ("InvalidArgument", "Unauthenticated", || {
            let mut response = Response::new(Script::new());
            *response.status_mut() = http::StatusCode::UNAUTHORIZED;
            Ok(response)
        }),
    ];
    for side in SIDES {
        for (on_server, on_client, answer) in endings {
            let code = if side == Side::Server { on_server } else { on_client };
            let readings = Readings::new();
            let mut service =
                layer(side, &readings).layer(service_fn(move |_| std::future::ready(answer())));
            if let Ok(response) = service.call(request(Script::new())).await {
                let mut body = response.into_body();
                while let Some(Ok(_)) = body.frame().await {}
            }
            assert_one(side, &readings, code);
        }
    }
}

#[tokio::test]
async fn a_request_that_broke_off_is_cancelled_whatever_is_answered() {
    let readings = Readings::new();
    let mut service =
        layer(Side::Server, &readings).layer(service_fn(async |request: Request<_>| {
            let mut body: tonic::body::Body = request.into_body();
            while let Some(Ok(_)) = body.frame().await {}
            Ok::<_, Infallible>(Script::new().messages(1).trailers(Code::Internal).respond())
        }));
    let broken = Script::new().messages(2).error(Status::cancelled("reset"));
    let mut body = service.call(request(broken)).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {}
    assert_one(Side::Server, &readings, "Canceled");
    assert_eq!(readings.sum("grpc_server_msg_received_total", ""), 2.0);
}

#[tokio::test]
async fn messages_are_counted_as_they_pass() {
    let readings = Readings::new();
    let layer = layer(Side::Client, &readings).message_bytes();
    let mut service = layer.layer(service_fn(async |request: Request<tonic::body::Body>| {
        let mut body = request.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        Ok::<_, Infallible>(Script::new().messages(3).trailers(Code::Ok).respond())
    }));
    let script = Script::new().message(b"four").message(b"");
    let mut body = service.call(request(script)).await.unwrap().into_body();
    for count in 1..=3 {
        body.frame().await.unwrap().unwrap();
        assert_eq!(readings.sum("grpc_client_msg_received_total", ""), f64::from(count));
    }
    assert_eq!(readings.sum("grpc_client_msg_sent_total", ""), 2.0);
    assert_eq!(readings.samples("grpc_client_msg_received_bytes"), [1.0; 3]);
    assert_eq!(readings.samples("grpc_client_msg_sent_bytes"), [4.0, 0.0]);
}

#[test]
fn a_call_whose_end_is_never_told_does_not_stay_in_flight() {
    let readings = Readings::new();
    let metrics = layer(Side::Server, &readings).observer();
    let mut head = Request::new(()).into_parts().0;
    let call = metrics.begin(Side::Server, &Rpc::from_path(None), &mut head).unwrap();
    assert_eq!(readings.sum("grpc_server_in_flight", ""), 1.0);
    drop(call);
    assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0);
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
