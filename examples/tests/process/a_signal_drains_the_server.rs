use std::process::Stdio;
use std::time::{Duration, Instant};

use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{GetOrderRequest, OrderEvent, WatchOrderRequest};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::common::process::{SERVE, Served, orders};
use crate::common::{frames, order, soon};

async fn channel(served: &Served) -> Channel {
    Endpoint::from_shared(served.url()).unwrap().connect().await.unwrap()
}

/// A watcher that has received the first event.
async fn watcher(served: &Served) -> Streaming<OrderEvent> {
    caller_and_watcher(served).await.1
}

/// The same watcher, and a client that shares its connection.
async fn caller_and_watcher(
    served: &Served,
) -> (OrderServiceClient<Channel>, Streaming<OrderEvent>) {
    let mut client = OrderServiceClient::new(channel(served).await);
    let created = client.create_order(order("ann@example.org", 1)).await.unwrap();
    let request = WatchOrderRequest { id: created.into_inner().id };
    let mut events = client.watch_order(request).await.unwrap().into_inner();
    soon(events.message()).await.unwrap().unwrap();
    (client, events)
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

    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(log.lines().last().unwrap().contains("second signal"), "{log}");
}

#[tokio::test]
async fn after_the_delay_it_takes_no_more_calls() {
    let served = Served::start(&["--drain-delay", "200ms", "--drain-limit", "1h"]).await;
    let (mut client, mut events) = caller_and_watcher(&served).await;
    // A running call keeps its connection open, and the server running.
    let (send, requests) = mpsc::unbounded_channel();
    let mut importer = client.clone();
    let import = tokio::spawn(async move {
        importer.import_orders(UnboundedReceiverStream::new(requests)).await
    });
    send.send(order("ann@example.org", 1)).unwrap();
    // Calls on one connection arrive in order: the import has arrived, too.
    client.create_order(order("ann@example.org", 2)).await.unwrap();

    let began = Instant::now();
    served.signal(Signal::TERM);
    assert_eq!(soon(events.message()).await.unwrap_err().code(), Code::Unavailable);
    assert!(began.elapsed() >= Duration::from_millis(200));
    // Neither on a new connection nor, after GOAWAY, on the open one.
    soon(async { while TcpStream::connect(&served.address).await.is_ok() {} }).await;
    let refused = async {
        loop {
            if let Err(refused) = client.create_order(order("ann@example.org", 3)).await {
                break refused;
            }
        }
    };
    let refused = soon(refused).await;
    assert_eq!(tonic_call::code_of_error(&refused), Code::Unavailable, "{refused:?}");

    drop(send);
    assert_eq!(soon(import).await.unwrap().unwrap().into_inner().created, 1);
    drop((client, events));
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("drained") && !log.contains("limit is reached"), "{log}");
}

/// Guards against: a panic for each log line, and no drain, if the log cannot be written.
#[tokio::test]
async fn a_log_that_cannot_be_written_harms_nobody() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    let arguments = ["--db", ":memory:", "--faults", "--drain-delay", "0"];
    let mut command = orders(&[&SERVE[..], &arguments].concat());
    command.stderr(Stdio::from(full)).env("RUST_LOG", "debug");
    let served = Served::spawn(command).await;
    let (mut client, mut events) = caller_and_watcher(&served).await;
    let mut request = tonic::Request::new(order("ann@example.org", 1));
    request.metadata_mut().append("x-fault", "panic".parse().unwrap());
    assert_eq!(client.create_order(request).await.unwrap_err().code(), Code::Internal);
    client.create_order(order("ann@example.org", 1)).await.unwrap();

    served.signal(Signal::TERM);
    assert_eq!(soon(events.message()).await.unwrap_err().code(), Code::Unavailable);
    drop((client, events));
    assert_eq!(served.ended().await.0.code(), Some(0));
}

/// Guards against: a process that cannot be stopped while it waits for its database.
#[tokio::test]
async fn it_can_be_stopped_before_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteConnectOptions::new().filename(folder.path().join("orders.db"));
    let mut other = file.create_if_missing(true).connect().await.unwrap();
    sqlx::query("CREATE TABLE notes (text)").execute(&mut other).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    // Without a journal the file would be read at once, and refused before the signal.
    sqlx::query("INSERT INTO notes VALUES ('later')").execute(&mut other).await.unwrap();
    assert!(folder.path().join("orders.db-journal").exists());

    let mut command = orders(&SERVE);
    let mut child = command.current_dir(folder.path()).env("RUST_LOG", "debug").spawn().unwrap();
    // The first log line says that it opens the file.
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    soon(log.read_line(&mut line)).await.unwrap();
    assert!(line.contains("opening the database"), "{line}");
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    let began = Instant::now();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(soon(child.wait()).await.unwrap().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(4));
}

/// Guards against: a server that, after it has had too many connections, accepts no more or retries without a pause.
#[tokio::test]
async fn too_many_connections_are_waited_out() {
    let mut command = orders(&[]);
    let mut limited = Command::new("sh");
    let serve =
        format!("ulimit -n 64 && exec \"$0\" {} --db :memory: --connections 1000", SERVE.join(" "));
    limited.args(["-c", &serve]).arg(command.as_std_mut().get_program()).env_remove("RUST_LOG");
    limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut served = Served::spawn(limited).await;

    let mut many = Vec::new();
    for _ in 0..100 {
        many.push(TcpStream::connect(&served.address).await.unwrap());
    }
    while !served.next_log_line().await.contains("cannot accept connections") {}
    drop(many);
    let began = Instant::now();
    let mut client = OrderServiceClient::new(channel(&served).await);
    soon(client.create_order(order("ann@example.org", 1))).await.unwrap();
    drop(client);
    served.signal(Signal::INT);
    let most = 2 + began.elapsed().as_secs();
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let told = u64::try_from(log.matches("cannot accept connections").count()).unwrap();
    assert!(told <= most, "{told} times: {log}");
}

#[tokio::test]
async fn a_peer_that_never_said_a_word_cannot_hold_it() {
    let served = Served::start(&["--drain-delay", "0", "--drain-limit", "300ms"]).await;
    let _silent = TcpStream::connect(&served.address).await.unwrap();
    // Connections are accepted in order: the silent one was accepted before this one.
    drop(watcher(&served).await);
    let began = Instant::now();
    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// Guards against: a drain that lasts until its limit because of one connection without a call.
#[tokio::test]
async fn peers_without_a_call_do_not_hold_it_until_the_limit() {
    let served = Served::start(&["--drain-delay", "0", "--drain-limit", "1h"]).await;
    let _silent = TcpStream::connect(&served.address).await.unwrap();
    let mut said_hello = TcpStream::connect(&served.address).await.unwrap();
    said_hello.write_all(&frames::hello()).await.unwrap();
    drop(watcher(&served).await);
    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("drained") && !log.contains("limit is reached"), "{log}");
}

#[tokio::test]
async fn a_peer_that_holds_a_call_open_and_says_no_more_cannot_hold_it() {
    let served = Served::start(&["--drain-delay", "0", "--drain-limit", "300ms"]).await;
    let mut peer = TcpStream::connect(&served.address).await.unwrap();
    let half_a_call = frames::headers(1, "/orders.v1.OrderService/ImportOrders");
    peer.write_all(&[frames::hello(), half_a_call].concat()).await.unwrap();
    // The server first sends its settings, and acknowledges ours.
    let mut heard = Vec::new();
    while !heard.windows(9).any(|frame| frame == frames::SETTINGS_ACK) {
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
