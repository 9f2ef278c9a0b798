use rustix::process::Signal;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::io::{AsyncBufReadExt, BufReader};
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::common::certificates::{Certificates, texts};
use crate::common::process::{SERVE, Served, orders};
use crate::common::soon;

async fn health(address: &str) -> HealthClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    HealthClient::new(endpoint.connect().await.unwrap())
}

async fn watch(address: &str) -> Streaming<HealthCheckResponse> {
    let watched = health(address).await.watch(HealthCheckRequest::default()).await;
    watched.unwrap().into_inner()
}

async fn next(watched: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    soon(watched.message()).await.unwrap().expect("a status").status()
}

/// A watch of a server that is serving, which it is soon after it listens.
async fn watch_serving(address: &str) -> Streaming<HealthCheckResponse> {
    let mut watched = watch(address).await;
    while next(&mut watched).await != ServingStatus::Serving {}
    watched
}

async fn health_address(served: &mut Served) -> String {
    let line = served.next_line().await;
    let address = line.strip_prefix("health on ").unwrap_or_else(|| panic!("{line:?}"));
    address.trim_end().to_owned()
}

/// Guards against: a probe without TLS and certificate that restarts a server that is well.
#[tokio::test]
async fn in_plain_text_from_start_to_end() {
    let certificates = Certificates::new();
    let flags = certificates.serve_mutual();
    let health_flag = ["--health", "127.0.0.1:0", "--drain-delay", "0", "--limit", "*=1/1"];
    let mut served = Served::start(&[&texts(&flags)[..], &health_flag].concat()).await;
    let address = health_address(&mut served).await;
    let mut watched = watch_serving(&address).await;
    // No limits hold here.
    let mut probe = health(&address).await;
    for service in ["", "orders.v1.OrderService"].repeat(20) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let checked = probe.check(request).await.unwrap().into_inner();
        assert_eq!(checked.status(), ServingStatus::Serving);
    }

    served.signal(Signal::TERM);
    assert_eq!(next(&mut watched).await, ServingStatus::NotServing);
    // It is not ended by the drain, which does not wait for it, but by the exit.
    assert!(!matches!(soon(watched.message()).await, Ok(Some(_))));
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("drained") && !log.contains("limit is reached"), "{log}");
}

#[tokio::test]
async fn not_serving_lasts_as_long_as_the_drain() {
    let flags = ["--health", "127.0.0.1:0", "--drain-delay", "1h", "--drain-limit", "2h"];
    let mut served = Served::start(&flags).await;
    let address = health_address(&mut served).await;
    let mut watched = watch_serving(&address).await;
    served.signal(Signal::TERM);
    assert_eq!(next(&mut watched).await, ServingStatus::NotServing);
    // On a new connection, too.
    let checked = health(&address).await.check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(checked.into_inner().status(), ServingStatus::NotServing);
    served.signal(Signal::INT);
    assert_eq!(served.ended().await.0.code(), Some(1));
}

/// Guards against: a probe that kills a server that waits for its database.
#[tokio::test]
async fn before_the_database_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let made = Served::start_in(folder.path(), &[]).await;
    made.signal(Signal::INT);
    made.ended().await;
    // Another process has the database to itself.
    let file = SqliteConnectOptions::new().filename(folder.path().join("orders.db"));
    let mut other = file.connect().await.unwrap();
    for statement in
        ["PRAGMA journal_mode = DELETE", "BEGIN EXCLUSIVE", "CREATE TABLE notes (text)"]
    {
        sqlx::query(statement).execute(&mut other).await.unwrap();
    }

    let mut command = orders(&[&SERVE[..], &["--health", "127.0.0.1:0"]].concat());
    let mut child = command.current_dir(folder.path()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    soon(log.read_line(&mut line)).await.unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    let address = event["address"].as_str().unwrap_or_else(|| panic!("{line}"));
    let mut watched = watch(address).await;
    assert_eq!(next(&mut watched).await, ServingStatus::NotServing);

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert_eq!(next(&mut watched).await, ServingStatus::Serving);
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_1_and_says_what_to_do() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let flags = ["--db", ":memory:", "--health", &address];
    let ran = crate::common::process::run(&[&SERVE[..], &flags].concat()).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.contains(&address) && ran.err.contains("--health ADDR"), "{}", ran.err);
}
