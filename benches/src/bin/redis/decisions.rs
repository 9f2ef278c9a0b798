//! A decision, beside a bare round trip of a script and the local store.

use std::error::Error;
use std::time::Duration;

use redis::Script;
use tonic_ratelimit_layer::{Quota, RateLimitLayer, RedisStore};

use super::calls::{self, Times, call};

const CALLS: usize = 20_000;

pub(crate) async fn measure(url: &str) -> Result<(), Box<dyn Error>> {
    let redis = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let script = Script::new("return redis.call('TIME')");
    // No call waits for the budget.
    let store = || RedisStore::connect(url).map(|store| store.budget(Duration::from_secs(10)));
    let asking = store()?.prefix("bench");
    let remembering = store()?.prefix("bench-remembered").remember_refusals();
    // More than the bench makes, and a quota that is used up.
    let many = || Quota::every(Duration::from_secs(60)).burst(5_000_000);
    let none = || Quota::per_hour(1).named("none");
    let layers = [
        ("passes, decided by Redis", many(), Some(&asking)),
        ("refused by Redis", none(), Some(&asking)),
        ("refused, remembered", none(), Some(&remembering)),
        ("passes, quota in the process", many(), None),
    ];
    println!("| a decision | callers | p50 | p99 | per second |\n|---|---|---|---|---|");
    for callers in [1, 64] {
        let bare = (redis.clone(), script.clone());
        let times = calls::run(callers, CALLS, move |_| {
            let (mut redis, script) = bare.clone();
            async move {
                let answer = script.invoke_async::<_, Vec<u64>>(&mut redis).await;
                answer.map(drop).expect("Redis answers");
            }
        });
        print("a bare EVALSHA", callers, &times.await);
        for (name, quota, store) in &layers {
            let layer = RateLimitLayer::server(quota.clone());
            let layer = match store {
                Some(store) => layer.shared((*store).clone()).build()?,
                None => layer.build()?,
            };
            // Connects, and uses up the small quota.
            let (_, passes) = (call(&layer, 0).await, call(&layer, 0).await);
            let times = calls::run(callers, CALLS, move |_| {
                let call = call(&layer, 0);
                async move { assert_eq!(call.await, passes) }
            });
            print(name, callers, &times.await);
        }
    }
    Ok(asking.ready()?)
}

fn print(name: &str, callers: usize, times: &Times) {
    let micros = |time: Duration| time.as_nanos() as f64 / 1_000.0;
    let (p50, p99) = (micros(times.at(500)), micros(times.at(990)));
    println!("| {name} | {callers} | {p50:.1} µs | {p99:.1} µs | {:.0} |", times.per_second());
}
