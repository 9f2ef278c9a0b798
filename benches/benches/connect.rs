//! What a Connect call costs beside a direct gRPC call: in process, where nothing is sent, and over loopback.
//!
//! The speed of a machine drifts while a bench runs. Therefore each round of a subject follows a round of the direct
//! gRPC call, and the results are the difference and the ratio between the two.
//!
//! Arguments are parts of the titles and lines that are measured; all others are left out.
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tonic_layers_benches::connect::{
    Call, Client, Format, Kind, Reflected, Subject, Through, Version, serve,
};
use tonic_layers_benches::quantile;

/// The time that one line takes.
const TIME: Duration = Duration::from_millis(1_500);
/// The number of calls over loopback at once.
const AT_ONCE: usize = 64;
/// The number of calls in a round over loopback.
const CALLS: usize = 1_280;
const ROUNDS: usize = 31;

const LINES: [(Through, Format); 6] = [
    (Through::Direct, Format::Grpc),
    (Through::Layer, Format::Grpc),
    (Through::Layer, Format::Proto),
    (Through::Layer, Format::Json),
    (Through::Connectrpc, Format::Proto),
    (Through::Connectrpc, Format::Json),
];

fn main() {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |line: &str| wanted.is_empty() || wanted.iter().any(|part| line.contains(part));
    for kind in Kind::ALL {
        in_process(kind, &is_wanted);
    }
    json("shop.v1.Small", Kind::Small, &is_wanted);
    json("shop.v1.Order", Kind::Order, &is_wanted);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    for kind in [Kind::Small, Kind::Order, Kind::Stream] {
        runtime.block_on(end_to_end(kind, &is_wanted));
    }
}

fn in_process(kind: Kind, is_wanted: &impl Fn(&str) -> bool) {
    let mut direct = Subject::new(Through::Direct);
    let mut title = Some(format!("in process: {}", kind.name()));
    for (through, format) in LINES {
        let Some(call) = Call::of(kind, format) else { continue };
        let name = format!("{}, {}", through.name(), format.name());
        if !is_wanted(&format!("in process: {}: {name}", kind.name())) {
            continue;
        }
        if let Some(title) = title.take() {
            println!(
                "\n{title:<48}{:>12}{:>12}{:>8}{:>12}",
                "direct, ns", "added, ns", "ratio", "answer, B"
            );
        }
        let mut subject = Subject::new(through);
        let grpc = call.in_grpc();
        let len = subject.run(&call, 10);
        direct.run(&grpc, 10);
        let times = if kind.is_stream() { 8 } else { 64 };
        let mut took = Vec::new();
        let start = Instant::now();
        while start.elapsed() < TIME {
            let beside = direct.time(&grpc, times).as_nanos() as f64 / times as f64;
            let measured = subject.time(&call, times).as_nanos() as f64 / times as f64;
            took.push((beside, measured));
        }
        let median = |of: fn(&(f64, f64)) -> f64| quantile(took.iter().map(of).collect(), 0.5);
        println!(
            "{name:<48}{:>12.0}{:>12.0}{:>8.2}{len:>12}",
            median(|(direct, _)| *direct),
            median(|(direct, took)| took - direct),
            median(|(direct, took)| took / direct),
        );
    }
}

/// The time of both directions of JSON by itself: `prost-reflect`'s, and the difference that JSON makes for a call.
fn json(message: &str, kind: Kind, is_wanted: &impl Fn(&str) -> bool) {
    let title = format!("json: {message}, both directions");
    if !is_wanted(&title) {
        return;
    }
    println!("\n{title:<48}{:>12}", "ns");
    let reflected = Reflected::new(message);
    let (protobuf, text) = Call::messages(kind);
    let there = |times| {
        for _ in 0..times {
            black_box(reflected.to_protobuf(black_box(&text)));
            black_box(reflected.to_json(black_box(&protobuf)));
        }
    };
    println!("{:<48}{:>12.0}", "prost-reflect", time_of(there));
    for through in [Through::Layer, Through::Connectrpc] {
        let mut subject = Subject::new(through);
        let calls = [Format::Proto, Format::Json].map(|format| Call::of(kind, format));
        let [Some(proto), Some(json)] = calls else { continue };
        let mut added = Vec::new();
        let start = Instant::now();
        while start.elapsed() < TIME {
            let [proto, json] =
                [&proto, &json].map(|call| subject.time(call, 64).as_nanos() as f64 / 64.0);
            added.push(json - proto);
        }
        let name = format!("{}, JSON instead of protobuf", through.name());
        println!("{name:<48}{:>12.0}", quantile(added, 0.5));
    }
}

fn time_of(run: impl Fn(u64)) -> f64 {
    let mut took = Vec::new();
    let start = Instant::now();
    while start.elapsed() < TIME {
        let round = Instant::now();
        run(64);
        took.push(round.elapsed().as_nanos() as f64 / 64.0);
    }
    quantile(took, 0.5)
}

async fn end_to_end(kind: Kind, is_wanted: &impl Fn(&str) -> bool) {
    let lines = LINES.into_iter().flat_map(|(through, format)| {
        let versions: &[Version] = match format {
            Format::Grpc => &[Version::Http2],
            _ => &[Version::Http2, Version::Http1],
        };
        versions.iter().map(move |version| (through, format, *version))
    });
    let grpc = Call::of(kind, Format::Grpc).expect("gRPC has it");
    let mut title = Some(format!("{} at once: {}", AT_ONCE, kind.name()));
    let mut direct = Vec::new();
    for (through, format, version) in lines {
        let name = format!("{}, {}, {}", through.name(), format.name(), version.name());
        let Some(call) = Call::of(kind, format) else { continue };
        if !is_wanted(&format!("{} at once: {}: {name}", AT_ONCE, kind.name())) {
            continue;
        }
        if let Some(title) = title.take() {
            direct = Client::connect(&serve(Through::Direct), Version::Http2, AT_ONCE).await;
            println!("\n{title:<56}{:>16}{:>20}", "calls a second", "of direct gRPC");
        }
        let calls = if kind.is_stream() { CALLS / 10 } else { CALLS };
        let mut clients = Client::connect(&serve(through), version, AT_ONCE).await;
        clients = round(clients, &call, calls).await.0;
        let (mut rates, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (beside, took);
            (direct, beside) = round(direct, &grpc, calls).await;
            (clients, took) = round(clients, &call, calls).await;
            rates.push(calls as f64 / took.as_secs_f64());
            ratios.push(beside.as_secs_f64() / took.as_secs_f64() * 100.0);
        }
        println!("{name:<56}{:>16.0}{:>18.1} %", quantile(rates, 0.5), quantile(ratios, 0.5));
    }
}

async fn round(clients: Vec<Client>, call: &Call, calls: usize) -> (Vec<Client>, Duration) {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for mut client in clients {
        let call = call.clone();
        callers.spawn(async move {
            for _ in 0..calls / AT_ONCE {
                client.call(&call).await;
            }
            client
        });
    }
    (callers.join_all().await, start.elapsed())
}
