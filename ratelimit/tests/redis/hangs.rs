//! Calls that run while Redis hangs, goes and comes back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use tokio::task::JoinSet;

use super::*;

const CALLERS: usize = 64;

/// The resolution of tokio's timer.
const TICK: Duration = Duration::from_millis(1);

/// The time of the paused clock.
fn time() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Pauses the clock so that it advances only by [`advance`](tokio::time::advance), until the returned value is dropped.
/// Otherwise it would advance whenever every task waits for a socket; it does not while a blocking task runs.
fn hold_clock() -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel();
    tokio::task::spawn_blocking(move || released.recv());
    tokio::time::pause();
    release
}

/// As many calls at the same time, of one caller.
async fn at_once(layer: &RateLimitLayer) -> Vec<Called> {
    let mut calls = JoinSet::new();
    for _ in 0..CALLERS {
        let layer = layer.clone();
        calls.spawn(async move { send_from(&layer, &principal("ann")).await });
    }
    calls.join_all().await
}

/// While the clock is paused, it advances only if every task waits: by what they wait for.
#[tokio::test]
async fn calls_wait_for_a_redis_that_hangs_for_the_budget_and_then_not_at_all() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let budget = Duration::from_millis(20);
    let (slow, store) = (store(&redis.url()), RedisStore::connect(&redis.url()).unwrap());
    // Connected without the hurry of the budget.
    until(&layer(Quota::per_hour(9), &slow), true).await;
    let store = store.budget(budget).fallback(Fallback::Open);
    let layer = layer(Quota::per_hour(9).by(Key::principal()), &store);
    until(&layer, true).await;

    redis.signal("STOP");
    tokio::time::pause();
    let began = time();
    let answers = at_once(&layer).await;
    let waited = time() - began;
    assert!(waited >= budget && waited <= budget + TICK, "{waited:?}");
    assert!(answers.iter().all(|called| called.came_through), "{answers:?}");
    assert!(store.is_breaker_open());
    assert_eq!(store.ready(), Err(StoreError::Late(budget)));
    // Now each decision is made when it is asked for.
    for _ in 0..CALLERS {
        let called = common::now(send_from(&layer, &principal("ann")));
        called.passed();
        assert!(called.field("ratelimit.source").unwrap().contains("open"));
    }
    assert_eq!(time() - began, waited);

    tokio::time::resume();
    redis.signal("CONT");
    until(&layer, true).await;
}

