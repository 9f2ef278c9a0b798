//! Three replicas that share a quota.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic_ratelimit_layer::{Quota, RateLimitLayer, RedisStore};

use super::calls::call;

const TIME: Duration = Duration::from_secs(10);

pub(crate) async fn measure(url: &str) -> Result<(), Box<dyn Error>> {
    println!(
        "\n| three replicas, 200 per second and a burst of 400 | asked | passed | of the quota |"
    );
    println!("|---|---|---|---|");
    for remembers in [false, true] {
        let (began, mut tasks) = (Instant::now(), JoinSet::new());
        for _ in 0..3 {
            let store = RedisStore::connect(url)?.budget(Duration::from_secs(10));
            let store = store.prefix(format!("replicas-{remembers}"));
            let store = if remembers { store.remember_refusals() } else { store };
            let layer = RateLimitLayer::server(Quota::per_second(200).burst(400));
            let layer = layer.shared(store).build()?;
            tasks.spawn(async move {
                let (mut asked, mut passed) = (0, 0);
                while began.elapsed() < TIME {
                    asked += 1;
                    passed += usize::from(call(&layer, 0).await);
                    // A refusal that is remembered waits for nothing.
                    tokio::task::yield_now().await;
                }
                (asked, passed)
            });
        }
        let counts = tasks.join_all().await;
        let (asked, passed) = counts.iter().fold((0, 0), |(a, p), (b, q)| (a + b, p + q));
        let quota = 400.0 + 200.0 * began.elapsed().as_secs_f64();
        let name = if remembers { "refusals are remembered" } else { "Redis is always asked" };
        println!("| {name} | {asked} | {passed} | {:.2} % |", 100.0 * passed as f64 / quota);
    }
    Ok(())
}
