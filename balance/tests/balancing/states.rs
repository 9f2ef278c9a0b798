//! Which connections are made when, and which calls wait for them. Time is paused, the network is in memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use tonic_balance::{Balanced, BalancedBuilder, Change, Policy, State, WaitForReady};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Lines, ask};

use crate::network::{Behaviour, Network, address, addresses, endpoint};

const SECOND: Duration = Duration::from_secs(1);

/// Addresses with these numbers, without jitter.
fn list(network: &Network, count: u8) -> BalancedBuilder {
    Balanced::list(endpoint(), addresses(count)).connector(network.connector()).random(|| 0.5)
}

async fn until(balanced: &Balanced, count: usize, state: State) {
    while balanced.states().iter().filter(|(_, now)| *now == state).count() != count {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Waits until this number of addresses is ready.
async fn ready(balanced: &Balanced, count: usize) {
    timeout(60 * SECOND, until(balanced, count, State::Ready)).await.unwrap();
}

async fn call(balanced: &Balanced) -> Code {
    let mut kinds = KindsClient::new(balanced.clone());
    kinds.unary(Ask::default()).await.map_or_else(|status| status.code(), |_| Code::Ok)
}

async fn all_ok(balanced: &Balanced, count: usize) {
    for _ in 0..count {
        assert_eq!(call(balanced).await, Code::Ok);
    }
}

/// A call that waits for a connection until its deadline.
fn waiting(deadline: Duration) -> Request<Ask> {
    let mut request = Request::new(Ask::default());
    request.extensions_mut().insert(WaitForReady(true));
    request.set_timeout(deadline);
    request
}

fn seconds(network: &Network, number: u8, begun: Instant) -> Vec<f64> {
    let attempts = network.attempts(&address(number));
    attempts.iter().map(|at| (*at - begun).as_secs_f64()).collect()
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn calls_go_to_each_address_in_turn() {
    let network = Network::serving(3);
    let balanced = list(&network, 3).build();
    ready(&balanced, 3).await;
    all_ok(&balanced, 100).await;
    let mut counts: Vec<_> = addresses(3).iter().map(|one| network.calls(one)).collect();
    counts.sort_unstable();
    assert_eq!(counts, [33, 33, 34]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_cannot_be_used_costs_no_call_and_no_time() {
    for broken in [
        Behaviour::Refuses,
        Behaviour::Hangs,
        Behaviour::IsSilent,
        Behaviour::Greets,
        Behaviour::Panics,
    ] {
        tonic_call_test_kit::silence_panics();
        let network = Network::serving(3);
        network.set(&address(2), broken);
        let balanced = list(&network, 3).build();
        ready(&balanced, 2).await;
        let begun = Instant::now();
        all_ok(&balanced, 100).await;
        assert!(begun.elapsed() < SECOND / 10, "{broken:?}: {:?}", begun.elapsed());
        assert_eq!((network.calls(&address(1)), network.calls(&address(3))), (50, 50));
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_back_off() {
    let network = Network::default();
    let begun = Instant::now();
    let _balanced = list(&network, 1).build();
    sleep(600 * SECOND).await;
    let attempts = seconds(&network, 1, begun);
    let pauses: Vec<_> = attempts.windows(2).map(|two| (two[1] - two[0]).round()).collect();
    assert_eq!(pauses[..5], [1.0, 2.0, 3.0, 4.0, 7.0]);
    assert_eq!(pauses[pauses.len() - 2..], [120.0, 120.0]);
}

#[tokio::test(start_paused = true)]
async fn addresses_do_not_attempt_in_lockstep() {
    let network = Network::default();
    let balanced = Balanced::list(endpoint(), addresses(2)).connector(network.connector()).build();
    sleep(60 * SECOND).await;
    drop(balanced);
    let [first, second] = [1, 2].map(|number| network.attempts(&address(number)));
    assert!(first.iter().skip(1).zip(&second[1..]).all(|(first, second)| first != second));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_20_seconds() {
    for silent in [Behaviour::Hangs, Behaviour::IsSilent] {
        let network = Network::default();
        network.set(&address(1), silent);
        let begun = Instant::now();
        let balanced = list(&network, 1).build();
        sleep(19 * SECOND).await;
        assert_eq!(balanced.states()[0].1, State::Connecting);
        sleep(2 * SECOND).await;
        assert_eq!(balanced.states()[0].1, State::TransientFailure);
        sleep(20 * SECOND).await;
        let attempts: Vec<_> = seconds(&network, 1, begun).iter().map(|at| at.round()).collect();
        assert_eq!(attempts, [0.0, 20.0, 40.0], "one at a time: {silent:?}");
        assert_eq!(balanced.states()[0].1, State::TransientFailure, "until it is ready");
    }
}

#[tokio::test(start_paused = true)]
async fn the_endpoint_sets_the_time_to_connect() {
    let network = Network::default();
    network.set(&address(1), Behaviour::IsSilent);
    let balanced = Balanced::list(endpoint().connect_timeout(3 * SECOND), addresses(1))
        .connector(network.connector())
        .build();
    let begun = Instant::now();
    let status = KindsClient::new(balanced).unary(Ask::default()).await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().ends_with("connected, but the server sent no SETTINGS within 3s"),
        "{status}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_fails_as_soon_as_each_address_has_failed() {
    let network = Network::default();
    let balanced = list(&network, 2).build();
    let status = KindsClient::new(balanced.clone()).unary(Ask::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let expected = "none of the 2 addresses of orders.svc:50051 is connected; last error: 10.0.0.";
    assert!(status.message().starts_with(expected), "{status}");
    assert!(status.message().ends_with(": connection refused"), "{status}");

    // And while further attempts are made.
    network.set(&address(1), Behaviour::Hangs);
    network.set(&address(2), Behaviour::Hangs);
    sleep(5 * SECOND).await;
    let begun = Instant::now();
    assert_eq!(call(&balanced).await, Code::Unavailable);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_while_an_address_connects_for_the_first_time() {
    let network = Network::default();
    network.set(&address(1), Behaviour::Hangs);
    let balanced = list(&network, 2).build();
    let begun = Instant::now();
    assert_eq!(call(&balanced).await, Code::Unavailable);
    assert_eq!(begun.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_while_a_lost_connection_is_replaced() {
    let network = Network::serving(1);
    let balanced = list(&network, 1).build();
    ready(&balanced, 1).await;
    sleep(5 * SECOND).await;
    for _ in 0..3 {
        network.cut(&address(1));
        all_ok(&balanced, 2).await;
        sleep(5 * SECOND).await;
    }
    assert_eq!(network.attempts(&address(1)).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_ready_waits_until_its_deadline() {
    let network = Network::default();
    let balanced = list(&network, 1).build();
    let mut kinds = KindsClient::new(balanced.clone());
    let begun = Instant::now();
    let status = kinds.unary(waiting(30 * SECOND)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(
        status.message().contains("last error: 10.0.0.1:50051: connection refused"),
        "{status}"
    );
    assert_eq!(begun.elapsed().as_secs(), 30);

    let network_later = network.clone();
    tokio::spawn(async move {
        sleep(10 * SECOND).await;
        network_later.set(&address(1), Behaviour::Serves);
    });
    let begun = Instant::now();
    kinds.unary(waiting(300 * SECOND)).await.unwrap();
    let sent = network.timeouts(&address(1))[0];
    let left = 300 * SECOND - begun.elapsed();
    assert!(sent <= left + SECOND && sent >= left, "the server is told {sent:?} of {left:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_may_refuse_to_wait_where_others_wait() {
    let balanced = list(&Network::default(), 1).wait_for_ready(true).build();
    let mut kinds = KindsClient::new(balanced);
    let mut request = Request::new(Ask::default());
    request.extensions_mut().insert(WaitForReady(false));
    assert_eq!(kinds.unary(request).await.unwrap_err().code(), Code::Unavailable);
    let waits = timeout(1_000 * SECOND, kinds.unary(Ask::default()));
    assert!(waits.await.is_err(), "without a deadline it waits");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_one_connection_after_the_other_has_failed() {
    let network = Network::default();
    network.set(&address(1), Behaviour::ClosesSoon);
    let begun = Instant::now();
    let balanced = list(&network, 1).build();
    ready(&balanced, 1).await;
    until(&balanced, 1, State::Connecting).await;
    // The second time it does not look like a restart.
    until(&balanced, 1, State::TransientFailure).await;
    assert_eq!(begun.elapsed().as_millis() / 100, 11);
    assert_eq!(call(&balanced).await, Code::Unavailable);
    sleep(30 * SECOND).await;
    let attempts: Vec<_> = seconds(&network, 1, begun).iter().map(|at| at.round()).collect();
    assert_eq!(attempts, [0.0, 1.0, 2.0, 4.0, 6.0, 10.0, 17.0, 27.0]);
}

#[tokio::test(start_paused = true)]
async fn a_drained_server_gets_no_new_call_and_its_streams_end_by_themselves() {
    let network = Network::serving(2);
    let balanced = list(&network, 2).build();
    ready(&balanced, 2).await;
    let mut kinds = KindsClient::new(balanced.clone());
    let mut streams = Vec::new();
    for _ in 0..2 {
        let (asks, sent) = mpsc::channel(1);
        asks.send(ask(Act::Unspecified, 1)).await.unwrap();
        let mut notes = kinds.bidi_stream(ReceiverStream::new(sent)).await.unwrap().into_inner();
        assert!(notes.message().await.unwrap().is_some());
        streams.push((asks, notes));
    }
    network.set(&address(1), Behaviour::Refuses);
    network.drain(&address(1));
    until(&balanced, 1, State::TransientFailure).await;

    let before = network.calls(&address(1));
    all_ok(&balanced, 50).await;
    assert_eq!(network.calls(&address(1)), before);
    for (asks, mut notes) in streams {
        asks.send(ask(Act::Unspecified, 1)).await.unwrap();
        assert!(notes.message().await.unwrap().is_some());
        drop(asks);
        assert!(notes.message().await.unwrap().is_none());
    }
    until_closed(&network, 1).await;
}

#[tokio::test(start_paused = true)]
async fn servers_that_drain_under_load_cost_no_call() {
    let network = Network::serving(3);
    let balanced = list(&network, 3).build();
    ready(&balanced, 3).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (balanced, stop) = (balanced.clone(), Arc::clone(&stop));
        callers.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                all_ok(&balanced, 1).await;
            }
        });
    }
    for number in [1, 2] {
        until_called(&network, number, 50).await;
        network.drain(&address(number));
        while balanced.states()[usize::from(number) - 1].1 == State::Ready {
            yield_now().await;
        }
    }
    until_called(&network, 3, 100).await;
    stop.store(true, Ordering::Relaxed);
    callers.join_all().await;
}

/// Waits for this number of further calls. The clock stands still while calls run.
async fn until_called(network: &Network, number: u8, calls: usize) {
    let enough = network.calls(&address(number)) + calls;
    while network.calls(&address(number)) < enough {
        yield_now().await;
    }
}

async fn until_closed(network: &Network, number: u8) {
    while network.open(&address(number)) > 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_removed_gets_no_new_call_and_a_new_one_is_used() {
    let network = Network::serving(3);
    let (changes, received) = mpsc::channel(1);
    let balanced = Balanced::discover(endpoint(), ReceiverStream::new(received))
        .connector(network.connector())
        .build();
    changes.send(Change::Replace(addresses(2))).await.unwrap();
    ready(&balanced, 2).await;
    let mut kinds = KindsClient::new(balanced.clone());
    let hang = ask(Act::Hang, 1);
    let mut streams = Vec::new();
    for _ in 0..2 {
        streams.push(kinds.server_stream(hang.clone()).await.unwrap().into_inner());
    }

    changes.send(Change::Remove(address(1))).await.unwrap();
    changes.send(Change::Add(address(3))).await.unwrap();
    while balanced.states() != [2, 3].map(|number| (address(number), State::Ready)) {
        sleep(Duration::from_millis(1)).await;
    }
    all_ok(&balanced, 10).await;
    assert_eq!([1, 2, 3].map(|number| network.calls(&address(number))), [1, 6, 5]);

    for stream in &mut streams {
        assert!(stream.message().await.unwrap().is_some(), "it still runs");
    }
    assert_eq!(network.open(&address(1)), 1);
    drop(streams);
    until_closed(&network, 1).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_changes_leave_nothing_behind() {
    let network = Network::serving(2);
    let behaviours = [
        Behaviour::Serves,
        Behaviour::Refuses,
        Behaviour::Hangs,
        Behaviour::IsSilent,
        Behaviour::Greets,
    ];
    for number in 3..=202 {
        network.set(&address(number), behaviours[usize::from(number) % behaviours.len()]);
    }
    let (changes, received) = mpsc::channel(1);
    let balanced = Balanced::discover(endpoint(), ReceiverStream::new(received))
        .connector(network.connector())
        .build();
    changes.send(Change::Replace(addresses(2))).await.unwrap();
    ready(&balanced, 2).await;
    all_ok(&balanced, 2).await;
    let before = alive_tasks();

    for number in 0..5_000_u32 {
        let one = address(3 + u8::try_from(number % 200).unwrap());
        changes.send(Change::Add(one.clone())).await.unwrap();
        if number % 25 == 0 {
            sleep(Duration::from_millis(5)).await;
            all_ok(&balanced, 1).await;
        }
        changes.send(Change::Remove(one)).await.unwrap();
    }
    // The fake servers see that their connections are closed.
    sleep(SECOND).await;
    assert_eq!(balanced.states(), [1, 2].map(|number| (address(number), State::Ready)));
    assert_eq!(alive_tasks(), before);
    all_ok(&balanced, 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_balancer_leaves_no_task_behind() {
    let network = Network::serving(2);
    network.set(&address(3), Behaviour::Hangs);
    let before = alive_tasks();
    let balanced = list(&network, 4).build();
    ready(&balanced, 2).await;
    let mut kinds = KindsClient::new(balanced.clone());
    let mut stream = kinds.server_stream(ask(Act::Hang, 1)).await.unwrap().into_inner();
    drop((balanced, kinds));
    sleep(SECOND).await;
    assert!(stream.message().await.unwrap().is_some(), "a running call goes on");
    drop(stream);
    sleep(SECOND).await;
    assert_eq!(alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_no_use_keeps_the_addresses() {
    let network = Network::serving(2);
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let balanced = Balanced::resolve(endpoint(), move || {
        let mut asked = count.lock().unwrap();
        *asked += 1;
        let answer = match *asked {
            1 => Ok(addresses(2)),
            2 => Err(std::io::Error::other("no such host")),
            _ => Ok(vec![]),
        };
        async move { answer }
    })
    .connector(network.connector())
    .build();
    let lines = Lines::default();
    let _collecting = lines.collect();
    ready(&balanced, 2).await;
    sleep(60 * SECOND).await;
    assert_eq!(*asked.lock().unwrap(), 8, "after 30 s, and then every 5 s");
    all_ok(&balanced, 10).await;
    let text = lines.text();
    let told: Vec<_> = text.lines().filter(|line| line.contains("no such host")).collect();
    assert_eq!(told.len(), 1, "{text}");
    assert!(told[0].contains("WARN tonic_balance: "), "{text}");
    assert!(told[0].contains(r#"server="orders.svc:50051""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_loss_resolves_the_name_anew() {
    let network = Network::serving(2);
    let balanced = {
        let mut answers = [addresses(1), vec![address(2)]].into_iter();
        Balanced::resolve(endpoint(), move || {
            let answer = answers.next().unwrap_or_else(|| vec![address(2)]);
            async move { Ok(answer) }
        })
    };
    let balanced = balanced.connector(network.connector()).build();
    ready(&balanced, 1).await;
    sleep(10 * SECOND).await;
    network.set(&address(1), Behaviour::Refuses);
    network.cut(&address(1));
    let begun = Instant::now();
    while balanced.states() != [(address(2), State::Ready)] {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(begun.elapsed() < SECOND);
    all_ok(&balanced, 1).await;
}

#[tokio::test(start_paused = true)]
async fn no_addresses_is_a_failure_that_says_so() {
    let failing = |error: &'static str| {
        Balanced::resolve(endpoint(), move || async move { Err(std::io::Error::other(error)) })
    };
    for (builder, expected) in [
        (list(&Network::default(), 0), "orders.svc:50051 has no addresses"),
        (failing("no such host"), "orders.svc:50051 has no addresses; last error: no such host"),
    ] {
        let mut kinds = KindsClient::new(builder.build());
        let status = kinds.unary(Ask::default()).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unavailable, expected));
    }
}

#[tokio::test(start_paused = true)]
async fn pick_first_uses_the_first_address_that_works() {
    let network = Network::serving(3);
    network.set(&address(1), Behaviour::Refuses);
    let balanced = list(&network, 3).policy(Policy::PickFirst).build();
    all_ok(&balanced, 10).await;
    assert_eq!(network.calls(&address(2)), 10);
    assert_eq!(network.attempts(&address(3)).len(), 0, "nobody needed it");
    let states: Vec<_> = balanced.states().into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [State::Idle, State::Ready, State::Idle]);

    network.set(&address(2), Behaviour::Refuses);
    network.cut(&address(2));
    sleep(5 * SECOND).await;
    all_ok(&balanced, 10).await;
    assert_eq!(network.calls(&address(3)), 10);
}

#[tokio::test(start_paused = true)]
async fn pick_first_fails_once_each_address_has_failed() {
    let network = Network::default();
    let balanced = list(&network, 3).policy(Policy::PickFirst).build();
    assert_eq!(call(&balanced).await, Code::Unavailable);
    assert_eq!([1, 2, 3].map(|number| network.attempts(&address(number)).len()), [1; 3]);
    network.set(&address(2), Behaviour::Serves);
    until(&balanced, 1, State::Ready).await;
    all_ok(&balanced, 1).await;
}

#[tokio::test(start_paused = true)]
async fn each_change_of_state_is_told_and_logged_once() {
    let network = Network::serving(1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let picked = Arc::new(Mutex::new(0));
    let lines = Lines::default();
    let _collecting = lines.collect();
    let (changes, picks) = (Arc::clone(&told), Arc::clone(&picked));
    let balanced = list(&network, 1)
        .on_state(move |change| {
            let text = format!("{} {}", change.to, change.reason.unwrap_or("-"));
            changes.lock().unwrap().push(text);
            panic!("in a hook, on purpose");
        })
        .on_pick(move |_| *picks.lock().unwrap() += 1)
        .build();
    tonic_call_test_kit::silence_panics();
    all_ok(&balanced, 3).await;
    sleep(5 * SECOND).await;
    network.set(&address(1), Behaviour::Refuses);
    network.cut(&address(1));
    sleep(30 * SECOND).await;
    drop(balanced);
    sleep(SECOND).await;

    assert_eq!(*picked.lock().unwrap(), 3);
    let told = told.lock().unwrap();
    let expected = [
        "IDLE -",
        "CONNECTING -",
        "READY -",
        "CONNECTING the server has closed the connection",
        "TRANSIENT_FAILURE connection refused",
        "SHUTDOWN -",
    ];
    assert_eq!(told[..], expected);
    let text = lines.text();
    let logged: Vec<_> =
        text.lines().filter(|line| line.contains("connection state changed")).collect();
    assert_eq!(logged.len(), expected.len(), "{text}");
    assert!(logged[2].contains("INFO tonic_balance: "), "{text}");
    assert!(logged[4].contains("WARN tonic_balance: "), "{text}");
    assert!(logged[4].contains(r#"address=10.0.0.1:50051 from="CONNECTING""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn calls_name_the_host_and_not_the_address() {
    let network = Network::serving(1);
    let balanced = list(&network, 1).build();
    all_ok(&balanced, 1).await;
    assert_eq!(network.authorities(&address(1)), ["orders.svc:50051"]);
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_changes_may_end() {
    let network = Network::serving(2);
    let changes = tokio_stream::iter([Change::Replace(addresses(2))]);
    let changes = changes.chain(tokio_stream::empty());
    let balanced = Balanced::discover(endpoint(), changes).connector(network.connector()).build();
    ready(&balanced, 2).await;
    sleep(60 * SECOND).await;
    all_ok(&balanced, 4).await;
}