/// A probe begins each second of the clock, which then stands still until the probe has ended: so a machine that is busy
/// is not late.
#[tokio::test]
async fn redis_decides_again_within_two_seconds() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    for outage in [Outage::Killed, Outage::Stopped, PAUSED, Outage::Full] {
        let store = RedisStore::connect(&redis.url()).unwrap().budget(Duration::from_millis(250));
        let layer = layer(Quota::per_hour(300), &store);
        until(&layer, true).await;
        outage.begin(&mut redis);
        while !store.is_breaker_open() {
            at_once(&layer).await;
        }
        // The task that makes probes begins to wait.
        tokio::task::yield_now().await;
        outage.end(&mut redis);
        // It answers again.
        redis.run(&["PING"]);
        let held = hold_clock();
        let began = time();
        tokio::time::advance(Duration::from_secs(1) + TICK).await;
        until(&layer, true).await;
        let back = time() - began;
        assert!(back <= Duration::from_secs(2), "{outage:?}: {back:?}");
        drop(held);
        tokio::time::resume();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_or_stuck_while_redis_goes_and_comes_back() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    for outage in [Outage::Killed, Outage::Stopped, PAUSED, Outage::Full] {
        let store = RedisStore::connect(&redis.url()).unwrap().budget(Duration::from_millis(250));
        let layer = layer(Quota::per_hour(300).by(Key::principal()), &store);
        until(&layer, true).await;
        let (is_over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (layer, is_over) = (layer.clone(), Arc::clone(&is_over));
            let made = Arc::clone(&made);
            callers.spawn(async move {
                let (name, mut ended) = (caller.to_string(), 0);
                while !is_over.load(Ordering::Relaxed) {
                    made.fetch_add(1, Ordering::Relaxed);
                    let called = send_from(&layer, &principal(&name)).await;
                    if !called.came_through {
                        called.is_refused(LIMITED.0, LIMITED.1);
                    }
                    ended += 1;
                    tokio::task::yield_now().await;
                }
                ended
            });
        }
        outage.begin(&mut redis);
        assert!(store.ready_changed(true).await.is_err());
        assert!(store.is_breaker_open());
        outage.end(&mut redis);
        assert_eq!(store.ready_changed(false).await, Ok(()));
        until(&layer, true).await;
        is_over.store(true, Ordering::Relaxed);
        let ended = tokio::time::timeout(LONG, callers.join_all()).await.expect("a call is stuck");
        assert_eq!(ended.iter().sum::<usize>(), made.load(Ordering::Relaxed), "{outage:?}");
        assert!(ended.iter().all(|calls| *calls > 0), "{outage:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_health_check_that_follows_the_store_sees_outages_and_no_connection_that_is_made_anew() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let store = store(&redis.url());
    let layer = layer(Quota::per_hour(9), &store);
    assert_eq!(store.ready(), Err(StoreError::Starting));
    assert_eq!(store.ready_changed(false).await, Ok(()));
    let changed = tokio::spawn({
        let store = store.clone();
        async move { store.ready_changed(true).await }
    });
    redis.run(&["CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES"]);
    until(&layer, false).await;
    until(&layer, true).await;
    assert!(!changed.is_finished());
    redis.run(&["CONFIG", "SET", "maxmemory", "1"]);
    while !store.is_breaker_open() {
        send_from(&layer, &principal("ann")).await;
    }
    assert_eq!(changed.await.unwrap(), Err(StoreError::Refused("OOM".to_owned())));
}

/// Forwards connections to a Redis, or closes them at once.
#[derive(Clone, Default)]
struct Road {
    is_closed: Arc<AtomicBool>,
    /// Connections that were closed, and that were forwarded.
    closed: Arc<AtomicUsize>,
    forwarded: Arc<AtomicUsize>,
}

impl Road {
    /// The URL at which it begins.
    async fn to(&self, redis: &RedisServer) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let (road, address) = (self.clone(), redis.url().replace("redis://", ""));
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                if road.is_closed.load(Ordering::SeqCst) {
                    road.closed.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                road.forwarded.fetch_add(1, Ordering::SeqCst);
                let mut to = tokio::net::TcpStream::connect(&address).await.unwrap();
                tokio::spawn(
                    async move { tokio::io::copy_bidirectional(&mut from, &mut to).await },
                );
            }
        });
        url
    }
}

/// A probe begins each second, so Redis is back in a second and the time that a probe takes.
#[tokio::test]
async fn the_first_probe_that_reaches_redis_again_closes_the_breaker() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let road = Road::default();
    let store = store(&road.to(&redis).await);
    let layer = layer(Quota::per_hour(9), &store);
    until(&layer, true).await;
    assert_eq!(road.forwarded.load(Ordering::SeqCst), 1);
    road.is_closed.store(true, Ordering::SeqCst);
    redis.run(&["CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES"]);
    // The call that notices it.
    send_from(&layer, &principal("ann")).await;
    assert!(store.ready_changed(true).await.is_err());
    while road.closed.load(Ordering::SeqCst) < 2 {
        assert!(store.is_breaker_open());
        tokio::task::yield_now().await;
    }
    road.is_closed.store(false, Ordering::SeqCst);
    assert_eq!(store.ready_changed(false).await, Ok(()));
    assert_eq!(road.forwarded.load(Ordering::SeqCst), 2);
    assert!(source(&layer).await.contains("redis"));
}
