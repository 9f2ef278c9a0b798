//! Health servers and discoveries that report without pause. The network is in memory.
//!
//! No test here collects log lines: the events of all tests would be formatted.
#![allow(clippy::unwrap_used)]

mod network;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use network::{Behaviour, Network, address, addresses, endpoint};
use tokio::runtime::{Builder, Handle};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_stream::Stream;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tonic::{Request, Response, Status, async_trait};
use tonic_balance::{Address, Balanced, Change, State};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::service_fn;
use tower_service::Service as _;

const SECOND: Duration = Duration::from_secs(1);
const FLOOD: usize = 100_000;
/// For what the server sends ahead, in thousands of small frames.
const MAX_BYTES: u64 = 1 << 20;
/// More addresses than events that may wait.
const MANY: u16 = 2_000;

/// Servers can send 64 KiB ahead, and no more.
fn narrow() -> Endpoint {
    endpoint().initial_stream_window_size(1 << 16)
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn call(balanced: &Balanced) {
    KindsClient::new(balanced.clone()).unary(Ask::default()).await.unwrap();
}

/// A health service whose watches flip as fast as they are read, without end. Counts the answers.
#[derive(Clone, Default)]
struct Flipping(Arc<AtomicUsize>);

type Answers = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[async_trait]
impl Health for Flipping {
    async fn check(
        &self,
        _: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        Err(Status::unimplemented("watch only"))
    }

    type WatchStream = Answers;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Answers>, Status> {
        let count = Arc::clone(&self.0);
        let statuses = [ServingStatus::NotServing, ServingStatus::Serving].into_iter().cycle();
        let answers = statuses.map(move |status| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(HealthCheckResponse { status: status.into() })
        });
        Ok(Response::new(Box::pin(tokio_stream::iter(answers))))
    }
}

#[test]
fn a_health_server_that_flips_without_end_costs_no_call_and_little_memory() {
    // On this thread alone, so that its allocations can be counted.
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let network = Network::serving(2);
    let flips = Flipping::default();
    network.also_serves(&address(1), Routes::new(HealthServer::new(flips.clone())));
    let until = |balanced: &Balanced, count: usize| {
        let (balanced, flips) = (balanced.clone(), Arc::clone(&flips.0));
        async move {
            while flips.load(Ordering::Relaxed) < count {
                call(&balanced).await;
            }
        }
    };
    let (before, balanced) = runtime.block_on(async {
        let before = alive_tasks();
        let balanced = Balanced::list(narrow(), addresses(2))
            .connector(network.connector())
            .health_check("orders")
            .build();
        // Buffers have their size after this.
        until(&balanced, FLOOD).await;
        (before, balanced)
    });
    let memory = allocation_counter::measure(|| runtime.block_on(until(&balanced, 4 * FLOOD)));
    assert!(memory.bytes_max < MAX_BYTES, "{memory:?}");
    let calls = [1, 2].map(|number| network.calls(&address(number)));
    assert!(calls.iter().all(|calls| *calls > 50), "{calls:?}");
    runtime.block_on(async {
        drop(balanced);
        sleep(SECOND).await;
        assert_eq!(alive_tasks(), before);
    });
    let ended = flips.0.load(Ordering::Relaxed);
    runtime.block_on(async { sleep(SECOND).await });
    assert_eq!(flips.0.load(Ordering::Relaxed), ended, "the watch has ended");
}

#[tokio::test(start_paused = true)]
async fn a_discovery_that_changes_without_pause_costs_no_call() {
    let network = Network::serving(1);
    network.set(&address(2), Behaviour::Serves);
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let changes = (0..=FLOOD).map(move |number| {
        count.store(number, Ordering::Relaxed);
        match number {
            0 => Change::Add(address(1)),
            number if number % 2 == 1 => Change::Add(address(2)),
            _ => Change::Remove(address(2)),
        }
    });
    let before = alive_tasks();
    let balanced = Balanced::discover(endpoint(), tokio_stream::iter(changes))
        .connector(network.connector())
        .build();
    let mut calls = 0;
    while taken.load(Ordering::Relaxed) < FLOOD {
        call(&balanced).await;
        calls += 1;
    }
    assert!(calls > 100, "{calls} calls");
    sleep(SECOND).await;
    assert_eq!(balanced.states(), [(address(1), State::Ready)]);
    drop(balanced);
    sleep(SECOND).await;
    assert_eq!(alive_tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn thousands_of_addresses_become_ready_at_once_or_one_by_one() {
    let network = Network::default();
    let all: Vec<Address> =
        (1..=MANY).map(|port| SocketAddr::from(([10, 0, 0, 1], port)).into()).collect();
    for address in &all {
        // It sends its SETTINGS, and waits for requests.
        network.set(address, Behaviour::RefusesStreams);
    }
    for pause in [Duration::ZERO, Duration::from_millis(1)] {
        let connector = network.connector();
        let connector = service_fn(move |address: Address| {
            let mut connector = connector.clone();
            async move {
                let Address::Tcp(tcp) = &address else { panic!("{address}") };
                sleep(pause * u32::from(tcp.port())).await;
                connector.call(address).await
            }
        });
        let balanced = Balanced::list(endpoint(), all.clone()).connector(connector).build();
        sleep(pause * u32::from(MANY) + SECOND).await;
        assert!(balanced.states().iter().all(|(_, state)| *state == State::Ready));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_health_server_must_wait_for_a_hook_that_is_slow() {
    let network = Network::serving(1);
    let flips = Flipping::default();
    network.also_serves(&address(1), Routes::new(HealthServer::new(flips.clone())));
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let _balanced = Balanced::list(narrow(), addresses(1))
        .connector(network.connector())
        .health_check("orders")
        .on_state(move |change| {
            if change.to == State::Ready {
                // Returns at once after the sender is dropped.
                let _ = released.lock().unwrap().recv();
            }
        })
        .build();
    let flipped = || async {
        while flips.0.load(Ordering::Relaxed) < FLOOD {
            yield_now().await;
        }
    };
    assert!(timeout(SECOND, flipped()).await.is_err(), "nothing takes so many events");
    drop(release);
    timeout(60 * SECOND, flipped()).await.unwrap();
}
