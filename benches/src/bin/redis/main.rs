//! Quotas in Redis: what a decision takes, what a key takes, what an outage does, and what three replicas share.
//!
//! ```sh
//! cargo run --release -p tonic-layers-benches --bin redis                            # starts redis-server; five minutes
//! cargo run --release -p tonic-layers-benches --bin redis -- redis://127.0.0.1:6379  # only decisions, in that Redis
//! ```
#![allow(clippy::print_stdout)]

mod calls;
mod decisions;
mod keys;
mod outages;
#[path = "../../../../ratelimit/tests/redis_server/mod.rs"]
mod redis_server;
mod replicas;

use std::error::Error;

use redis_server::RedisServer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    if let Some(url) = std::env::args().nth(1) {
        return decisions::measure(&url).await;
    }
    let mut server = RedisServer::start(&[]).ok_or("`redis-server` is not in the PATH")?;
    decisions::measure(&server.url()).await?;
    replicas::measure(&server.url()).await?;
    outages::measure(&mut server).await?;
    // Without what the others have left.
    keys::measure(&RedisServer::start(&[]).ok_or("`redis-server` is gone")?).await
}
