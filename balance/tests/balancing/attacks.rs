//! Servers, resolvers, hooks and callers that do the worst. Time is paused, the network is in memory.

use std::net::{Ipv6Addr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tonic_balance::{Address, Balanced, Change, State};
use tonic_call_test_kit::Lines;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;

use crate::network::{Behaviour, Network, address, addresses, endpoint};

const MINUTE: Duration = Duration::from_secs(60);

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn servers_that_end_each_connection_are_not_connected_to_in_a_loop() {
    for attack in [Behaviour::Greets, Behaviour::ClosesSoon, Behaviour::SendsGoaway] {
        let network = Network::default();
        network.set(&address(1), attack);
        let balanced =
            Balanced::list(endpoint(), addresses(1)).connector(network.connector()).build();
        let call = |balanced: Balanced| async move {
            let _ = KindsClient::new(balanced).unary(Ask::default()).await;
        };
        for _ in 0..600 {
            // A call may wait for the next attempt; without one, it is given up.
            let _ = timeout(MINUTE / 600, call(balanced.clone())).await;
            sleep(MINUTE / 600).await;
        }
        // One per second at most, less a fifth of jitter, for two minutes.
        let attempts = network.attempts(&address(1)).len();
        assert!((2..=150).contains(&attempts), "{attempts} for {attack:?}");
    }
}

/// Counts the changes of state that are reported within ten minutes, each of which is also one log event.
async fn changes_in_ten_minutes(network: &Network, during: impl AsyncFnOnce()) -> usize {
    let changes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&changes);
    let lines = Lines::default();
    let _collecting = lines.collect();
    let balanced = Balanced::list(endpoint(), addresses(1))
        .connector(network.connector())
        .on_state(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        })
        .build();
    during().await;
    drop(balanced);
    sleep(MINUTE).await;
    let changes = changes.load(Ordering::Relaxed);
    let text = lines.text();
    let own = text.lines().filter(|line| line.contains(" tonic_balance: "));
    assert_eq!(own.count(), changes, "{text}");
    changes
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_connection_at_once_is_logged_as_rarely_as_it_is_connected_to() {
    for attack in [Behaviour::Greets, Behaviour::ClosesSoon] {
        let network = Network::default();
        network.set(&address(1), attack);
        let changes = changes_in_ten_minutes(&network, || sleep(10 * MINUTE)).await;
        // Attempts are two minutes apart in the end; each is a connection and its loss at most.
        let attempts = network.attempts(&address(1)).len();
        assert!((10..=20).contains(&attempts), "{attempts} attempts for {attack:?}");
        assert!((4..=2 * attempts + 3).contains(&changes), "{changes} for {attack:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_live_longer_than_a_second_are_logged_twice_a_second_at_most() {
    let network = Network::serving(1);
    let changes = changes_in_ten_minutes(&network, async || {
        let end = Instant::now() + 10 * MINUTE;
        while Instant::now() < end {
            sleep(MINUTE / 50).await;
            network.cut(&address(1));
        }
    })
    .await;
    assert!((100..=1_200).contains(&changes), "{changes}");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_and_are_dropped_leave_nothing_behind() {
    let before = alive_tasks();
    let network = Network::default();
    let balanced = Balanced::list(endpoint(), addresses(2))
        .connector(network.connector())
        .wait_for_ready(true)
        .build();
    let mut calls = JoinSet::new();
    for _ in 0..5_000 {
        let mut kinds = KindsClient::new(balanced.clone());
        calls.spawn(async move { kinds.unary(Ask::default()).await });
    }
    sleep(MINUTE).await;
    calls.shutdown().await;
    drop(balanced);
    sleep(MINUTE).await;
    assert_eq!(alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_may_return_thousands_of_addresses_several_times_each() {
    const COUNT: u32 = 5_000;
    let before = alive_tasks();
    let network = Network::default();
    let scoped = |scope| SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 0, scope);
    let resolve = move || async move {
        let all =
            (0..COUNT).map(move |scope| Address::from(std::net::SocketAddr::V6(scoped(scope))));
        Ok(all.clone().chain(all).collect())
    };
    let balanced = Balanced::resolve(endpoint(), resolve).connector(network.connector()).build();
    sleep(MINUTE).await;
    let states = balanced.states();
    assert_eq!(states.len(), COUNT as usize);
    assert!(states.iter().all(|(_, state)| *state == State::TransientFailure));
    drop(balanced);
    sleep(MINUTE).await;
    assert_eq!(alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_never_answers_leaves_no_task_when_the_balancer_is_closed() {
    let before = alive_tasks();
    let balanced = Balanced::resolve(endpoint(), std::future::pending).build();
    let call =
        timeout(MINUTE, async { KindsClient::new(balanced.clone()).unary(Ask::default()).await });
    assert!(call.await.is_err(), "a call waits for the first answer");
    drop(balanced);
    sleep(MINUTE).await;
    assert_eq!(alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn hooks_that_panic_cost_no_call() {
    tonic_call_test_kit::silence_panics();
    let network = Network::serving(2);
    let balanced = Balanced::list(endpoint(), addresses(2))
        .connector(network.connector())
        .on_state(|_| panic!("in a hook, on purpose"))
        .on_pick(|_| panic!("in a hook, on purpose"))
        .build();
    for _ in 0..10 {
        KindsClient::new(balanced.clone()).unary(Ask::default()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_discovery_that_panics_keeps_the_addresses_and_is_logged() {
    tonic_call_test_kit::silence_panics();
    let lines = Lines::default();
    let _collecting = lines.collect();
    let network = Network::serving(2);
    let changes = (0..).map(|number| match number {
        0 => Change::Replace(addresses(2)),
        _ => panic!("in a discovery, on purpose"),
    });
    let balanced = Balanced::discover(endpoint(), tokio_stream::iter(changes))
        .connector(network.connector())
        .build();
    for _ in 0..100 {
        KindsClient::new(balanced.clone()).unary(Ask::default()).await.unwrap();
    }
    assert_eq!([1, 2].map(|number| network.calls(&address(number)) > 40), [true; 2]);
    let text = lines.text();
    let warnings = text.lines().filter(|line| line.contains("in a discovery, on purpose"));
    assert_eq!(warnings.count(), 1, "{text}");
}
