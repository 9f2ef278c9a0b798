//! Instructions of a Connect call beside those of a direct gRPC call, in process, as valgrind counts them. Unlike times,
//! they do not depend on what else the machine does.
//!
//! Arguments are parts of the titles and lines that are counted; all others are left out.
#![allow(clippy::print_stdout)]

use std::process::{Command, Stdio};

use tonic_layers_benches::connect::{Call, Format, Kind, Subject, Through};

const LINES: [(Through, Format); 6] = [
    (Through::Direct, Format::Grpc),
    (Through::Layer, Format::Grpc),
    (Through::Layer, Format::Proto),
    (Through::Layer, Format::Json),
    (Through::Connectrpc, Format::Proto),
    (Through::Connectrpc, Format::Json),
];

/// With this argument, and the number of a kind, of a line and of calls, the program makes these calls.
const CALLS: &str = "--calls";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, numbers @ ..] = &arguments[..]
        && first == CALLS
    {
        let numbers: Vec<usize> =
            numbers.iter().map(|number| number.parse().expect("a number")).collect();
        return make_calls(numbers[0], numbers[1], numbers[2] as u64);
    }
    let wanted: Vec<&String> =
        arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    for (kind_at, kind) in Kind::ALL.into_iter().enumerate() {
        let mut beside = None;
        for (line_at, (through, format)) in LINES.into_iter().enumerate() {
            let Some(call) = Call::of(kind, format) else { continue };
            let name = format!("{}, {}", through.name(), format.name());
            let title = format!("{}: {name}", kind.name());
            if !wanted.is_empty() && !wanted.iter().any(|part| title.contains(*part)) {
                continue;
            }
            let direct = *beside.get_or_insert_with(|| {
                let kind = Kind::ALL.into_iter().position(|kind| kind == call.in_grpc().kind);
                println!("\n{:<48}{:>14}{:>14}", kind_name(kind_at), "instructions", "added");
                per_call(kind.unwrap_or_default(), 0)
            });
            let count = per_call(kind_at, line_at);
            println!("{name:<48}{count:>14}{:>14}", count - direct);
        }
    }
}

fn kind_name(at: usize) -> &'static str {
    Kind::ALL[at].name()
}

fn make_calls(kind: usize, line: usize, calls: u64) {
    let (through, format) = LINES[line];
    let call = Call::of(Kind::ALL[kind], format).expect("there is such a call");
    Subject::new(through).run(&call, calls);
}

/// The difference between two runs, so that the start of the program does not count.
fn per_call(kind: usize, line: usize) -> i64 {
    let [few, many] = [20, 60].map(|calls| counted(kind, line, calls));
    (many - few) / 40
}

fn counted(kind: usize, line: usize, calls: u64) -> i64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("the program has a path"))
        .args([CALLS, &kind.to_string(), &line.to_string(), &calls.to_string()])
        .stdout(Stdio::null())
        .output()
        .expect("valgrind is installed");
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected :"));
    count.and_then(|(_, count)| count.trim().parse().ok()).expect("valgrind counts instructions")
}
