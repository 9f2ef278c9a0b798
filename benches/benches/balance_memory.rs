//! Calls that are spread over 1, 8 and 100 addresses: allocations per call on the client's thread, and the memory
//! of connections without calls.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tonic::transport::Endpoint;
use tonic_layers_benches::{Channels, Core, bare_servers};

const ADDRESSES: [usize; 3] = [1, 8, 100];
/// The number of calls that are averaged.
const CALLS: usize = 1_000;

fn main() {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    // Only what this thread allocates is counted, and servers have another one.
    let core = Core::start();
    for addresses in ADDRESSES {
        let servers = {
            let _inside = core.runtime().enter();
            bare_servers(addresses)
        };
        calls(&runtime, &servers);
        connections(&runtime, &servers);
    }
}

fn calls(runtime: &Runtime, servers: &[Endpoint]) {
    let title = format!("addresses: {}, one call", servers.len());
    println!("\n{title:<36}{:>14}{:>10}{:>14}{:>10}", "allocations", "added", "bytes", "added");
    let mut bare = None;
    for channels in runtime.block_on(Channels::all(servers)) {
        (0..4).for_each(|_| runtime.block_on(channels.call(CALLS, 1)));
        let info = allocation_counter::measure(|| runtime.block_on(channels.call(CALLS, 1)));
        let [count, bytes] =
            [info.count_total, info.bytes_total].map(|all| all as f64 / CALLS as f64);
        let (bare_count, bare_bytes) = *bare.get_or_insert((count, bytes));
        println!(
            "{:<36}{count:>14.1}{:>10.1}{bytes:>14.0}{:>10.0}",
            channels.name,
            count - bare_count,
            bytes - bare_bytes,
        );
    }
}

fn connections(runtime: &Runtime, servers: &[Endpoint]) {
    let title = format!("addresses: {}, bytes of each", servers.len());
    println!("\n{title:<36}{:>14}{:>22}", "connected", "after a call to each");
    for name in Channels::NAMES.into_iter().skip(1) {
        // Those before are closed by then.
        runtime.block_on(settle());
        let mut channels = None;
        let connected = allocation_counter::measure(|| {
            channels = Some(runtime.block_on(async {
                let channels = Channels::of(name, servers).await;
                settle().await;
                channels
            }));
        });
        let Some(channels) = channels else { continue };
        let called = allocation_counter::measure(|| {
            runtime.block_on(async {
                channels.call(10 * servers.len(), 1).await;
                settle().await;
            });
        });
        let each = |bytes: i64| bytes as f64 / servers.len() as f64;
        println!(
            "{name:<36}{:>14.0}{:>22.0}",
            each(connected.bytes_current),
            each(connected.bytes_current + called.bytes_current),
        );
    }
}

/// Lets connections exchange their first frames.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}
