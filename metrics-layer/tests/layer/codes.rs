//! Every code, on both sides, over a real socket: one call changes only its own series.

use std::sync::Arc;

use tonic::Code;
use tonic::transport::Server;
use tonic_call::{CODES, KnownMethods, MethodKind, ObserveLayer, code_name};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KindsService, Recorder, ask, call, listen, method_of};
use tonic_metrics_layer::{CodeSpelling, MetricsLayer};
use tower::ServiceBuilder;

use crate::readings::{GO_CODES, Readings};

/// The series that one call changes.
fn moved(
    side: &str,
    kind: MethodKind,
    code: &str,
    requests: u32,
    responses: u32,
) -> Vec<(String, f64)> {
    let method = method_of(kind).split_once('/').unwrap().1;
    let labels =
        format!("grpc_type=\"unknown\",grpc_service=\"test.v1.Kinds\",grpc_method=\"{method}\"");
    let (received, sent) =
        if side == "server" { (requests, responses) } else { (responses, requests) };
    let all = [
        (format!("grpc_{side}_handled_total{{{labels},grpc_code=\"{code}\"}}"), 1.0),
        (format!("grpc_{side}_handling_seconds{{{labels}}}"), 1.0),
        (format!("grpc_{side}_msg_received_total{{{labels}}}"), f64::from(received)),
        (format!("grpc_{side}_msg_sent_total{{{labels}}}"), f64::from(sent)),
        (format!("grpc_{side}_started_total{{{labels}}}"), 1.0),
    ];
    all.into_iter().filter(|(_, value)| *value != 0.0).collect()
}

/// Calls a method once with this ending; returns the changed series of the server and of the client.
async fn one_call(kind: MethodKind, code: Code, spelling: CodeSpelling) -> [Vec<(String, f64)>; 2] {
    // The client knows the method in advance, and the server learns it.
    let known = Arc::new(KnownMethods::learning());
    let readings = [Readings::new(), Readings::new()];
    let layer = |layer: MetricsLayer, readings: &Readings| {
        layer.code_spelling(spelling).known(known.clone()).with_recorder(readings.clone())
    };
    let (server, client) = (Recorder::new(), Recorder::new());
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(ObserveLayer::server(server.clone()))
            .layer(layer(MetricsLayer::server(), &readings[0]))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let channel = ServiceBuilder::new()
        .layer(ObserveLayer::client(client.clone()))
        .layer(layer(MetricsLayer::client(), &readings[1]))
        .service(endpoint.connect_lazy());
    let act = if code == Code::Ok { Act::Unspecified } else { Act::Fail };
    let asked = Ask { code: code as i32, ..ask(act, 3) };
    let outcome = call(&mut KindsClient::new(channel), kind, asked, &[]).await;
    assert_eq!(outcome.code, code);
    // The outer observers end after the inner layers.
    server.until_ended(1).await;
    client.until_ended(1).await;
    readings.map(|readings| readings.moved())
}

#[tokio::test]
async fn each_code_moves_the_series_of_its_call_and_no_other() {
    for (number, code) in CODES.into_iter().enumerate() {
        for kind in [MethodKind::Unary, MethodKind::ServerStream] {
            for (spelling, name) in
                [(CodeSpelling::Go, GO_CODES[number]), (CodeSpelling::UpperSnake, code_name(code))]
            {
                let responses = match kind {
                    MethodKind::Unary => u32::from(code == Code::Ok),
                    _ => 3,
                };
                let [server, client] = one_call(kind, code, spelling).await;
                assert_eq!(server, moved("server", kind, name, 1, responses), "{code:?}");
                assert_eq!(client, moved("client", kind, name, 1, responses), "{code:?}");
            }
        }
    }
}
