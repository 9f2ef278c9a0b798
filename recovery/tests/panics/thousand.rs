//! Panics do not affect other calls on the same connection.

use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KINDS, KindsService, Outcome, ask, call, listen, silence_panics};
use tonic_recovery_layer::RecoveryLayer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_panics_on_one_connection_do_not_affect_other_calls() {
    silence_panics();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .layer(RecoveryLayer::server())
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let kinds = KindsClient::new(endpoint.connect().await.unwrap());
    let mut calls = JoinSet::new();
    for number in 0..2_000 {
        let mut kinds = kinds.clone();
        let kind = KINDS[number / 2 % 4];
        calls.spawn(async move {
            if number % 2 == 0 {
                let good = call(&mut kinds, kind, ask(Act::Unspecified, 1), &[]).await;
                assert_eq!(good, Outcome::ok(1), "{kind:?}");
            } else {
                let act = if number % 3 == 0 { Act::PanicInHandler } else { Act::Panic };
                let bad = call(&mut kinds, kind, ask(act, 0), &[]).await;
                assert_eq!(bad, Outcome::internal(0), "{kind:?}");
            }
        });
    }
    let mut done = 0;
    while let Some(call) = calls.join_next().await {
        call.unwrap();
        done += 1;
    }
    assert_eq!(done, 2_000);
}
