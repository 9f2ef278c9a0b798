//! The memory that an idle open stream costs the server.

use orders::v1::WatchOrderRequest;

use crate::common::client::with_token;
use crate::common::issuer::{ISSUER, Issuer};
use crate::common::process::{Served, orders};
use crate::common::{order, soon};

const STREAMS: u64 = 4_000;
const ON_EACH_CONNECTION: u64 = 1_000;

/// Resident memory of the process, in KiB.
fn resident(served: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Measures the figure in the docs of ratelimit and logging.
#[tokio::test]
#[allow(clippy::print_stdout)]
async fn a_watcher_costs_some_kilobytes_with_all_layers_on() {
    let (folder, issuer) = (tempfile::tempdir().unwrap(), Issuer::new());
    let file = folder.path().join("keys.json");
    std::fs::write(&file, issuer.keys()).unwrap();
    let serve =
        ["serve", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--db", ":memory:"];
    let trust = ["--issuer", ISSUER, "--audience", "orders", "--jwks", file.to_str().unwrap()];
    let limits = ["--limit", "*=100000/100000:principal", "--in-flight", "10000/10000"];
    // There is no collector, and each call has a span.
    let spans = ["--otlp", "http://127.0.0.1:9"];
    let served = Served::spawn(orders(&[&serve[..], &trust, &limits, &spans].concat())).await;
    let token = issuer.token("orders", "orders.read orders.write");

    let mut first = with_token(&served, &token).await;
    let created = first.create_order(order("ann@example.org", 1)).await.unwrap();
    let id = created.into_inner().id;
    let mut held = Vec::new();
    let mut before = 0;
    for number in 0..STREAMS + ON_EACH_CONNECTION {
        if number % ON_EACH_CONNECTION == 0 {
            held.push((with_token(&served, &token).await, Vec::new()));
        }
        if number == ON_EACH_CONNECTION {
            // The first streams include memory that the process itself needs.
            before = resident(&served);
        }
        let (client, streams) = held.last_mut().expect("one at least");
        let watch = client.watch_order(WatchOrderRequest { id: id.clone() });
        let mut events = soon(watch).await.unwrap().into_inner();
        soon(events.message()).await.unwrap().unwrap();
        streams.push(events);
    }
    let each = (resident(&served) - before) * 1_024 / STREAMS;
    println!("{each} bytes for each open stream");
    assert!(each < 20 * 1_024, "{each} bytes for each open stream");
}
