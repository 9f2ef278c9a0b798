//! A decision of a quota in Redis, beside a bare round trip of a script and the local store.
//!
//! ```sh
//! cargo run --release -p tonic-layers-benches --bin redis -- redis://127.0.0.1:6379
//! ```
#![allow(clippy::print_stdout)]

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, ready};
use std::time::{Duration, Instant};

use http::{Request, Response};
use redis::Script;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic_ratelimit_layer::{Quota, RateLimitLayer, RedisStore};
use tower::{Layer as _, ServiceExt as _, service_fn};

const CALLS: usize = 20_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("the URL of a Redis is missing")?;
    let redis = redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
    let script = Script::new("return redis.call('TIME')");
    // More than the bench makes, and no call waits for the budget.
    let quota = || Quota::every(Duration::from_secs(60)).burst(5_000_000);
    let store = RedisStore::connect(&url)?.prefix("bench").budget(Duration::from_secs(10));
    let shared = RateLimitLayer::server(quota()).shared(store.clone()).build()?;
    let local = RateLimitLayer::server(quota()).build()?;
    for callers in [1, 64] {
        let bare = (redis.clone(), script.clone());
        measure("a bare script", callers, move || {
            let (mut redis, script) = bare.clone();
            async move {
                let answer = script.invoke_async::<_, Vec<u64>>(&mut redis).await;
                answer.map(drop).expect("Redis answers");
            }
        })
        .await;
        measure("shared in Redis", callers, {
            let shared = shared.clone();
            move || call(&shared)
        })
        .await;
        measure("in the process", callers, {
            let local = local.clone();
            move || call(&local)
        })
        .await;
    }
    Ok(store.ready()?)
}

/// A call that passes a layer.
fn call(layer: &RateLimitLayer) -> impl Future<Output = ()> + Send + use<> {
    let answer = |_| ready(Ok::<_, Infallible>(Response::new(Body::empty())));
    let service = layer.layer(service_fn(answer));
    async move {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static("/test.v1.Kinds/Unary");
        let response = service.oneshot(request).await.expect("infallible");
        assert!(!response.headers().contains_key("grpc-status"), "it was refused");
    }
}

/// Makes the calls, of so many callers at once, and prints how long they took.
async fn measure<F>(name: &str, callers: usize, make: impl Fn() -> F + Clone + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (began, mut tasks) = (Instant::now(), JoinSet::new());
    for _ in 0..callers {
        let make = make.clone();
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(CALLS / callers);
            for _ in 0..CALLS / callers {
                let began = Instant::now();
                make().await;
                times.push(began.elapsed());
            }
            times
        });
    }
    let mut times: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    let per_second = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |hundredths: usize| times[times.len() * hundredths / 100];
    println!("{name}, {callers} callers: p50 {:?}, p99 {:?}, {per_second:.0}/s", at(50), at(99));
}
