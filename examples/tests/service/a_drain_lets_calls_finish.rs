use std::time::{Duration, Instant};

use orders::drain::{Drained, Signal};
use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{GetOrderRequest, ListOrdersRequest, WatchOrderRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::common::server::{Server, drain};
use crate::common::{order, reason, soon};

/// Longer than any test runs.
const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn it_is_not_ready_at_once_and_still_serves() {
    let server = Server::with_drain(drain(LONG, 3 * LONG)).await;
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

    // On the open connection, and on a new one.
    let created = server.create(order("ann@example.org", 1)).await;
    let mut fresh = OrderServiceClient::new(server.channel().await);
    fresh.get_order(GetOrderRequest { id: created.id }).await.unwrap();
}

#[tokio::test]
async fn a_call_that_runs_is_finished_and_streams_without_end_are_ended() {
    let server = Server::with_drain(drain(Duration::ZERO, LONG)).await;
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
    // A health watch would keep its connection open, too.
    let ended = loop {
        if let Err(ended) = soon(status.message()).await {
            break ended;
        }
    };
    assert_eq!(ended.code(), Code::Unavailable);
    drop((events, status, health));

    send.send(order("ann@example.org", 2)).unwrap();
    drop(send);
    let imported = soon(import).await.unwrap().unwrap().into_inner();
    assert_eq!(imported.created, 2);
    assert_eq!(server.ended().await, Drained::Complete);
}

#[tokio::test]
async fn the_limit_wins_over_a_call_that_does_not_end() {
    let limit = Duration::from_millis(100);
    let server = Server::with_drain(drain(Duration::ZERO, limit)).await;
    let (send, requests) = mpsc::unbounded_channel();
    let mut client = server.client.clone();
    let _import =
        tokio::spawn(
            async move { client.import_orders(UnboundedReceiverStream::new(requests)).await },
        );
    send.send(order("ann@example.org", 1)).unwrap();
    // Calls on one connection arrive in order: the import has arrived, too.
    server.create(order("bob@example.org", 1)).await;

    let began = Instant::now();
    server.signal(Signal::Terminate);
    assert_eq!(server.ended().await, Drained::TimedOut);
    assert!(began.elapsed() >= limit);
}

#[tokio::test]
async fn ctrl_c_does_not_wait_for_load_balancers() {
    let server = Server::with_drain(drain(LONG, 3 * LONG)).await;
    server.signal(Signal::Interrupt);
    assert_eq!(server.ended().await, Drained::Complete);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let server = Server::with_drain(drain(LONG, 3 * LONG)).await;
    server.signal(Signal::Terminate);
    server.signal(Signal::Interrupt);
    assert_eq!(server.ended().await, Drained::Forced);
}

/// Guards against: a stream of a third-party service, which does not know that the server shuts down.
#[tokio::test]
async fn an_open_reflection_does_not_hold_it() {
    let server = Server::with_drain(drain(Duration::ZERO, LONG)).await;
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let (ask, questions) = mpsc::unbounded_channel();
    let message_request = Some(MessageRequest::ListServices(String::new()));
    ask.send(ServerReflectionRequest { message_request, ..Default::default() }).unwrap();
    let answers = reflection.server_reflection_info(UnboundedReceiverStream::new(questions));
    let mut answers = answers.await.unwrap().into_inner();
    soon(answers.message()).await.unwrap().unwrap();

    server.signal(Signal::Terminate);
    let ended = soon(answers.message()).await.unwrap_err();
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
    drop((reflection, answers));
    assert_eq!(server.ended().await, Drained::Complete);
    drop(ask);
}

/// Guards against: a list that is ended although it was about to be complete.
#[tokio::test]
async fn a_page_that_is_being_sent_is_finished() {
    // More than the flow-control window of a caller that does not read.
    const ORDERS: usize = 1000;
    let server = Server::with_drain(drain(Duration::ZERO, LONG)).await;
    let email = format!("{}@example.org", "a".repeat(230));
    let orders = (0..ORDERS).map(|_| order(&email, 1)).collect::<Vec<_>>();
    server.client.clone().import_orders(futures_util::stream::iter(orders)).await.unwrap();
    let narrow = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let narrow = narrow.initial_stream_window_size(16 * 1024).connect().await.unwrap();
    let mut client = OrderServiceClient::new(narrow);
    let request = ListOrdersRequest { page_size: 1000, ..Default::default() };
    let mut listed = client.list_orders(request).await.unwrap().into_inner();
    soon(listed.message()).await.unwrap().unwrap();
    let id = server.create(order("bob@example.org", 1)).await.id;
    let watched = server.client.clone().watch_order(WatchOrderRequest { id }).await;
    let mut watched = watched.unwrap().into_inner();
    soon(watched.message()).await.unwrap().unwrap();

    server.signal(Signal::Terminate);
    // The drain has ended the streams.
    soon(watched.message()).await.unwrap_err();
    let mut count = 1;
    while soon(listed.message()).await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, ORDERS);
    drop((client, listed, watched));
    assert_eq!(server.ended().await, Drained::Complete);
}
