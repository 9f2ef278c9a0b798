use std::time::{Duration, Instant};

use orders::drain::{Drain, Drained, Signal};
use orders::v1::{GetOrderRequest, WatchOrderRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::common::server::Server;
use crate::common::{order, soon};

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn it_is_not_ready_at_once_and_still_serves() {
    let server = Server::with_drain(Drain::new(LONG, 3 * LONG)).await;
    let mut health = HealthClient::new(server.channel().await);
    let watched = health.watch(HealthCheckRequest::default()).await;
    let mut watched = watched.unwrap().into_inner();
    let first = soon(watched.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    server.signal(Signal::Terminate);
    let second = soon(watched.message()).await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);
    let service = "orders.v1.OrderService".to_owned();
    let checked = health.check(HealthCheckRequest { service }).await.unwrap();
    assert_eq!(checked.into_inner().status(), ServingStatus::NotServing);

    // On the connection that is there, and on a new one.
    let created = server.create(order("ann@example.org", 1)).await;
    let mut fresh =
        orders::v1::order_service_client::OrderServiceClient::new(server.channel().await);
    fresh.get_order(GetOrderRequest { id: created.id }).await.unwrap();
}

#[tokio::test]
async fn a_call_that_runs_is_finished_and_streams_without_end_are_ended() {
    let server = Server::with_drain(Drain::new(Duration::ZERO, LONG)).await;
    let mut client = server.client.clone();
    let (send, requests) = mpsc::unbounded_channel();
    let import =
        tokio::spawn(
            async move { client.import_orders(UnboundedReceiverStream::new(requests)).await },
        );
    send.send(order("ann@example.org", 1)).unwrap();

    let watched = server.create(order("bob@example.org", 1)).await;
    let request = WatchOrderRequest { id: watched.id };
    let events = server.client.clone().watch_order(request).await;
    let mut events = events.unwrap().into_inner();
    soon(events.message()).await.unwrap().unwrap();
    let mut health = HealthClient::new(server.channel().await);
    let status = health.watch(HealthCheckRequest::default()).await;
    let mut status = status.unwrap().into_inner();

    server.signal(Signal::Terminate);
    assert_eq!(soon(events.message()).await.unwrap_err().code(), Code::Unavailable);
    // Its connection would be held open by a health watch, too.
    while soon(status.message()).await.unwrap().is_some() {}
    drop((events, status, health));

    send.send(order("ann@example.org", 2)).unwrap();
    drop(send);
    let imported = soon(import).await.unwrap().unwrap().into_inner();
    assert_eq!(imported.created, 2);
    assert_eq!(server.ended().await, Drained::Wholly);
}

#[tokio::test]
async fn the_limit_wins_over_a_call_that_does_not_end() {
    let limit = Duration::from_millis(100);
    let server = Server::with_drain(Drain::new(Duration::ZERO, limit)).await;
    let (send, requests) = mpsc::unbounded_channel();
    let mut client = server.client.clone();
    let _import =
        tokio::spawn(
            async move { client.import_orders(UnboundedReceiverStream::new(requests)).await },
        );
    send.send(order("ann@example.org", 1)).unwrap();
    // Calls on one connection arrive in order: the import is there, too.
    server.create(order("bob@example.org", 1)).await;

    let began = Instant::now();
    server.signal(Signal::Terminate);
    assert_eq!(server.ended().await, Drained::Partly);
    assert!(began.elapsed() >= limit);
}

#[tokio::test]
async fn a_delay_leaves_half_of_the_limit_to_the_calls() {
    let server = Server::with_drain(Drain::new(LONG, Duration::from_millis(400))).await;
    let watched = server.create(order("ann@example.org", 1)).await;
    let request = WatchOrderRequest { id: watched.id };
    let events = server.client.clone().watch_order(request).await;
    let mut events = events.unwrap().into_inner();
    soon(events.message()).await.unwrap().unwrap();
    server.signal(Signal::Terminate);
    assert_eq!(soon(events.message()).await.unwrap_err().code(), Code::Unavailable);
    drop(events);
    assert_eq!(server.ended().await, Drained::Wholly);
}

#[tokio::test]
async fn ctrl_c_does_not_wait_for_load_balancers() {
    let server = Server::with_drain(Drain::new(LONG, 3 * LONG)).await;
    server.signal(Signal::Interrupt);
    assert_eq!(server.ended().await, Drained::Wholly);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let server = Server::with_drain(Drain::new(LONG, 3 * LONG)).await;
    server.signal(Signal::Terminate);
    server.signal(Signal::Terminate);
    assert_eq!(server.ended().await, Drained::Hastily);
}
