//! Allocations of a Connect call beside those of a direct gRPC call, in process.
#![allow(clippy::print_stdout)]

use tonic_layers_benches::connect::{Call, Format, Kind, Reflected, Subject, Through};

/// The number of calls that are averaged.
const CALLS: u64 = 1_000;

const LINES: [(Through, Format); 6] = [
    (Through::Direct, Format::Grpc),
    (Through::Layer, Format::Grpc),
    (Through::Layer, Format::Proto),
    (Through::Layer, Format::Json),
    (Through::Connectrpc, Format::Proto),
    (Through::Connectrpc, Format::Json),
];

fn main() {
    for kind in Kind::ALL {
        println!(
            "\n{:<48}{:>14}{:>10}{:>14}{:>10}",
            kind.name(),
            "allocations",
            "added",
            "bytes",
            "added"
        );
        let mut direct = Subject::new(Through::Direct);
        for (through, format) in LINES {
            let Some(call) = Call::of(kind, format) else { continue };
            let [bare_count, bare_bytes] = per_call(&mut direct, &call.in_grpc());
            let [count, bytes] = per_call(&mut Subject::new(through), &call);
            println!(
                "{:<48}{count:>14.1}{:>10.1}{bytes:>14.0}{:>10.0}",
                format!("{}, {}", through.name(), format.name()),
                count - bare_count,
                bytes - bare_bytes,
            );
        }
    }
    println!(
        "\n{:<48}{:>14}{:>10}{:>14}",
        "prost-reflect, both directions", "allocations", "", "bytes"
    );
    for (kind, message) in [(Kind::Small, "shop.v1.Small"), (Kind::Order, "shop.v1.Order")] {
        let reflected = Reflected::new(message);
        let (protobuf, json) = Call::messages(kind);
        let info = allocation_counter::measure(|| {
            reflected.to_protobuf(&json);
            reflected.to_json(&protobuf);
        });
        println!("{message:<48}{:>14}{:>10}{:>14}", info.count_total, "", info.bytes_total);
    }
}

/// The allocations per call, and their bytes.
fn per_call(subject: &mut Subject, call: &Call) -> [f64; 2] {
    subject.run(call, 10);
    let info = allocation_counter::measure(|| {
        subject.run(call, CALLS);
    });
    [info.count_total, info.bytes_total].map(|total| total as f64 / CALLS as f64)
}
