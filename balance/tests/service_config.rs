//! What a gRPC service config sets. Time is paused, the network is in memory.
#![allow(clippy::unwrap_used)]

mod network;

use std::time::Duration;

use network::{Behaviour, Network, address, addresses, endpoint};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request};
use tonic_balance::{Balanced, BalancedBuilder, Policy, State, WaitForReady};
use tonic_call::ServiceConfig;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_health::ServingStatus;

fn config(json: &str) -> ServiceConfig {
    json.parse().unwrap()
}

fn list(network: &Network, count: u8) -> BalancedBuilder {
    Balanced::list(endpoint(), addresses(count)).connector(network.connector())
}

async fn until(balanced: &Balanced, expected: &[State]) {
    let reached = async {
        while balanced.states().iter().map(|(_, state)| *state).ne(expected.iter().copied()) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), reached).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_policy_comes_from_the_config_unless_it_is_set_later() {
    let first = config(r#"{ "loadBalancingConfig": [{ "pick_first": {} }] }"#);
    let network = Network::serving(2);
    let all_first = list(&network, 2).service_config(&first).build();
    until(&all_first, &[State::Ready, State::Idle]).await;
    let set_later = list(&network, 2).service_config(&first).policy(Policy::RoundRobin).build();
    until(&set_later, &[State::Ready, State::Ready]).await;
    let says_nothing =
        list(&network, 2).policy(Policy::PickFirst).service_config(&config("{}")).build();
    until(&says_nothing, &[State::Ready, State::Idle]).await;
}

#[tokio::test(start_paused = true)]
async fn the_config_names_the_service_whose_health_counts() {
    let network = Network::serving(2);
    let reporters = [network.health(&address(1)), network.health(&address(2))];
    for reporter in &reporters {
        reporter.set_service_status("a.B", ServingStatus::Serving).await;
    }
    reporters[0].set_service_status("a.B", ServingStatus::NotServing).await;
    let checked = config(r#"{ "healthCheckConfig": { "serviceName": "a.B" } }"#);
    let balanced = list(&network, 2).service_config(&checked).build();
    until(&balanced, &[State::TransientFailure, State::Ready]).await;
    reporters[0].set_service_status("a.B", ServingStatus::Serving).await;
    until(&balanced, &[State::Ready, State::Ready]).await;
}

/// A call to a server to which nobody can connect, and how long it took.
async fn call(balanced: &Balanced, waits: Option<bool>, is_unary: bool) -> (Code, u64) {
    let begun = Instant::now();
    let mut request = Request::new(Ask::default());
    request.set_timeout(Duration::from_secs(9));
    if let Some(waits) = waits {
        request.extensions_mut().insert(WaitForReady(waits));
    }
    let mut kinds = KindsClient::new(balanced.clone());
    let result = match is_unary {
        true => kinds.unary(request).await.map(drop),
        false => kinds.server_stream(request).await.map(drop),
    };
    (tonic_call::code_of_error(&result.unwrap_err()), begun.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn wait_for_ready_is_a_matter_of_the_call_then_of_its_method_then_of_the_channel() {
    let network = Network::default();
    network.set(&address(1), Behaviour::Refuses);
    let json = r#"{ "methodConfig": [{
        "name": [{ "service": "SERVICE", "method": "Unary" }],
        "waitForReady": true
    }] }"#;
    let service = tonic_call_test_kit::v1::kinds_server::SERVICE_NAME;
    let waits = config(&json.replace("SERVICE", service));
    let balanced = list(&network, 1).service_config(&waits).build();
    let failed = (Code::Unavailable, 0);
    let waited = (Code::DeadlineExceeded, 9);
    assert_eq!(call(&balanced, None, true).await, waited);
    assert_eq!(call(&balanced, None, false).await, failed);
    assert_eq!(call(&balanced, Some(false), true).await, failed);
    assert_eq!(call(&balanced, Some(true), false).await, waited);
    let all_wait = list(&network, 1).wait_for_ready(true).service_config(&waits).build();
    assert_eq!(call(&all_wait, None, false).await, waited);
}
