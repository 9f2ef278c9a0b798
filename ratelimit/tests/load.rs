//! Many concurrent tasks get the whole quota, and never more.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::{Hand, came_through, principal};
use tonic_ratelimit_layer::{InFlight, Key, Quota, RateLimitLayer, Rule};

const TASKS: usize = 64;
const CALLERS: [&str; 4] = ["ann", "bob", "eve", "dan"];

fn built(rule: impl Into<Rule>) -> (RateLimitLayer, Hand) {
    let hand = Hand::default();
    let layer = RateLimitLayer::server(rule.into()).with_clock(hand.clock()).build().unwrap();
    (layer, hand)
}

/// Lets each task make `calls` calls. Returns how many calls of each caller passed.
async fn storm(layer: &RateLimitLayer, calls: usize) -> [usize; CALLERS.len()] {
    let granted: Arc<[AtomicUsize; CALLERS.len()]> = Arc::default();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (layer, granted) = (layer.clone(), Arc::clone(&granted));
            tokio::spawn(async move {
                let who = task % CALLERS.len();
                for _ in 0..calls {
                    let passed = came_through(&layer, &principal(CALLERS[who]));
                    granted[who].fetch_add(passed.into(), Ordering::SeqCst);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    granted.each_ref().map(|granted| granted.load(Ordering::SeqCst))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn j01_while_time_stands_still_many_tasks_get_exactly_the_quota() {
    let (layer, hand) = built(Quota::per_second(1_000).burst(300));
    for (later, there_is) in [(0, 300), (50, 50), (1, 1), (1_000, 300), (123, 123)] {
        hand.advance(Duration::from_millis(later));
        assert_eq!(storm(&layer, 20).await.iter().sum::<usize>(), there_is);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn j02_of_several_quotas_too() {
    // Each caller has more than a fourth of the common quota, so that both quotas refuse calls.
    let per_caller = || Quota::per_second(400).burst(100).by(Key::principal());
    let quotas = [
        per_caller(),
        Quota::per_second(1_000).burst(300),
        per_caller().named("in hundreds").burst(400).cost(4),
    ];
    for rule in [quotas.clone(), {
        let [a, b, c] = quotas;
        [b, c, a]
    }] {
        let (layer, hand) = built(rule);
        let granted = storm(&layer, 20).await;
        assert_eq!(granted.iter().sum::<usize>(), 300, "{granted:?}");
        assert!(granted.iter().all(|granted| *granted <= 100), "{granted:?}");
        // In 100 ms the common quota gains 100 units, and each caller ten calls, which cost four units each.
        hand.advance(Duration::from_millis(100));
        let again = storm(&layer, 20).await;
        let left = granted.map(|granted| 100 - granted + 10);
        assert!(again.iter().zip(left).all(|(again, left)| *again <= left), "{again:?} {left:?}");
        assert_eq!(again.iter().sum::<usize>(), left.iter().sum::<usize>().min(100), "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn j03_while_time_goes_on_never_more_than_the_quota_and_at_least_95_hundredths() {
    const STEPS: u32 = 200;
    const STEP: Duration = Duration::from_millis(5);
    let (layer, hand) = built(Quota::per_second(10_000).burst(100));
    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (layer, over, asked) = (layer.clone(), Arc::clone(&over), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut granted = 0;
                while !over.load(Ordering::SeqCst) {
                    granted += usize::from(came_through(&layer, &principal("ann")));
                    asked.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
                granted
            })
        })
        .collect();
    // Time advances when the quota is used up; a task may still use the earlier time.
    for _ in 0..STEPS {
        let before = asked.load(Ordering::SeqCst);
        hand.advance(STEP);
        while asked.load(Ordering::SeqCst) < before + 2 * TASKS {
            tokio::task::yield_now().await;
        }
    }
    over.store(true, Ordering::SeqCst);
    let mut granted = 0;
    for task in tasks {
        granted += task.await.unwrap();
    }
    // A second has passed: 10,000, and the burst.
    assert!((9_595..=10_100).contains(&granted), "{granted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn j04_never_more_than_the_limit_are_in_flight_and_in_the_end_none() {
    let limits = (InFlight::new(5), InFlight::new(2).by(Key::principal()).named("own"));
    let (layer, _) = built(limits);
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let passed = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let layer = layer.clone();
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            let passed = Arc::clone(&passed);
            tokio::spawn(async move {
                use tower::{Layer as _, Service as _};
                struct Leave(Arc<AtomicUsize>);
                impl Drop for Leave {
                    fn drop(&mut self) {
                        self.0.fetch_sub(1, Ordering::SeqCst);
                    }
                }
                for round in 0..200 {
                    let service = tower::service_fn(|_: http::Request<tonic::body::Body>| {
                        let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        passed.fetch_add(1, Ordering::SeqCst);
                        let leave = Leave(Arc::clone(&running));
                        async move {
                            tokio::task::yield_now().await;
                            drop(leave);
                            Ok::<_, tonic::Status>(tonic_call_test_kit::Script::new().respond())
                        }
                    });
                    let request = principal(CALLERS[task % CALLERS.len()]).request();
                    let mut call = Box::pin(layer.layer(service).call(request));
                    if round % 3 == 0 {
                        // Dropped after one poll.
                        let once = std::future::poll_fn(|cx| {
                            std::task::Poll::Ready(call.as_mut().poll(cx).is_ready())
                        });
                        once.await;
                    } else {
                        drop(call.await);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(most.load(Ordering::SeqCst) <= 5, "{most:?}");
    assert!(passed.load(Ordering::SeqCst) >= 200);
    // No call is in flight: two of each caller pass, and five of all.
    let held: Vec<_> = CALLERS
        .iter()
        .flat_map(|who| [*who, *who, *who])
        .map(|who| {
            use tower::{Layer as _, Service as _};
            let service = tower::service_fn(|_: http::Request<tonic::body::Body>| {
                std::future::pending::<
                    Result<http::Response<tonic_call_test_kit::Script>, tonic::Status>,
                >()
            });
            let mut call = Box::pin(layer.layer(service).call(principal(who).request()));
            let waker = std::task::Waker::noop();
            let refused = call.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready();
            (refused, call)
        })
        .collect();
    let refused: Vec<_> = held.iter().map(|(refused, _)| *refused).collect();
    let (f, t) = (false, true);
    assert_eq!(refused, [f, f, t, f, f, t, f, t, t, t, t, t]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn j05_a_quota_that_stays_lets_exactly_its_burst_pass_while_limits_beside_it_come_and_go() {
    let stays = || Quota::per_second(1_000).burst(300);
    let beside = || Quota::per_second(1).burst(1_000_000).named("beside");
    let (layer, _) = built(stays());
    let over = Arc::new(AtomicBool::new(false));
    // The state of one quota is used alone, and together with another quota, by calls at the same time.
    let replaces = std::thread::spawn({
        let (handle, over) = (layer.handle(), Arc::clone(&over));
        move || {
            let rules = [Rule::from([stays(), beside()]), Rule::from(stays())];
            let mut rounds = 0;
            while !over.load(Ordering::SeqCst) {
                for rule in &rules {
                    handle.replace(rule.clone()).unwrap();
                    rounds += 1;
                }
            }
            rounds
        }
    });
    let granted = storm(&layer, 200).await;
    over.store(true, Ordering::SeqCst);
    assert!(replaces.join().unwrap() > 0);
    assert_eq!(granted.iter().sum::<usize>(), 300, "{granted:?}");
}

#[test]
fn j06_calls_in_flight_of_all_callers_are_counted_exactly_by_many_threads() {
    use tower::{Layer as _, Service as _};
    const THREADS: usize = 4;
    let (layer, _) = built(InFlight::new(2));
    let waiting = || {
        let answer = |_: http::Request<tonic::body::Body>| {
            std::future::pending::<Result<http::Response<tonic_call_test_kit::Script>, tonic::Status>>(
            )
        };
        let mut call =
            Box::pin(layer.layer(tower::service_fn(answer)).call(principal("ann").request()));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let is_refused = call.as_mut().poll(&mut cx).is_ready();
        (!is_refused).then_some(call)
    };
    let (running, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for _ in 0..THREADS {
            threads.spawn(|| {
                for _ in 0..10_000 {
                    let Some(call) = waiting() else { continue };
                    assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                    passed.fetch_add(1, Ordering::SeqCst);
                    running.fetch_sub(1, Ordering::SeqCst);
                    drop(call);
                }
            });
        }
    });
    assert!(passed.load(Ordering::SeqCst) >= 10_000);
    // None is counted that has ended.
    let calls = [waiting(), waiting(), waiting()];
    assert_eq!(calls.map(|call| call.is_some()), [true, true, false]);
}
