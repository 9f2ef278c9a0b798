//! The report of a panic is bounded, and its stack has only the frames of the program.
//!
//! The panic hook and the environment that it reads belong to the process, so each case runs in its own process.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::io::{self, Write};
use std::process::Command;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use serde_json::Value;
use tonic_call::{CallInfo, MAX_TEXT_BYTES, Side};
use tonic_call_test_kit::Script;
use tonic_recovery_layer::{RecoveryLayer, capture_panics_quietly};
use tower::{Layer as _, Service as _, service_fn};

/// The length at which container runtimes split a line.
const LINE_AT_MOST: usize = 16 * 1_024;

/// The prefix of the line in which the child process writes its result.
const SEEN: &str = "seen: ";

/// Panics at this depth of recursion, with a long text, which is even longer in JSON.
#[inline(never)]
fn dig_deeper(depth: usize) -> usize {
    if depth == 0 {
        panic!("{}", "\"\\\n\u{1b}[31m".repeat(20_000));
    }
    std::hint::black_box(dig_deeper(depth - 1)) + 1
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the log line of a panic, and its report in the call's info and to the handler.
#[tokio::test]
#[ignore = "run by the other tests, each time in a process with another environment"]
async fn child() {
    let depth = std::env::var("DEPTH").unwrap().parse().unwrap();
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    capture_panics_quietly();
    let told = Arc::new(Mutex::new(None));
    let handler = Arc::clone(&told);
    let layer = RecoveryLayer::server().with_handler(move |panic| {
        let whole = panic.payload().downcast_ref::<String>().map(String::len);
        let told = serde_json::json!({
            "whole": whole, "message": panic.message(), "backtrace": panic.backtrace().is_some(),
            "stack": panic.stack(), "location": panic.location(),
        });
        *handler.lock().unwrap() = Some(told);
        tonic::Status::internal("")
    });
    let mut service = layer.layer(service_fn(async |_: Request<tonic::body::Body>| {
        tokio::task::yield_now().await;
        std::hint::black_box(dig_deeper(depth));
        Ok::<Response<Script>, Infallible>(Script::new().respond())
    }));
    let path = format!("/a.B/{}", "é".repeat(10_000));
    let mut request = Request::builder().uri(path).body(Script::new()).unwrap();
    let info = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
    service.call(request).await.unwrap();
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let stack = info.panic_stack().map(|stack| stack.to_string());
    let panic = info.panic().map(|text| text.to_string());
    let told = told.lock().unwrap().take();
    let seen =
        serde_json::json!({ "log": log, "info": { "panic": panic, "stack": stack }, "told": told });
    // On its own line, separate from the test runner's output.
    writeln!(io::stdout(), "\n{SEEN}{seen}").unwrap();
}

fn seen(depth: usize, environment: &[(&str, &str)]) -> Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--ignored", "--nocapture"]);
    command.env_remove("RUST_BACKTRACE").env_remove("RUST_LIB_BACKTRACE");
    command.env("DEPTH", depth.to_string()).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let line = out.lines().find_map(|line| line.strip_prefix(SEEN)).expect(&out);
    serde_json::from_str(line).unwrap()
}

/// The fields of the only line in the log.
fn fields(seen: &Value) -> Value {
    let log = seen["log"].as_str().unwrap();
    assert!(log.len() < LINE_AT_MOST, "{} bytes", log.len());
    assert_eq!(log.lines().count(), 1);
    let line: Value = serde_json::from_str(log).unwrap();
    assert_eq!(line["level"], "ERROR");
    line["fields"].clone()
}

#[test]
fn a_line_is_bounded_for_any_length_of_text_and_depth_of_stack() {
    for (depth, environment) in [(3, &[][..]), (3_000, &[]), (3_000, &[("RUST_BACKTRACE", "full")])]
    {
        let seen = seen(depth, environment);
        let fields = fields(&seen);
        let message = fields["exception.message"].as_str().unwrap();
        assert!(
            message.len() <= MAX_TEXT_BYTES && message.starts_with(r#""\\n\u{1b}[31m"#),
            "{message}"
        );
        assert!(fields["rpc.method"].as_str().unwrap().starts_with("a.B/é"));
        let stack = fields["exception.stacktrace"].as_str().unwrap();
        assert!(stack.contains("dig_deeper"), "{stack}");
        assert_eq!(stack.ends_with('…'), depth > 3, "{stack}");
        assert_eq!(seen["info"]["panic"], message);
        let of_info = seen["info"]["stack"].as_str().unwrap();
        let location = fields["exception.location"].as_str().unwrap();
        assert_eq!(of_info, format!("at {location}\n{stack}"));
        assert_eq!(
            (&seen["told"]["message"], &seen["told"]["stack"]),
            (&fields["exception.message"], &fields["exception.stacktrace"])
        );
        assert_eq!(seen["told"]["whole"], 20_000 * 8, "the payload has the whole text");
    }
}

#[test]
fn a_stack_has_only_the_frames_of_the_program() {
    let fields = fields(&seen(2, &[("RUST_BACKTRACE", "1")]));
    let stack = fields["exception.stacktrace"].as_str().unwrap();
    let (places, frames): (Vec<_>, Vec<_>) =
        stack.lines().partition(|line| line.trim_start().starts_with("at "));
    let of_digging = frames.iter().filter(|frame| frame.contains("bounded::dig_deeper"));
    assert_eq!(of_digging.count(), 3, "{stack}");
    assert!(places.iter().all(|place| place.contains("tests/bounded.rs:")), "{stack}");
    for not_of_it in
        ["tokio", "tonic", "tower", "std::", "core::", "test::", "panicking", "capture"]
    {
        assert!(!stack.contains(not_of_it), "{not_of_it} in {stack}");
    }
}

#[test]
fn rust_backtrace_selects_what_is_captured_as_in_the_standard_library() {
    for (environment, is_there, has_all) in [
        (&[][..], true, false),
        (&[("RUST_BACKTRACE", "0")], false, false),
        (&[("RUST_BACKTRACE", "1")], true, false),
        (&[("RUST_BACKTRACE", "")], true, false),
        (&[("RUST_BACKTRACE", "full")], true, true),
        (&[("RUST_LIB_BACKTRACE", "0"), ("RUST_BACKTRACE", "1")], false, false),
        (&[("RUST_LIB_BACKTRACE", "1"), ("RUST_BACKTRACE", "0")], true, false),
    ] {
        let seen = seen(0, environment);
        let fields = fields(&seen);
        let stack = fields["exception.stacktrace"].as_str().unwrap_or_default();
        assert_eq!(seen["told"]["backtrace"], is_there, "{environment:?}");
        assert_eq!(stack.contains("bounded::dig_deeper"), is_there, "{environment:?}: {stack}");
        assert_eq!(stack.contains("panicking"), has_all, "{environment:?}: {stack}");
        // The location does not depend on backtraces.
        let location = fields["exception.location"].as_str().unwrap();
        assert!(location.starts_with("recovery/tests/bounded.rs:"), "{location}");
    }
}
