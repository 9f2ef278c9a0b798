use std::time::{Duration, Instant};

use orders::connections::ConnectionLimits;
use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{GetOrderRequest, WatchOrderRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::common::server::Server;
use crate::common::{frames, order, soon};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(3_600);

async fn call(client: &mut OrderServiceClient<Channel>) {
    let request = GetOrderRequest { id: "x".to_owned() };
    assert_eq!(soon(client.get_order(request)).await.unwrap_err().code(), Code::NotFound);
}

/// The bytes that the server sends until it closes the connection.
async fn until_closed(socket: &mut TcpStream) -> Vec<u8> {
    let mut heard = Vec::new();
    // An error closes it, too.
    while matches!(soon(socket.read_buf(&mut heard)).await, Ok(1..)) {}
    heard
}

fn says_goodbye(heard: &[u8]) -> bool {
    frames::read(heard).iter().any(|(kind, _)| *kind == frames::GO_AWAY)
}

/// Guards against: slow loris, which kept a file descriptor and a task for each connection.
#[tokio::test]
async fn one_that_does_not_send_its_preface_is_closed() {
    let connections = ConnectionLimits::default().preface_timeout(SHORT).idle_timeout(LONG);
    let server = Server::with_connections(connections).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    stuck.write_all(&frames::hello()[..20]).await.unwrap();
    until_closed(&mut silent).await;
    until_closed(&mut stuck).await;
    assert!(began.elapsed() >= SHORT);
    // A connection with a preface stays open.
    call(&mut server.client.clone()).await;
}

/// Guards against: a client that sends its preface, or a call, and then nothing more.
#[tokio::test]
async fn one_that_has_no_call_for_too_long_is_sent_away_and_closed() {
    let server = Server::with_connections(ConnectionLimits::default().idle_timeout(SHORT)).await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(&frames::hello()).await.unwrap();
    let heard = until_closed(&mut silent).await;
    assert!(says_goodbye(&heard), "{:?}", frames::read(&heard));
    assert!(began.elapsed() >= SHORT);

    let mut half_a_head = TcpStream::connect(server.address).await.unwrap();
    let head = frames::headers(1, "/orders.v1.OrderService/GetOrder");
    half_a_head.write_all(&[&frames::hello(), &head[..20]].concat()).await.unwrap();
    until_closed(&mut half_a_head).await;
}

#[tokio::test]
async fn one_with_a_stream_is_not_idle_and_a_client_whose_was_closed_connects_anew() {
    let server = Server::with_connections(ConnectionLimits::default().idle_timeout(SHORT)).await;
    let id = server.create(order("ann@example.org", 1)).await.id;
    let mut watcher = OrderServiceClient::new(server.channel().await);
    let mut events = watcher.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
    soon(events.message()).await.unwrap().unwrap();
    // Idle connections that were opened after the watch are closed: by then the watch's would be closed, too, if it
    // were idle.
    for _ in 0..2 {
        let mut silent = TcpStream::connect(server.address).await.unwrap();
        silent.write_all(&frames::hello()).await.unwrap();
        until_closed(&mut silent).await;
    }
    // On the connection that the watch keeps open, and on a connection that was closed.
    call(&mut watcher).await;
    call(&mut server.client.clone()).await;
}

const SHORT_HTTP1: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// Reads the head of an answer without a body.
async fn answer(socket: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(b"\r\n\r\n") {
        assert_ne!(soon(socket.read_buf(&mut heard)).await.unwrap(), 0, "{heard:?}");
    }
    String::from_utf8(heard).unwrap()
}

/// Guards against: slow loris, and connections that are kept alive for ever.
#[tokio::test]
async fn one_over_http_1_is_closed_when_it_is_idle() {
    let server = Server::with_connections(ConnectionLimits::default().idle_timeout(SHORT)).await;
    let mut half_a_head = TcpStream::connect(server.address).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nx-long: and so on";
    half_a_head.write_all(head).await.unwrap();
    assert!(until_closed(&mut half_a_head).await.is_empty());

    let mut kept_alive = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        kept_alive.write_all(SHORT_HTTP1).await.unwrap();
        assert!(answer(&mut kept_alive).await.starts_with("HTTP/1.1 400 "));
    }
    assert!(until_closed(&mut kept_alive).await.is_empty());
}

