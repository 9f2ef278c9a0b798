//! Real servers that drain, are killed and start again, under load.
#![allow(clippy::unwrap_used)]

mod servers;

use servers::load::Load;
use servers::{Running, endpoint, over, until};
use tonic_balance::{Balanced, BoxChannel, State};
use tonic_retry_layer::{RetryLayer, ServiceConfig};
use tower::Layer as _;

const CALLERS: usize = 16;

/// Restarts one server after the other, by drain or by kill.
async fn restart_each(servers: &mut [Running], balanced: &Balanced, load: &Load, drains: bool) {
    let (all, others) = (servers.len(), servers.len() - 1);
    for server in servers {
        load.go_on(200).await;
        if drains {
            server.drain().await;
        } else {
            server.kill();
        }
        until(balanced, others, State::Ready).await;
        load.go_on(200).await;
        *server = Running::start_at(server.address);
        until(balanced, all, State::Ready).await;
    }
}

/// Restarts all servers at the same time, with nobody listening meanwhile.
async fn restart_all(servers: &mut [Running], balanced: &Balanced, load: &Load, drains: bool) {
    load.go_on(200).await;
    if drains {
        servers.iter_mut().for_each(Running::stop);
        for server in &mut *servers {
            server.drain().await;
        }
    } else {
        servers.iter_mut().for_each(Running::kill);
    }
    until(balanced, servers.len(), State::TransientFailure).await;
    for server in &mut *servers {
        *server = Running::start_at(server.address);
    }
    until(balanced, servers.len(), State::Ready).await;
    load.go_on(200).await;
    assert!(servers.iter().all(|server| server.calls() > 0));
}

fn waiting(servers: &[Running]) -> Balanced {
    let addresses = servers.iter().map(|server| server.address);
    Balanced::list(endpoint(), addresses).wait_for_ready(true).build()
}

/// With the retry policy of the guides: four attempts, 0.1 s apart at first.
fn retried(balanced: &Balanced) -> BoxChannel {
    let config = include_str!("../../call/tests/service_config/orders.json");
    let config = config.replace("orders.v1.OrderService", "test.v1.Kinds");
    let config = ServiceConfig::from_json(&config).unwrap();
    BoxChannel::new(RetryLayer::new(&config).layer(balanced.clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_drain_one_by_one_cost_no_call_of_any_kind() {
    let mut servers = Running::start_many(3);
    let balanced = over(&servers);
    until(&balanced, 3, State::Ready).await;
    let load = Load::of_all_kinds(&BoxChannel::new(balanced.clone()), CALLERS);
    restart_each(&mut servers, &balanced, &load, true).await;
    load.all_ok().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_all_drain_cost_no_call_that_waits() {
    let mut servers = Running::start_many(3);
    let balanced = waiting(&servers);
    until(&balanced, 3, State::Ready).await;
    let load = Load::of_all_kinds(&BoxChannel::new(balanced.clone()), CALLERS);
    restart_all(&mut servers, &balanced, &load, true).await;
    load.all_ok().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_costs_only_calls_under_way() {
    let mut servers = Running::start_many(3);
    let balanced = over(&servers);
    until(&balanced, 3, State::Ready).await;
    let load = Load::unary(&BoxChannel::new(balanced.clone()), CALLERS);
    load.go_on(200).await;
    servers[0].kill();
    until(&balanced, 1, State::TransientFailure).await;
    load.go_on(500).await;
    let outcomes = load.stop().await;
    let failed: usize = outcomes.iter().filter(|(what, _)| *what != "ok").map(|(_, n)| n).sum();
    assert!(failed <= CALLERS, "at most one of each caller: {outcomes:?}");
    assert!(
        outcomes.keys().all(|what| what == "ok" || what.starts_with("Unavailable")),
        "{outcomes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_killed_one_by_one_cost_no_call_that_is_retried() {
    let mut servers = Running::start_many(3);
    let balanced = over(&servers);
    until(&balanced, 3, State::Ready).await;
    let load = Load::unary(&retried(&balanced), CALLERS);
    restart_each(&mut servers, &balanced, &load, false).await;
    load.all_ok().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_all_killed_cost_no_call_that_waits_and_is_retried() {
    let mut servers = Running::start_many(3);
    let balanced = waiting(&servers);
    until(&balanced, 3, State::Ready).await;
    let load = Load::unary(&retried(&balanced), CALLERS);
    restart_all(&mut servers, &balanced, &load, false).await;
    load.all_ok().await;
}
