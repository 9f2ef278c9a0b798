//! Ten thousand calls that expire under load, with a caller that has no timer: the server's own timer, which tonic has
//! outside all layers and polls first, must win none of them.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{Place, Raw, SERVERS_MESSAGE, serve};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_call::MethodKind;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KindsService, ask};
use tonic_deadline_layer::DeadlineLayer;

const CONNECTIONS: usize = 10;
const ROUNDS: usize = 10;
/// Per connection and round: below the number of streams that a connection may have.
const CALLS: usize = 100;

/// Makes good calls until it is stopped; returns how many.
async fn good_calls(raw: Raw, stop: Arc<AtomicBool>) -> usize {
    let ask = Ask { text: "x".repeat(200), ..ask(Act::Unspecified, 0) };
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = raw.call(MethodKind::Unary, &["60S"], &ask).await;
        assert_eq!(answer.code, Code::Ok);
        count += 1;
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "the numbers are for readers")]
async fn all_of_ten_thousand_expiries_under_load_are_deadline_exceeded() {
    let service = KindsService::default();
    let (address, server) = serve(DeadlineLayer::server(), service.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        load.spawn(good_calls(Raw::connect(address).await, Arc::clone(&stop)));
    }
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Raw::connect(address).await);
    }
    let mut answers = BTreeMap::new();
    for round in 0..ROUNDS {
        let mut calls = JoinSet::new();
        for number in 0..CONNECTIONS * CALLS {
            let raw = connections[number % CONNECTIONS].clone();
            let timeout = format!("{}m", 20 + (number + round) % 31);
            // Each half of the connections has both.
            let kind = match (number / CONNECTIONS) % 2 {
                0 => MethodKind::Unary,
                _ => MethodKind::ServerStream,
            };
            calls.spawn(async move { raw.call(kind, &[&timeout], &ask(Act::Hang, 2)).await });
        }
        for answer in calls.join_all().await {
            let key = (format!("{:?}", answer.place), answer.code as i32, answer.message);
            *answers.entry(key).or_insert(0) += 1;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let good: usize = load.join_all().await.into_iter().sum();
    println!("{answers:#?}, beside {good} good calls");
    service.until_alive(0).await;
    server.abort();

    assert!(good >= ROUNDS, "{good} good calls are no load");
    // The server polled some of them for the first time after their deadlines.
    let late = "the caller's deadline had passed when the call arrived";
    let count = |place, message: &str| {
        let key = (format!("{place:?}"), Code::DeadlineExceeded as i32, message.to_owned());
        answers.get(&key).copied().unwrap_or_default()
    };
    // A stream that expires before it is polled for the first time ends in its head.
    let heads = count(Place::Head, SERVERS_MESSAGE) + count(Place::Head, late);
    let trailers = count(Place::Trailers, SERVERS_MESSAGE);
    assert!(heads + trailers == ROUNDS * CONNECTIONS * CALLS, "{answers:#?}");
    assert!(heads >= ROUNDS * CONNECTIONS * CALLS / 2, "the unary ones");
    assert!(trailers > 0, "of the streams");
}
