use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use orders::v1::GetOrderRequest;
use orders::v1::order_service_client::OrderServiceClient;
use rustix::process::Signal;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::common::process::{SERVE, Served, get, orders};
use crate::common::soon;

async fn channel(served: &Served) -> Channel {
    Endpoint::from_shared(served.url()).unwrap().connect().await.unwrap()
}

async fn call(client: &mut OrderServiceClient<Channel>) {
    let request = GetOrderRequest { id: "x".to_owned() };
    let missing = soon(client.get_order(request)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

async fn dropped(metrics: &str) -> u64 {
    let text = get(metrics, "/metrics").await.1;
    let sample = text.lines().find_map(|line| line.strip_prefix("log_lines_dropped_total "));
    sample.unwrap_or_else(|| panic!("no such metric: {text}")).parse().unwrap()
}

/// Guards against: a server that hangs, including health and the drain, when the 64 KiB of a pipe are full.
#[tokio::test]
async fn calls_health_and_the_drain_go_on_and_what_is_dropped_is_counted() {
    let (mut nobody_reads, stderr) = std::io::pipe().unwrap();
    let without_metrics = &SERVE[..SERVE.len() - 2];
    let more = ["--metrics", "127.0.0.1:0", "--db", ":memory:", "--drain-delay", "0"];
    let mut command = orders(&[without_metrics, &more].concat());
    // More than a hundred lines for each call, which exceed the queue as well.
    command.stderr(Stdio::from(stderr)).env("RUST_LOG", "trace");
    let mut served = Served::spawn(command).await;
    let metrics = served.metrics_address().await;

    let mut client = OrderServiceClient::new(channel(&served).await);
    let mut calls = 0;
    while calls < 300 || dropped(&metrics).await == 0 {
        call(&mut client).await;
        calls += 1;
        assert!(calls < 20_000, "nothing is dropped");
    }
    let mut health = HealthClient::new(channel(&served).await);
    soon(health.check(HealthCheckRequest::default())).await.unwrap();

    drop((client, health));
    let began = Instant::now();
    served.signal(Signal::TERM);
    assert_eq!(served.ended().await.0.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // The read end of the pipe was open the whole time.
    assert_ne!(nobody_reads.read(&mut [0; 16]).unwrap(), 0);
}

#[tokio::test]
async fn with_a_reader_no_line_is_lost_the_last_ones_included() {
    let mut served = Served::start(&["--metrics", "127.0.0.1:0", "--drain-delay", "0"]).await;
    let metrics = served.metrics_address().await;
    let mut client = OrderServiceClient::new(channel(&served).await);
    for _ in 0..300 {
        call(&mut client).await;
    }
    assert_eq!(dropped(&metrics).await, 0);
    drop(client);
    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("finished call")).count(), 300);
    assert!(log.lines().last().unwrap().contains("\"drained\""), "{log}");
}
