//! A panic is counted once, wherever it is recovered, and no call stays in flight.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use http_body::Body;
use tonic::Code;
use tonic::transport::Server;
use tonic_call::ObserveLayer;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{
    KINDS, KindsService, PanicsInDrop, Recorder, Script, ask, call, listen, silence_panics,
};
use tonic_metrics_layer::MetricsLayer;
use tonic_recovery_layer::RecoveryLayer;
use tower::{Layer as _, Service, service_fn};

use crate::readings::Readings;

/// The position of the recovery layer, relative to this one.
#[derive(Clone, Copy, Debug)]
enum Recovery {
    Inside,
    Outside,
    Nowhere,
}

const RECOVERIES: [Recovery; 3] = [Recovery::Inside, Recovery::Outside, Recovery::Nowhere];

/// The place where a call panics.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Call,
    Future,
    /// Before the head, after the caller has left.
    FutureDrop,
    Body,
    /// After the trailers.
    BodyDrop,
    Nowhere,
}

fn panics_at(
    place: Place,
) -> impl Service<
    Request<tonic::body::Body>,
    Response = Response<Script>,
    Error = Infallible,
    Future: Send + 'static,
> {
    service_fn(move |_| {
        assert!(place != Place::Call, "in call, on purpose");
        let bomb = (place == Place::FutureDrop).then(|| PanicsInDrop);
        async move {
            let _bomb = bomb;
            assert!(place != Place::Future, "in a future, on purpose");
            if place == Place::FutureDrop {
                std::future::pending::<()>().await;
            }
            let script = Script::new().messages(1);
            Ok(match place {
                Place::Body => script.panic(),
                Place::BodyDrop => script.trailers(Code::Ok).panics_in_drop(),
                _ => script.trailers(Code::Ok),
            }
            .respond())
        }
    })
}

/// Runs a call like an HTTP server, and catches panics outside all layers.
fn drive<S, B>(mut service: S)
where
    S: Service<Request<Script>, Response = Response<B>>,
    B: Body,
{
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let cx = &mut Context::from_waker(Waker::noop());
        let request = Request::post("/test.v1.Kinds/Any").body(Script::new()).unwrap();
        let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(cx) else { return };
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(cx) {
            if frame.is_trailers() {
                return;
            }
        }
    }));
}

fn one_call(recovery: Recovery, place: Place) -> Readings {
    silence_panics();
    let readings = Readings::new();
    let metrics = MetricsLayer::server().with_recorder(readings.clone());
    let service = panics_at(place);
    match recovery {
        Recovery::Inside => drive(metrics.layer(RecoveryLayer::server().layer(service))),
        Recovery::Outside => drive(RecoveryLayer::server().layer(metrics.layer(service))),
        Recovery::Nowhere => drive(metrics.layer(service)),
    }
    readings
}

#[test]
fn a_panic_is_counted_once_wherever_it_is_and_whoever_recovers_it() {
    for recovery in RECOVERIES {
        for (place, code, panics) in [
            (Place::Call, "Internal", 1.0),
            (Place::Future, "Internal", 1.0),
            (Place::Body, "Internal", 1.0),
            (Place::BodyDrop, "OK", 1.0),
            (Place::Nowhere, "OK", 0.0),
        ] {
            let readings = one_call(recovery, place);
            let case = format!("{place:?}, recovered {recovery:?}");
            assert_eq!(readings.sum("grpc_server_panics_total", ""), panics, "{case}");
            let handled = |labels| readings.sum("grpc_server_handled_total", labels);
            assert_eq!(handled(""), 1.0, "{case}");
            assert_eq!(handled(&format!("grpc_code=\"{code}\"")), 1.0, "{case}: {readings:?}");
            assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0, "{case}");
        }
    }
}

#[test]
fn a_panic_in_dropping_an_unfinished_call_is_counted_too() {
    for recovery in RECOVERIES {
        let readings = one_call(recovery, Place::FutureDrop);
        assert_eq!(readings.sum("grpc_server_panics_total", ""), 1.0, "{recovery:?}");
        assert_eq!(readings.sum("grpc_server_handled_total", ""), 1.0, "{recovery:?}");
        assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0, "{recovery:?}");
    }
}

#[tokio::test]
async fn over_a_socket_every_kind_of_call_that_panics_is_counted_once() {
    silence_panics();
    for recovery in RECOVERIES {
        let (readings, calls) = (Readings::new(), Recorder::new());
        let metrics = MetricsLayer::server().with_recorder(readings.clone());
        let (incoming, endpoint) = listen();
        let kinds = KindsServer::new(KindsService::default());
        let server = Server::builder().layer(ObserveLayer::server(calls.clone()));
        match recovery {
            Recovery::Inside => {
                let mut server = server.layer(metrics).layer(RecoveryLayer::server());
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
            Recovery::Outside => {
                let mut server = server.layer(RecoveryLayer::server()).layer(metrics);
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
            Recovery::Nowhere => {
                let mut server = server.layer(metrics);
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
        }
        let mut kinds = KindsClient::new(endpoint.connect().await.unwrap());
        for act in [Act::PanicInHandler, Act::Panic, Act::Unspecified] {
            for kind in KINDS {
                call(&mut kinds, kind, ask(act, 0), &[]).await;
            }
        }
        calls.until_ended(12).await;
        assert_eq!(readings.sum("grpc_server_panics_total", ""), 8.0, "{recovery:?}");
        let handled = |labels| readings.sum("grpc_server_handled_total", labels);
        assert_eq!(handled("grpc_code=\"Internal\""), 8.0, "{recovery:?}");
        assert_eq!(handled("grpc_code=\"OK\""), 4.0, "{recovery:?}");
        assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0, "{recovery:?}");
    }
}

#[tokio::test]
async fn a_client_counts_its_calls_that_panic_and_no_panics() {
    silence_panics();
    let readings = Readings::new();
    let metrics = MetricsLayer::client().with_recorder(readings.clone());
    drive(metrics.layer(panics_at(Place::Body)));
    assert_eq!(readings.sum("grpc_client_handled_total", "grpc_code=\"Internal\""), 1.0);
    assert_eq!(readings.sum("grpc_client_in_flight", ""), 0.0);
    assert!(!readings.has("grpc_server_panics_total") && !readings.has("grpc_client_panics_total"));
}
