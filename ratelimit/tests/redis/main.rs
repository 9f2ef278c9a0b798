//! Quotas that several servers share in Redis. Each test is a rule.
#![cfg(feature = "redis")]
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod hangs;
mod login;
#[path = "../redis_server/mod.rs"]
mod redis_server;
mod remembered;
mod sentinel;
#[cfg(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"))]
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Called, Inner, Lines, Who, principal};
use http::Request;
use redis_server::{Outage, RedisServer};
use tonic::transport::Server;
use tonic::{Code, Status};
use tonic_call::{CallInfo, MethodKind};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, Untouched, call, listen};
use tonic_ratelimit_layer::{
    BuildError, Fallback, InFlight, Key, Limits, Quota, RateLimitLayer, RedisStore, StoreError,
};
use tonic_types::StatusExt as _;
use tower::{Layer as _, ServiceExt as _};

/// A budget that a busy machine keeps.
const LONG: Duration = Duration::from_secs(20);

/// Longer than it takes to see that Redis is away, also on a busy machine.
const PAUSED: Outage = Outage::Paused(Duration::from_secs(15));

const LIMITED: (Code, &str) = (Code::ResourceExhausted, "RATE_LIMITED");
const UNAVAILABLE: (Code, &str) = (Code::Unavailable, "LIMITER_UNAVAILABLE");

fn store(url: &str) -> RedisStore {
    RedisStore::connect(url).unwrap().budget(LONG)
}

fn layer(limits: impl Into<Limits>, store: &RedisStore) -> RateLimitLayer {
    RateLimitLayer::server(limits).shared(store.clone()).build().unwrap()
}

/// Makes a call through a layer.
async fn send(layer: &RateLimitLayer, request: Request<Untouched>) -> Called {
    let inner = Inner::default();
    let info = CallInfo::of(request.extensions()).unwrap().clone();
    let response = layer.layer(inner.clone()).oneshot(request).await.unwrap();
    let (head, _) = response.into_parts();
    let status = Status::from_header_map(&head.headers).unwrap_or_else(|| Status::ok(""));
    Called {
        http: head.status,
        code: status.code(),
        message: status.message().to_owned(),
        details: status.get_error_details(),
        headers: head.headers,
        refusals: info.refusals(),
        info,
        came_through: inner.0.load(std::sync::atomic::Ordering::SeqCst) == 1,
    }
}

async fn send_from(layer: &RateLimitLayer, from: &Who<'_>) -> Called {
    send(layer, from.request()).await
}

/// How many of so many calls pass.
async fn passes(layer: &RateLimitLayer, from: &Who<'_>, calls: usize) -> usize {
    let mut passed = 0;
    for _ in 0..calls {
        passed += usize::from(send_from(layer, from).await.came_through);
    }
    passed
}

/// The source of the next decision.
async fn source(layer: &RateLimitLayer) -> String {
    let called = send_from(layer, &principal("probe")).await;
    called.field("ratelimit.source").unwrap()
}

/// Calls until Redis decides, or does not; returns how long that took.
async fn until(layer: &RateLimitLayer, is_there: bool) -> Duration {
    let began = Instant::now();
    while source(layer).await.contains("redis") != is_there {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not change");
        tokio::task::yield_now().await;
    }
    began.elapsed()
}

/// Waits for something that a server does.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} takes too long");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_share_one_quota_for_every_kind_of_call() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    for kind in [MethodKind::Unary, MethodKind::ServerStream, MethodKind::BidiStream] {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let (incoming, endpoint) = listen();
            let store = store(&redis.url()).prefix(format!("{kind:?}"));
            let layer = layer(Quota::per_hour(90).by(Key::metadata("x-tenant")), &store);
            let mut server = Server::builder().layer(layer);
            let server = server.add_service(KindsServer::new(KindsService::default()));
            tokio::spawn(server.serve_with_incoming(incoming));
            let channel = endpoint.connect().await.unwrap();
            for caller in 0..4 {
                let mut client = KindsClient::new(channel.clone());
                calls.spawn(async move {
                    let mut passed = [0, 0];
                    for number in 0..50 {
                        let tenant = (caller + number) % 2;
                        let ask = Ask { notes: 1, ..Ask::default() };
                        let name = ["ann", "bob"][tenant];
                        let outcome = call(&mut client, kind, ask, &[("x-tenant", name)]).await;
                        assert!(
                            matches!(outcome.code, Code::Ok | Code::ResourceExhausted),
                            "{outcome:?}"
                        );
                        passed[tenant] += usize::from(outcome.code == Code::Ok);
                    }
                    passed
                });
            }
        }
        let passed =
            calls.join_all().await.into_iter().fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
        // One call comes back each 40 s.
        assert!(passed.iter().all(|passed| (90..=92).contains(passed)), "{kind:?}: {passed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_use_what_is_refilled_and_never_more() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    use_what_is_refilled(|| store(&redis.url()).prefix("asked")).await;
    use_what_is_refilled(|| store(&redis.url()).prefix("remembered").remember_refusals()).await;
}