/// A request over HTTP/1.1 can be shorter than the preface of HTTP/2.
#[tokio::test]
async fn one_over_http_1_needs_no_preface() {
    let connections = ConnectionLimits::default().preface_timeout(SHORT).idle_timeout(LONG);
    let server = Server::with_connections(connections).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(SHORT_HTTP1).await.unwrap();
    answer(&mut socket).await;
    // When a later one is closed, the time of the first is over.
    until_closed(&mut TcpStream::connect(server.address).await.unwrap()).await;
    socket.write_all(SHORT_HTTP1).await.unwrap();
    assert!(answer(&mut socket).await.starts_with("HTTP/1.1 400 "));
}

/// Guards against: one token that opened 19,159 streams on one connection.
#[tokio::test]
async fn one_has_so_many_streams_and_no_more() {
    let server = Server::with_connections(ConnectionLimits::default().max_streams(2)).await;
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    let mut bytes = frames::hello();
    for stream in [1, 3, 5] {
        bytes.extend(frames::headers(stream, "/orders.v1.OrderService/ImportOrders"));
    }
    socket.write_all(&bytes).await.unwrap();
    let mut heard = Vec::new();
    loop {
        assert_ne!(soon(socket.read_buf(&mut heard)).await.unwrap(), 0);
        let reset = frames::read(&heard).into_iter().find(|(kind, _)| *kind == frames::RESET);
        if let Some((_, stream)) = reset {
            assert_eq!(stream, 5);
            break;
        }
    }
}

/// Guards against: thousands of idle connections that keep other clients out.
#[tokio::test]
async fn silent_ones_give_way_and_one_with_a_call_stays() {
    const AT_MOST: usize = 64;
    let connections = ConnectionLimits::default()
        .max_connections(AT_MOST)
        .preface_timeout(LONG)
        .idle_timeout(LONG);
    let server = Server::with_connections(connections).await;
    let id = server.create(order("ann@example.org", 1)).await.id;
    let mut watcher = server.client.clone();
    let mut events = watcher.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
    soon(events.message()).await.unwrap().unwrap();

    let mut silent = Vec::new();
    for _ in 0..10 * AT_MOST {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let began = Instant::now();
    let mut fresh = OrderServiceClient::new(server.channel().await);
    call(&mut fresh).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    call(&mut watcher).await;
    // The oldest were closed first, and the maximum number remains.
    let mut closed = 0;
    for socket in &mut silent[..9 * AT_MOST] {
        until_closed(socket).await;
        closed += 1;
    }
    assert_eq!(closed, 9 * AT_MOST);
}

/// Guards against: `Health/Watch`, which needs no token, kept open on each connection.
#[tokio::test]
async fn ones_that_only_watch_health_give_way() {
    let connections = ConnectionLimits::default().max_connections(2).idle_timeout(LONG);
    let server = Server::with_connections(connections).await;
    let mut watches = Vec::new();
    for _ in 0..2 {
        let mut health = HealthClient::new(server.channel().await);
        let watch = soon(health.watch(HealthCheckRequest::default())).await.unwrap();
        watches.push((health, watch));
    }
    call(&mut OrderServiceClient::new(server.channel().await)).await;
}

#[tokio::test]
async fn where_all_have_calls_a_new_one_is_closed_at_once() {
    let connections = ConnectionLimits::default().max_connections(1).idle_timeout(LONG);
    let server = Server::with_connections(connections).await;
    let id = server.create(order("ann@example.org", 1)).await.id;
    let mut watcher = server.client.clone();
    let mut events = watcher.watch_order(WatchOrderRequest { id }).await.unwrap().into_inner();
    soon(events.message()).await.unwrap().unwrap();
    let mut fresh = TcpStream::connect(server.address).await.unwrap();
    assert!(until_closed(&mut fresh).await.is_empty());
    call(&mut watcher).await;
}

/// tonic's own timer would respond `CANCELLED`.
#[tokio::test]
async fn a_call_that_takes_longer_than_its_caller_waits_ends_by_its_deadline() {
    let server = Server::with_faults(orders::faults::Faults::Enabled).await;
    let socket = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    // A client without its own timer.
    let request = http::Request::post("http://orders/orders.v1.OrderService/GetOrder")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "50m")
        .header("x-fault", "delay=1h")
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, mut stream) = client.send_request(request, false).unwrap();
    stream.send_data(bytes::Bytes::from_static(&[0; 5]), true).unwrap();
    let response = soon(response).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "4");
}
