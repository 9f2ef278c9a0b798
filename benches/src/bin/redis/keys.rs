//! What a key takes in Redis.

use std::error::Error;
use std::time::{Duration, Instant};

use tonic_ratelimit_layer::{Key, Quota, RateLimitLayer, RedisStore};

use super::calls::{self, CALLER, call};
use super::redis_server::RedisServer;

const KEYS: usize = 1_000_000;

/// One key for each call of one of these callers.
const CALLERS: usize = 100;

/// How long a key lasts after a call: longer than it takes to make all of them.
const LASTS: Duration = Duration::from_secs(180);

pub(crate) async fn measure(server: &RedisServer) -> Result<(), Box<dyn Error>> {
    let store = RedisStore::connect(&server.url())?.prefix("orders").budget(LASTS);
    let quota = Quota::every(LASTS).burst(10).by(Key::metadata(CALLER));
    let layer = RateLimitLayer::server(quota).shared(store.clone()).build()?;
    _ = store.ready();
    store.ready_changed(false).await?;
    let (before, began) = (memory(server)?, Instant::now());
    let next = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    calls::run(CALLERS, KEYS, move |_| {
        let caller = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let call = call(&layer, caller);
        async move { assert!(call.await, "it was refused") }
    })
    .await;
    let (filled, keys, after) = (began.elapsed(), server.keys(), memory(server)?);
    // The key of the probe may still be there, too.
    assert!(keys >= KEYS as i64, "keys have expired before the last one was made");
    let each = (after - before) as f64 / KEYS as f64;
    println!("\n{keys} keys in {filled:.0?}: {each:.1} bytes each, with the prefix `orders`");
    while server.keys() > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left = memory(server)?.saturating_sub(before);
    let late = began.elapsed().saturating_sub(filled + LASTS);
    println!("no key {late:.1?} after the last one had expired, and {left} bytes more than before");
    Ok(())
}

/// The memory that Redis uses for data, in bytes.
fn memory(server: &RedisServer) -> Result<u64, Box<dyn Error>> {
    let redis::Value::BulkString(info) = server.run(&["INFO", "memory"]) else {
        return Err("`INFO memory` has no text".into());
    };
    let info = String::from_utf8(info)?;
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(used.ok_or("`INFO memory` has no `used_memory`")?.parse()?)
}
