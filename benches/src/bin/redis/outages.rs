//! What 64 callers notice when Redis goes, and how soon it is back.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic_ratelimit_layer::{Quota, RateLimitLayer, RedisStore};

use super::calls::{Times, call};
use super::redis_server::{Outage, RedisServer};

const CALLERS: usize = 64;

/// How long Redis stays away.
const AWAY: Duration = Duration::from_secs(3);

const OUTAGES: [(&str, Outage); 4] = [
    ("killed, and started again", Outage::Killed),
    ("SIGSTOP, SIGCONT", Outage::Stopped),
    ("CLIENT PAUSE", Outage::Paused(AWAY)),
    ("out of memory", Outage::Full),
];

pub(crate) async fn measure(server: &mut RedisServer) -> Result<(), Box<dyn Error>> {
    println!(
        "\n| 64 callers, budget 20 ms | Redis decides: p99 | until the breaker opens: slowest | breaker open: p50, p99 | back after | calls |"
    );
    println!("|---|---|---|---|---|---|");
    let local = RateLimitLayer::server(quota()).build()?;
    let calls = Callers::start(&local);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let made = calls.stop().await;
    let all = times(&made, |_, _| true);
    println!("| without Redis | | | {:?}, {:?} | | {} |", all.at(500), all.at(990), made.len());
    for (name, outage) in OUTAGES {
        let store = RedisStore::connect(&server.url())?.prefix(format!("{outage:?}"));
        let layer = RateLimitLayer::server(quota()).shared(store.clone()).build()?;
        _ = store.ready();
        store.ready_changed(false).await?;
        let calls = Callers::start(&layer);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        outage.begin(server);
        _ = store.ready_changed(true).await;
        let opened = Instant::now();
        tokio::time::sleep(AWAY.saturating_sub(began.elapsed())).await;
        let ended = Instant::now();
        outage.end(server);
        store.ready_changed(false).await?;
        let back = Instant::now();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let calls = calls.stop().await;
        let before = times(&calls, |_, end| end < began);
        // Those that are running when Redis goes, too.
        let first = times(&calls, |start, end| end >= began && start < opened);
        let open = times(&calls, |start, _| start >= opened && start < ended);
        println!(
            "| {name} | {:?} | {:?} | {:?}, {:?} | {:?} | {} |",
            before.at(990),
            first.at(1_000),
            open.at(500),
            open.at(990),
            back - ended,
            calls.len(),
        );
    }
    Ok(())
}

/// Each caller can make all the calls of the bench.
fn quota() -> Quota {
    Quota::every(Duration::from_secs(1)).burst(300_000_000)
}

/// When a call began, and how long it took.
type Made = (Instant, Duration);

/// The times of some calls, by when they began and ended.
fn times(calls: &[Made], is_meant: impl Fn(Instant, Instant) -> bool) -> Times {
    let meant = calls.iter().filter(|(start, time)| is_meant(*start, *start + *time));
    Times::new(meant.map(|(_, time)| *time).collect(), Duration::from_secs(1))
}

/// Callers that make calls until they are stopped.
struct Callers {
    is_over: Arc<AtomicBool>,
    tasks: JoinSet<Vec<Made>>,
}

impl Callers {
    fn start(layer: &RateLimitLayer) -> Self {
        let (is_over, mut tasks) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for caller in 0..CALLERS {
            let (layer, is_over) = (layer.clone(), Arc::clone(&is_over));
            tasks.spawn(async move {
                let mut made = Vec::new();
                while !is_over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    assert!(call(&layer, caller).await, "it was refused");
                    made.push((began, began.elapsed()));
                    // Callers are not all in a hurry: 64 that are would only wait for the processor.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                made
            });
        }
        Self { is_over, tasks }
    }

    /// Every call that has begun ends: else this does not.
    async fn stop(self) -> Vec<Made> {
        self.is_over.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}
