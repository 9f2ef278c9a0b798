//! Calls that their callers abandon, over a real socket, on both sides.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_call::{Observe, ObserveLayer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KindsService, Recorder, ask, listen};
use tonic_metrics_layer::{Metrics, MetricsLayer};
use tower::{Layer as _, ServiceBuilder};

use crate::readings::Readings;

type Client = KindsClient<Observe<Observe<Channel, Metrics>, Recorder>>;

/// A server and a client, each with metrics. The recorders observe the end of a call after it was counted.
struct Pair {
    server: (Readings, Recorder),
    client: (Readings, Recorder),
    service: KindsService,
    kinds: Client,
}

async fn pair() -> Pair {
    let (server, client) = <[(Readings, Recorder); 2]>::default().into();
    let service = KindsService::default();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(ObserveLayer::server(server.1.clone()))
            .layer(MetricsLayer::server().with_recorder(server.0.clone()))
            .add_service(KindsServer::new(service.clone()))
            .serve_with_incoming(incoming),
    );
    let channel = ServiceBuilder::new()
        .layer(ObserveLayer::client(client.1.clone()))
        .layer(MetricsLayer::client().with_recorder(client.0.clone()))
        .service(endpoint.connect().await.unwrap());
    Pair { server, client, service, kinds: KindsClient::new(channel) }
}

impl Pair {
    /// Asserts that this many calls ended on both sides with one of these codes, and that no call is in flight.
    async fn assert_ended(&self, count: usize, codes: &[&str]) {
        for ((readings, calls), side) in [(&self.server, "server"), (&self.client, "client")] {
            calls.until_ended(count).await;
            let sum =
                |name: &str, labels: &str| readings.sum(&format!("grpc_{side}_{name}"), labels);
            let count = count as f64;
            assert_eq!(sum("started_total", ""), count, "{side}");
            assert_eq!(sum("handled_total", ""), count, "{side}");
            let of_codes = |code: &&str| sum("handled_total", &format!("grpc_code=\"{code}\""));
            assert_eq!(codes.iter().map(of_codes).sum::<f64>(), count, "{side}: {readings:?}");
            assert_eq!(sum("handling_seconds", ""), count, "{side}");
            assert_eq!(sum("in_flight", ""), 0.0, "{side}");
        }
    }
}

#[tokio::test]
async fn a_call_given_up_before_its_head_is_cancelled() {
    let pair = pair().await;
    let mut kinds = pair.kinds.clone();
    let call = tokio::spawn(async move { kinds.unary(ask(Act::Hang, 0)).await });
    pair.service.until_alive(1).await;
    assert_eq!(pair.server.0.sum("grpc_server_in_flight", ""), 1.0);
    assert_eq!(pair.client.0.sum("grpc_client_in_flight", ""), 1.0);
    call.abort();
    pair.assert_ended(1, &["Canceled"]).await;
}

#[tokio::test]
async fn a_stream_given_up_after_some_messages_is_cancelled() {
    let mut pair = pair().await;
    let mut notes = pair.kinds.server_stream(ask(Act::Hang, 2)).await.unwrap().into_inner();
    for _ in 0..2 {
        notes.message().await.unwrap().unwrap();
    }
    assert_eq!(pair.client.0.sum("grpc_client_msg_received_total", ""), 2.0);
    assert_eq!(pair.server.0.sum("grpc_server_msg_sent_total", ""), 2.0);
    drop(notes);
    pair.assert_ended(1, &["Canceled"]).await;
}

#[tokio::test]
async fn a_stream_that_its_client_never_reads_is_cancelled() {
    let mut pair = pair().await;
    drop(pair.kinds.server_stream(ask(Act::Hang, 2)).await.unwrap());
    pair.assert_ended(1, &["Canceled"]).await;
}

#[tokio::test]
async fn a_call_given_up_while_it_still_sends_is_cancelled() {
    let pair = pair().await;
    let (sender, receiver) = mpsc::channel(1);
    let mut kinds = pair.kinds.clone();
    let call =
        tokio::spawn(async move { kinds.client_stream(ReceiverStream::new(receiver)).await });
    sender.send(ask(Act::Hang, 0)).await.unwrap();
    pair.service.until_alive(1).await;
    call.abort();
    pair.assert_ended(1, &["Canceled"]).await;
}

#[tokio::test]
async fn a_call_whose_deadline_expires_is_counted_once_on_both_sides() {
    let mut pair = pair().await;
    let mut request = tonic::Request::new(ask(Act::Hang, 0));
    request.set_timeout(Duration::from_millis(50));
    pair.kinds.unary(request).await.unwrap_err();
    // Either timer may fire first, and tonic's own timers report `Cancelled`.
    pair.assert_ended(1, &["DeadlineExceeded", "Canceled"]).await;
}

#[tokio::test]
async fn a_refused_connection_is_unavailable() {
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let readings = Readings::new();
    let metrics = MetricsLayer::client().with_recorder(readings.clone());
    let mut kinds = KindsClient::new(metrics.layer(channel));
    let status = kinds.unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(readings.sum("grpc_client_handled_total", ""), 1.0);
    assert_eq!(readings.sum("grpc_client_handled_total", "grpc_code=\"Unavailable\""), 1.0);
    assert_eq!(readings.sum("grpc_client_handled_total", "grpc_method=\"Unary\""), 1.0);
    assert!(readings.has("grpc_client_in_flight"));
    assert_eq!(readings.sum("grpc_client_in_flight", ""), 0.0);
}
