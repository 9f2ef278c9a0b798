use std::time::Duration;

use futures_util::{FutureExt, stream};
use orders::faults::Faults;
use orders::v1::{AdvanceOrderRequest, GetOrderRequest, ListOrdersRequest, WatchOrderRequest};
use tonic::{Code, Request, Status};

use crate::common::server::Server;
use crate::common::{order, soon, wrong_fields};

fn asking<T>(fault: &'static str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().append("x-fault", fault.parse().unwrap());
    request
}

/// The status of each of the seven methods.
async fn every_method(server: &Server, fault: &'static str) -> Vec<Result<(), Status>> {
    let client = || server.client.clone();
    let id = server.create(order("ann@example.org", 1)).await.id;
    vec![
        client().create_order(asking(fault, order("a@b", 1))).await.map(drop),
        client().get_order(asking(fault, GetOrderRequest { id: id.clone() })).await.map(drop),
        client().list_orders(asking(fault, ListOrdersRequest::default())).await.map(drop),
        client().watch_order(asking(fault, WatchOrderRequest { id: id.clone() })).await.map(drop),
        client().advance_order(asking(fault, AdvanceOrderRequest { id, stage: 1 })).await.map(drop),
        client().import_orders(asking(fault, stream::empty())).await.map(drop),
        client().quote_orders(asking(fault, stream::empty())).await.map(drop),
    ]
}

#[tokio::test]
async fn nobody_is_harmed_by_a_server_that_ignores_them() {
    let server = Server::start().await;
    for fault in ["panic", "status=DATA_LOSS", "nonsense"] {
        for answer in every_method(&server, fault).await {
            answer.unwrap();
        }
    }
}

#[tokio::test]
async fn a_status_is_answered_by_every_method() {
    let server = Server::with_faults(Faults::Enabled).await;
    for answer in every_method(&server, "status=DATA_LOSS").await {
        assert_eq!(answer.unwrap_err().code(), Code::DataLoss);
    }
}

#[tokio::test]
async fn a_status_can_be_limited_to_the_first_attempts_of_a_call() {
    let server = Server::with_faults(Faults::Enabled).await;
    for (previous, code) in [
        (None, Code::Aborted),
        (Some("1"), Code::Aborted),
        (Some("2"), Code::Ok),
        // Not a number of attempts.
        (Some("many"), Code::Aborted),
    ] {
        let mut request = asking("status=ABORTED*2", ListOrdersRequest::default());
        if let Some(previous) = previous {
            let number = previous.parse().unwrap();
            request.metadata_mut().insert("grpc-previous-rpc-attempts", number);
        }
        let answer = server.client.clone().list_orders(request).await;
        let seen = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        assert_eq!(seen, code, "{previous:?}");
    }
}

#[tokio::test]
async fn an_unknown_fault_is_refused_by_every_method() {
    let server = Server::with_faults(Faults::Enabled).await;
    for answer in every_method(&server, "explode").await {
        assert_eq!(wrong_fields(&answer.unwrap_err()), ["x-fault"]);
    }
}

#[tokio::test]
async fn a_panic_breaks_no_other_call() {
    let server = Server::with_faults(Faults::Enabled).await;
    for answer in every_method(&server, "panic").await {
        let panicked = answer.unwrap_err();
        assert_eq!(panicked.code(), Code::Internal);
        assert!(!panicked.message().contains("x-fault"), "{panicked:?}");
    }
    server.create(order("ann@example.org", 1)).await;
}

#[tokio::test]
async fn a_stream_panics_after_what_it_has_sent() {
    let server = Server::with_faults(Faults::Enabled).await;
    for cents in 0..5 {
        server.create(order("ann@example.org", cents)).await;
    }
    let request = asking("panic-after=3", ListOrdersRequest::default());
    let mut orders = server.client.clone().list_orders(request).await.unwrap().into_inner();
    for cents in 0..3 {
        assert_eq!(soon(orders.message()).await.unwrap().unwrap().total_cents, cents);
    }
    assert_eq!(soon(orders.message()).await.unwrap_err().code(), Code::Internal);

    // For a method with one response, the fault happens before the response.
    let request = asking("panic-after=3", order("a@b", 1));
    let panicked = server.client.clone().create_order(request).await.unwrap_err();
    assert_eq!(panicked.code(), Code::Internal);
}

#[tokio::test]
async fn a_delay_comes_before_everything_else() {
    let server = Server::with_faults(Faults::Enabled).await;
    let mut request = asking("delay=1h", GetOrderRequest::default());
    request.metadata_mut().append("x-fault", "status=ABORTED".parse().unwrap());
    let mut client = server.client.clone();
    let mut call = Box::pin(client.get_order(request));
    assert!((&mut call).now_or_never().is_none());
    // When this call has ended, the other one, on the same connection, has arrived and waits.
    server.create(order("ann@example.org", 1)).await;
    assert!((&mut call).now_or_never().is_none());
    drop(call);

    let mut request = asking("delay=1ms", GetOrderRequest::default());
    request.metadata_mut().append("x-fault", "status=ABORTED".parse().unwrap());
    let began = std::time::Instant::now();
    let aborted = soon(server.client.clone().get_order(request)).await.unwrap_err();
    assert_eq!(aborted.code(), Code::Aborted);
    assert!(began.elapsed() >= Duration::from_millis(1));
}
