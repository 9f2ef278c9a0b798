//! Thousands of streams; half of them are dropped.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic_call::ObserveLayer;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, Recorder, ask, listen};
use tonic_metrics_layer::MetricsLayer;
use tower::ServiceBuilder;

use crate::readings::Readings;

const STREAMS: usize = 10_000;

/// h2 closes a connection with too many unread small messages; the limit depends on
/// the window.
const WINDOW: u32 = 16 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_streams_at_once_each_is_counted_once_and_none_stays_in_flight() {
    let readings = Readings::new();
    let (server, client) = (Recorder::new(), Recorder::new());
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .initial_connection_window_size(WINDOW)
            .http2_max_pending_accept_reset_streams(Some(2 * STREAMS))
            .max_concurrent_streams(2 * STREAMS as u32)
            .layer(ObserveLayer::server(server.clone()))
            .layer(MetricsLayer::server().with_recorder(readings.clone()))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let channel = ServiceBuilder::new()
        .layer(ObserveLayer::client(client.clone()))
        .layer(MetricsLayer::client().with_recorder(readings.clone()))
        .service(endpoint.initial_connection_window_size(WINDOW).connect().await.unwrap());
    let kinds = KindsClient::new(channel);

    let all_are_open = Arc::new(Barrier::new(STREAMS));
    let mut calls = JoinSet::new();
    for number in 0..STREAMS {
        let (mut kinds, all_are_open) = (kinds.clone(), all_are_open.clone());
        calls.spawn(async move {
            let dropped = number % 2 == 0;
            let act = if dropped { Act::Hang } else { Act::Unspecified };
            let mut notes = kinds.server_stream(ask(act, 1)).await.unwrap().into_inner();
            notes.message().await.unwrap().unwrap();
            all_are_open.wait().await;
            if !dropped {
                assert!(notes.message().await.unwrap().is_none());
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }

    server.until_ended(STREAMS).await;
    client.until_ended(STREAMS).await;
    let (all, half) = (STREAMS as f64, STREAMS as f64 / 2.0);
    for side in ["server", "client"] {
        let sum = |name: &str, labels: &str| readings.sum(&format!("grpc_{side}_{name}"), labels);
        assert_eq!(sum("started_total", ""), all, "{side}");
        assert_eq!(sum("handled_total", ""), all, "{side}");
        assert_eq!(sum("handled_total", "grpc_code=\"OK\""), half, "{side}");
        assert_eq!(sum("handled_total", "grpc_code=\"Canceled\""), half, "{side}");
        assert_eq!(sum("handling_seconds", ""), all, "{side}");
        assert_eq!(sum("in_flight", ""), 0.0, "{side}");
        assert!(readings.has(&format!("grpc_{side}_in_flight")));
    }
    assert_eq!(readings.sum("grpc_client_msg_received_total", ""), all);
    assert_eq!(readings.sum("grpc_server_msg_sent_total", ""), all);
    assert_eq!(readings.sum("grpc_server_msg_received_total", ""), all);
}
