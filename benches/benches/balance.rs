//! Calls that are spread over 1, 8 and 100 addresses: calls per second, and the processor time of the client.
#![allow(clippy::print_stdout)]

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::Endpoint;
use tonic_layers_benches::{Channels, Core, bare_servers, quantile};

const ADDRESSES: [usize; 3] = [1, 8, 100];
/// The number of concurrent calls.
const AT_ONCE: usize = 64;
/// The number of calls per round.
const CALLS: usize = 1_280;
const ROUNDS: usize = 101;

/// The C library's allocator gives memory back when many calls have ended at once, and takes it again: this costs more
/// than any balancer, and whether it happens depends on what else is in memory.
const ALLOCATOR: [&str; 2] =
    ["GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1073741824:glibc.malloc.top_pad=67108864"];

fn main() {
    let [name, setting] = ALLOCATOR;
    if std::env::var_os(name).is_none() {
        let program = std::env::current_exe().expect("this program");
        let run =
            Command::new(program).args(std::env::args_os().skip(1)).env(name, setting).status();
        assert!(run.expect("it runs").success());
        return;
    }
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    for addresses in ADDRESSES {
        // Server and client share one thread, as in the bench `end_to_end`.
        let servers = {
            let _inside = runtime.enter();
            bare_servers(addresses)
        };
        throughput(&runtime, &servers);
    }
    let core = Core::start();
    for addresses in ADDRESSES {
        // The servers have another thread, so that this one has only the work of the client.
        let servers = {
            let _inside = core.runtime().enter();
            bare_servers(addresses)
        };
        cost(&runtime, &servers);
    }
}

fn throughput(runtime: &Runtime, servers: &[Endpoint]) {
    let title = format!("addresses: {}, {AT_ONCE} calls at once", servers.len());
    println!(
        "\n{title:<36}{:>16}{:>12}{:>20}{:>16}",
        "calls a second", "of bare", "of balance_list", "of in turn"
    );
    let all = runtime.block_on(Channels::all(servers));
    let start = Instant::now();
    let rates = rounds(runtime, &all, AT_ONCE, || start.elapsed());
    for (at, channels) in all.iter().enumerate() {
        println!(
            "{:<36}{:>16.0}{:>10.1} %{:>18.1} %{:>14.1} %",
            channels.name,
            median(&rates, |round| 1e6 / round[at]),
            median(&rates, |round| round[0] / round[at] * 100.0),
            median(&rates, |round| round[Channels::BALANCE_LIST] / round[at] * 100.0),
            median(&rates, |round| round[Channels::IN_TURN] / round[at] * 100.0),
        );
    }
}

fn cost(runtime: &Runtime, servers: &[Endpoint]) {
    let title = format!("addresses: {}, the client's µs", servers.len());
    let columns = format!("{:>14}{:>12}", "more than bare", "than list");
    println!("\n{title:<36}{:>12}{columns}{:>12}{columns}", "1 at once", "64 at once");
    let all = runtime.block_on(Channels::all(servers));
    let busy = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(time).expect("it is not negative")
    };
    let alone = rounds(runtime, &all, 1, busy);
    let together = rounds(runtime, &all, AT_ONCE, busy);
    for (at, channels) in all.iter().enumerate() {
        print!("{:<36}", channels.name);
        for took in [&alone, &together] {
            print!(
                "{:>12.2}{:>14.2}{:>12.2}",
                median(took, |round| round[at]),
                median(took, |round| round[at] - round[0]),
                median(took, |round| round[at] - round[Channels::BALANCE_LIST]),
            );
        }
        println!();
    }
}

/// Alternates the clients. Returns how many microseconds of this clock one call of each took, in each round.
fn rounds(
    runtime: &Runtime,
    all: &[Channels],
    at_once: usize,
    clock: impl Fn() -> Duration,
) -> Vec<Vec<f64>> {
    for channels in all {
        // `balance_list` connects when it is called.
        (0..4).for_each(|_| runtime.block_on(channels.call(CALLS, AT_ONCE)));
    }
    let calls = if at_once == 1 { CALLS / 8 } else { CALLS };
    let round = |channels: &Channels| {
        let start = clock();
        runtime.block_on(channels.call(calls, at_once));
        (clock() - start).as_secs_f64() * 1e6 / calls as f64
    };
    (0..ROUNDS).map(|_| all.iter().map(round).collect()).collect()
}

fn median(rounds: &[Vec<f64>], of: impl Fn(&Vec<f64>) -> f64) -> f64 {
    quantile(rounds.iter().map(of).collect(), 0.5)
}