async fn use_what_is_refilled(store: impl Fn() -> RedisStore) {
    let (burst, rate) = (60.0, 30.0);
    let layers = [(); 3].map(|()| layer(Quota::per_second(30).burst(60), &store()));
    let began = Instant::now();
    let mut calls = tokio::task::JoinSet::new();
    for layer in layers {
        calls.spawn(async move {
            let mut passed = 0;
            while began.elapsed() < Duration::from_secs(3) {
                passed += passes(&layer, &Who::default(), 1).await;
            }
            passed
        });
    }
    let passed: usize = calls.join_all().await.into_iter().sum();
    let most = burst + rate * began.elapsed().as_secs_f64();
    println!("{passed} of {most}");
    assert!(
        passed as f64 <= most && passed as f64 >= 0.95 * (burst + rate * 3.0),
        "{passed} of {most}"
    );
}

#[tokio::test]
async fn a_call_takes_from_all_shared_quotas_or_from_none_and_the_refusal_names_the_one() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let many = Quota::per_hour(10).named("many").by(Key::principal());
    let few = Quota::per_hour(2).named("few");
    let layers = [(); 2].map(|()| {
        let limits = [many.clone(), few.clone(), Quota::per_hour(1).named("shadow").shadow()];
        RateLimitLayer::server(limits)
            .shared(store(&redis.url()))
            .fields_on_accepted()
            .build()
            .unwrap()
    });
    let [one, other] = &layers;
    let first = send_from(one, &principal("ann")).await;
    first.passed();
    assert_eq!(first.header("ratelimit"), Some(r#""many";r=9;t=360, "few";r=1;t=1800"#));
    assert!(send_from(other, &principal("ann")).await.came_through);
    for layer in [one, other] {
        let refused = send_from(layer, &principal("ann")).await;
        refused.is_refused(LIMITED.0, LIMITED.1);
        let info = refused.details.error_info().unwrap();
        assert_eq!(info.metadata["limit"], "few");
        let wait = refused.wait().unwrap();
        assert!(
            wait > Duration::from_secs(1_700) && wait <= Duration::from_secs(1_800),
            "{wait:?}"
        );
        assert!(refused.field("ratelimit.source").unwrap().contains("redis"));
    }
    // What was refused has not used up the other quota.
    let only = layer(many, &store(&redis.url()));
    assert_eq!(passes(&only, &principal("ann"), 20).await, 8);
}

#[tokio::test]
async fn local_limits_and_calls_in_flight_stay_in_the_process() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let limits = || {
        let shared = Quota::per_hour(5).named("shared");
        (shared, (Quota::per_hour(3).named("local").local(), InFlight::new(1)))
    };
    let [one, other] = [(); 2].map(|()| layer(limits(), &store(&redis.url())));
    assert_eq!(passes(&one, &Who::default(), 9).await, 3);
    assert_eq!(passes(&other, &Who::default(), 9).await, 2);
    let names = format!("{:?}", redis.run(&["KEYS", "ratelimit:?*"]));
    assert_eq!(names.matches("ratelimit:").count(), 1, "{names}");
}

#[tokio::test]
async fn keys_have_nothing_in_them_that_was_sent_and_expire_when_they_are_full() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let store = store(&redis.url()).prefix("p").secret("pepper");
    let hourly = layer(Quota::per_hour(10).by(Key::principal()), &store);
    assert!(send_from(&hourly, &principal("ann")).await.came_through);
    let names = format!("{:?}", redis.run(&["KEYS", "*"]));
    assert!(names.contains("p:") && !names.contains("ann"), "{names}");
    redis.run(&["FLUSHALL"]);
    let fast = layer(Quota::per_second(20).by(Key::principal()), &store);
    for name in 0..200 {
        assert!(send_from(&fast, &principal(&name.to_string())).await.came_through);
    }
    let began = Instant::now();
    while redis.keys() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "keys do not expire");
    }
}

