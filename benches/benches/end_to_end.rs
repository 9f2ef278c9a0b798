//! Calls per second of a server behind each layer, over loopback, compared with the bare server in the same
//! rounds. Server and client share one thread: on several threads, the placement of a connection's tasks by the
//! runtime has more effect than any layer.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::transport::Channel;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_layers_benches::{Listener, Server, servers};

/// The number of concurrent calls.
const AT_ONCE: usize = 64;
/// The number of calls per round.
const CALLS: usize = 1_280;
const ROUNDS: usize = 101;

async fn round(kinds: &KindsClient<Channel>, timeout: Option<Duration>) -> Duration {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let mut kinds = kinds.clone();
        callers.spawn(async move {
            for _ in 0..CALLS / AT_ONCE {
                let mut request = Request::new(Ask::default());
                timeout.into_iter().for_each(|timeout| request.set_timeout(timeout));
                kinds.unary(request).await.expect("it answers");
            }
        });
    }
    callers.join_all().await;
    start.elapsed()
}

async fn connect(server: &Server) -> KindsClient<Channel> {
    KindsClient::new(server.endpoint.connect().await.expect("it listens"))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    Listener::each(|listener| {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(table(listener));
    });
}

async fn table(listener: Listener) {
    let title = format!("unary, {AT_ONCE} at once, {}", listener.name());
    println!("\n{title:<36}{:>16}{:>20}", "calls a second", "of bare throughput");
    let servers = servers(listener);
    let bare = connect(&servers[0]).await;
    for server in &servers {
        let kinds = connect(server).await;
        round(&kinds, server.timeout).await;
        let mut rates = Vec::new();
        let mut ratios = Vec::new();
        for _ in 0..ROUNDS {
            let beside = round(&bare, server.timeout).await;
            let took = round(&kinds, server.timeout).await;
            rates.push(CALLS as f64 / took.as_secs_f64());
            ratios.push(beside.as_secs_f64() / took.as_secs_f64() * 100.0);
        }
        println!("{:<36}{:>16.0}{:>18.1} %", server.name, median(rates), median(ratios));
    }
}
