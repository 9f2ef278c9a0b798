use std::fs;

use rustix::process::Signal;
use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::common::client::{channel, client};
use crate::common::process::Served;
use crate::common::{order, soon};

const NAMES: [&str; 2] = ["", "orders.v1.OrderService"];

async fn watch(served: &Served, service: &str) -> Streaming<HealthCheckResponse> {
    let mut health = HealthClient::new(channel(served).await);
    let request = HealthCheckRequest { service: service.to_owned() };
    health.watch(request).await.unwrap().into_inner()
}

/// Waits for this status.
async fn until(watched: &mut Streaming<HealthCheckResponse>, status: ServingStatus) {
    while soon(watched.message()).await.unwrap().expect("a status").status() != status {}
}

/// Guards against: calls that are sent to a server whose orders are lost with its process, and a server that is
/// restarted because of its database.
#[tokio::test]
async fn when_its_file_is_taken_away_under_load_and_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start_in(folder.path(), &["--drain-delay", "0"]).await;
    let mut client = client(&served, &[]).await;
    let load = tokio::spawn(async move {
        let mut calls = 0;
        loop {
            match client.create_order(order("ann@example.org", 1)).await {
                Ok(_) => calls += 1,
                // The server has ended.
                Err(status) => break (calls, status.code()),
            }
        }
    });
    let mut watched = Vec::new();
    for name in NAMES {
        let mut health = watch(&served, name).await;
        until(&mut health, ServingStatus::Serving).await;
        watched.push(health);
    }

    let (file, away) = (folder.path().join("orders.db"), folder.path().join("away"));
    fs::rename(&file, &away).unwrap();
    for health in &mut watched {
        until(health, ServingStatus::NotServing).await;
    }
    let mut alive = watch(&served, "liveness").await;
    until(&mut alive, ServingStatus::Serving).await;

    fs::rename(&away, &file).unwrap();
    for health in &mut watched {
        until(health, ServingStatus::Serving).await;
    }
    served.signal(Signal::TERM);
    let (calls, code) = soon(load).await.unwrap();
    assert!(calls > 0 && code == Code::Unavailable, "{calls} calls, then {code:?}");
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("was moved, deleted or replaced"), "{log}");
    assert!(log.contains("the database works again"), "{log}");
}
