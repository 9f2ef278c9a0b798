//! Client-side health checks (gRFC A17). Time is paused, the network is in memory.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::Code;
use tonic_balance::{Balanced, BalancedBuilder, Policy, State};
use tonic_call_test_kit::Lines;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_health::ServingStatus::{NotServing, Serving};

use crate::network::{self, Network, address, addresses, endpoint};

const SERVICE: &str = "orders";
const SOON: Duration = Duration::from_millis(100);

fn checked(network: &Network, count: u8) -> BalancedBuilder {
    Balanced::list(endpoint(), addresses(count))
        .connector(network.connector())
        .random(|| 0.5)
        .health_check(SERVICE)
}

fn states(balanced: &Balanced) -> Vec<State> {
    balanced.states().into_iter().map(|(_, state)| state).collect()
}

async fn all_ok(balanced: &Balanced, count: usize) {
    let mut kinds = KindsClient::new(balanced.clone());
    for _ in 0..count {
        kinds.unary(Ask::default()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_is_used_only_while_its_server_says_serving() {
    let network = Network::serving(2);
    let reporters = [1, 2].map(|number| network.health(&address(number)));
    reporters[0].set_service_status(SERVICE, Serving).await;
    reporters[1].set_service_status(SERVICE, NotServing).await;
    let balanced = checked(&network, 2).build();
    all_ok(&balanced, 1).await;
    sleep(SOON).await;
    assert_eq!(states(&balanced), [State::Ready, State::TransientFailure]);
    all_ok(&balanced, 9).await;
    assert_eq!(network.calls(&address(2)), 0);

    reporters[0].set_service_status(SERVICE, NotServing).await;
    sleep(SOON).await;
    let status = KindsClient::new(balanced.clone()).unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().ends_with("10.0.0.1:50051: health check: NOT_SERVING"), "{status}");

    reporters[1].set_service_status(SERVICE, Serving).await;
    sleep(SOON).await;
    all_ok(&balanced, 5).await;
    assert_eq!(network.calls(&address(2)), 5);
    let attempts = [1, 2].map(|number| network.attempts(&address(number)).len());
    assert_eq!(attempts, [1, 1], "the connections stay");
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_the_first_answer_of_the_health_check() {
    let network = Network::serving(1);
    let reporter = network.health(&address(1));
    reporter.set_service_status(SERVICE, Serving).await;
    let balanced = checked(&network, 1).build();
    all_ok(&balanced, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_health_service_is_used() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let network = Network::serving(1);
    let balanced = checked(&network, 1).build();
    all_ok(&balanced, 3).await;
    let text = lines.text();
    let told = text.lines().filter(|line| line.contains("has no health service"));
    assert_eq!(told.count(), 1, "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_the_server_does_not_know_is_asked_for_again() {
    let network = Network::serving(1);
    let reporter = network.health(&address(1));
    let balanced = checked(&network, 1).build();
    sleep(SOON).await;
    assert_eq!(states(&balanced), [State::TransientFailure]);

    reporter.set_service_status(SERVICE, Serving).await;
    let begun = Instant::now();
    while states(&balanced) != [State::Ready] {
        sleep(SOON).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(2));
    all_ok(&balanced, 1).await;
}

#[tokio::test(start_paused = true)]
async fn pick_first_makes_no_health_checks() {
    let network = Network::serving(1);
    let reporter = network.health(&address(1));
    reporter.set_service_status(SERVICE, NotServing).await;
    let balanced = checked(&network, 1).policy(Policy::PickFirst).build();
    all_ok(&balanced, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_does_not_hold_a_server_that_drains() {
    let network = Network::serving(1);
    let reporter = network.health(&address(1));
    reporter.set_service_status(SERVICE, Serving).await;
    let balanced = checked(&network, 1).build();
    all_ok(&balanced, 1).await;
    network.set(&address(1), network::Behaviour::Refuses);
    network.drain(&address(1));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(network.open(&address(1)), 0);
    assert_eq!(states(&balanced), [State::TransientFailure]);
}

#[tokio::test(start_paused = true)]
async fn a_closed_balancer_leaves_no_watch_behind() {
    let network = Network::serving(3);
    let reporters = [1, 2, 3].map(|number| network.health(&address(number)));
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    reporters[0].set_service_status(SERVICE, Serving).await;
    reporters[1].set_service_status(SERVICE, NotServing).await;
    // The third server does not know the service, so its watch ends and is begun again.
    let balanced = checked(&network, 3).build();
    all_ok(&balanced, 1).await;
    sleep(SOON).await;
    assert_eq!(states(&balanced), [State::Ready, State::TransientFailure, State::TransientFailure]);
    drop(balanced);
    sleep(SOON).await;
    assert_eq!([1, 2, 3].map(|number| network.open(&address(number))), [0; 3]);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before);
}