#[tokio::test]
async fn while_redis_is_away_the_fallback_decides_and_nobody_waits_and_then_it_is_back() {
    let Some(mut redis) = RedisServer::start(&[]) else { return };
    let fallbacks = [Fallback::Local, Fallback::Open, Fallback::Closed];
    let outages = [Outage::Killed, Outage::Stopped, PAUSED, Outage::Full];
    for (number, outage) in outages.into_iter().enumerate() {
        let counts = Arc::new(Mutex::new(HashMap::<_, usize>::new()));
        let layers = fallbacks.map(|fallback| {
            let counts = Arc::clone(&counts);
            let store =
                RedisStore::connect(&redis.url()).unwrap().budget(Duration::from_millis(250));
            let store = store.fallback(fallback).replicas(3).prefix(format!("{outage:?}"));
            let store = store.on_decision(move |source, _| {
                *counts.lock().unwrap().entry(source).or_default() += 1;
            });
            let limits = Quota::per_hour(300).burst(30).by(Key::principal());
            (layer(limits, &store), store, fallback)
        });
        for (layer, store, _) in &layers {
            until(layer, true).await;
            assert_eq!(store.ready(), Ok(()));
        }
        outage.begin(&mut redis);
        for (layer, store, fallback) in &layers {
            let began = Instant::now();
            let lines = Lines::default();
            let collecting = lines.collect();
            while !store.is_breaker_open() {
                send_from(layer, &principal("first")).await;
                assert!(began.elapsed() < LONG, "the breaker stays closed");
            }
            assert!(store.ready().is_err());
            let mut answers = HashMap::<_, usize>::new();
            let (began, caller) = (Instant::now(), format!("c{number}"));
            for _ in 0..60 {
                let called = send_from(layer, &principal(&caller)).await;
                *answers.entry((called.code, called.reason().to_owned())).or_default() += 1;
                let text = format!("{} {:?} {:?}", called.message, called.headers, called.details);
                assert!(!text.to_ascii_lowercase().contains("redis"), "{text}");
            }
            // Sixty calls that each waited would take fifteen seconds.
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
            let ok = (Code::Ok, String::new());
            let expected = match fallback {
                Fallback::Local => {
                    HashMap::from([(ok, 10), ((LIMITED.0, LIMITED.1.to_owned()), 50)])
                }
                Fallback::Open => HashMap::from([(ok, 60)]),
                Fallback::Closed => {
                    HashMap::from([((UNAVAILABLE.0, UNAVAILABLE.1.to_owned()), 60)])
                }
            };
            assert_eq!(answers, expected, "{outage:?}");
            drop(collecting);
            let warned = lines.text().matches("Redis is away").count();
            assert_eq!(warned, 1, "{}", lines.text());
        }
        outage.end(&mut redis);
        for (layer, store, _) in &layers {
            let back = until(layer, true).await;
            println!("{outage:?}: back after {back:?}");
            assert!(!store.is_breaker_open());
        }
        let counts = counts.lock().unwrap();
        assert!(
            ["redis", "local", "open", "closed"].iter().all(|source| counts.contains_key(source)),
            "{counts:?}"
        );
    }
}

#[tokio::test]
async fn flushed_keys_and_scripts_are_no_outage() {
    let Some(redis) = RedisServer::start(&[]) else { return };
    let layer = layer(Quota::per_hour(3), &store(&redis.url()));
    assert_eq!(passes(&layer, &Who::default(), 5).await, 3);
    redis.run(&["SCRIPT", "FLUSH"]);
    assert_eq!(passes(&layer, &Who::default(), 5).await, 0);
    redis.run(&["FLUSHALL"]);
    assert_eq!(passes(&layer, &Who::default(), 5).await, 3);
    assert!(source(&layer).await.contains("redis"));
}

#[tokio::test]
async fn a_redis_that_is_not_there_does_not_stop_the_start() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let store = store(&format!("redis://{closed}"));
    assert_eq!(store.ready(), Err(StoreError::Starting));
    let layer = layer(Quota::per_hour(3), &store);
    assert_eq!(passes(&layer, &Who::default(), 5).await, 3);
    assert!(matches!(store.ready(), Err(StoreError::Unreachable(_))), "{:?}", store.ready());
}

#[test]
fn what_cannot_be_shared_is_an_error() {
    let fault = |limits: Limits, store: Option<RedisStore>| {
        let builder = RateLimitLayer::server(limits);
        let built = match store {
            Some(store) => builder.shared(store).build(),
            None => builder.build(),
        };
        match built.unwrap_err() {
            BuildError::Limit { wrong, .. } => wrong,
            other => panic!("{other}"),
        }
    };
    let in_flight = fault(InFlight::new(5).shared().into(), Some(store("redis://localhost")));
    assert!(in_flight.contains("counted in each process"), "{in_flight}");
    let without = fault(Quota::per_second(5).shared().into(), None);
    assert!(without.contains("RateLimitBuilder::shared"), "{without}");
    for url in ["", "localhost", "http://:hunter2@localhost", "redis://:hunter2@localhost:port"] {
        let error = RedisStore::connect(url).unwrap_err();
        assert_eq!(error, StoreError::Url, "{url}");
    }
    let tls = RedisStore::connect("rediss://:hunter2@localhost");
    let has_tls = cfg!(any(feature = "redis-tls-aws-lc", feature = "redis-tls-ring"));
    assert_eq!(tls.err(), (!has_tls).then_some(StoreError::NoTls));
}
