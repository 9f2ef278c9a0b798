use std::time::{Duration, Instant};

use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{GetOrderRequest, OrderEvent, WatchOrderRequest};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::common::process::Served;
use crate::common::{order, soon};

async fn channel(served: &Served) -> Channel {
    Endpoint::from_shared(served.url()).unwrap().connect().await.unwrap()
}

/// A watcher that has seen the first event.
async fn watcher(served: &Served) -> Streaming<OrderEvent> {
    let mut client = OrderServiceClient::new(channel(served).await);
    let created = client.create_order(order("ann@example.org", 1)).await.unwrap();
    let request = WatchOrderRequest { id: created.into_inner().id };
    let mut events = client.watch_order(request).await.unwrap().into_inner();
    soon(events.message()).await.unwrap().unwrap();
    events
}

#[tokio::test]
async fn a_watcher_is_sent_elsewhere_and_the_end_is_0() {
    let served = Served::start(&["--drain-delay", "0"]).await;
    let mut events = watcher(&served).await;
    served.signal(Signal::TERM);
    assert_eq!(soon(events.message()).await.unwrap_err().code(), Code::Unavailable);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("drained") && !log.contains("limit is reached"), "{log}");
}

#[tokio::test]
async fn it_is_not_ready_at_once_but_serves_on_until_the_second_signal() {
    let served = Served::start(&["--drain-delay", "1h", "--drain-limit", "2h"]).await;
    let mut client = OrderServiceClient::new(channel(&served).await);
    let mut health = HealthClient::new(channel(&served).await);
    let watched = health.watch(HealthCheckRequest::default()).await;
    let mut watched = watched.unwrap().into_inner();
    soon(watched.message()).await.unwrap().unwrap();

    served.signal(Signal::TERM);
    let now = soon(watched.message()).await.unwrap().unwrap();
    assert_eq!(now.status(), ServingStatus::NotServing);
    client.create_order(order("ann@example.org", 1)).await.unwrap();
    let mut fresh = OrderServiceClient::new(channel(&served).await);
    let id = "x".to_owned();
    let missing = fresh.get_order(GetOrderRequest { id }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);

    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.lines().last().unwrap().contains("second signal"), "{log}");
}

#[tokio::test]
async fn after_the_delay_it_takes_no_more_calls() {
    let served = Served::start(&["--drain-delay", "200ms", "--drain-limit", "10s"]).await;
    let mut events = watcher(&served).await;
    let began = Instant::now();
    served.signal(Signal::TERM);
    assert_eq!(soon(events.message()).await.unwrap_err().code(), Code::Unavailable);
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(served.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_peer_that_never_said_a_word_cannot_hold_it() {
    let served = Served::start(&["--drain-delay", "0", "--drain-limit", "300ms"]).await;
    let _silent = TcpStream::connect(&served.address).await.unwrap();
    // Connections are taken in their order: once this one is, so is the silent one.
    drop(watcher(&served).await);
    let began = Instant::now();
    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_peer_that_holds_a_call_open_and_says_no_more_cannot_hold_it() {
    let served = Served::start(&["--drain-delay", "0", "--drain-limit", "300ms"]).await;
    let mut peer = TcpStream::connect(&served.address).await.unwrap();
    peer.write_all(&preface_and_half_a_call()).await.unwrap();
    // What the server sends first are its settings, and that it has read ours.
    let mut heard = Vec::new();
    while !heard.windows(9).any(|frame| frame == SETTINGS_ACK) {
        assert_ne!(soon(peer.read_buf(&mut heard)).await.unwrap(), 0);
    }

    let began = Instant::now();
    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("limit is reached"), "{log}");
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(10), "{took:?}");
}

const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];

/// HTTP/2 by hand: empty settings, and the headers of `ImportOrders` without the end of its stream.
fn preface_and_half_a_call() -> Vec<u8> {
    fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.push(u8::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
    }
    // `:method: POST`, `:scheme: http`, then literals: a known name by its number, or 0 and the name.
    let mut headers = vec![0x83, 0x86, 0x04];
    text(&mut headers, "/orders.v1.OrderService/ImportOrders");
    headers.push(0x01);
    text(&mut headers, "localhost");
    headers.extend([0x0f, 0x10]);
    text(&mut headers, "application/grpc");
    headers.push(0x00);
    text(&mut headers, "te");
    text(&mut headers, "trailers");

    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    // HEADERS with END_HEADERS, on stream 1.
    bytes.extend([0, 0, u8::try_from(headers.len()).unwrap(), 1, 4, 0, 0, 0, 1]);
    bytes.extend(headers);
    bytes
}
