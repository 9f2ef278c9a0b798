use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::common::process::{Ran, SERVE, Served, orders, run, unreachable};
use crate::common::soon;

async fn call(served: &Served, arguments: &[&str]) -> Ran {
    run(&[&["call", "--to", &served.url()], arguments].concat()).await
}

async fn create(served: &Served, email: &str) -> Value {
    let arguments =
        ["create-order", "--customer-email", email, "--total-cents", "1999", "--currency", "EUR"];
    call(served, &arguments).await.json().remove(0)
}

#[tokio::test]
async fn every_method_with_one_answer() {
    let served = Served::start(&[]).await;
    let created = create(&served, "ann@example.org").await;
    assert_eq!(created["customerEmail"], "ann@example.org");
    // A 64-bit number is a string in proto3 JSON.
    assert_eq!(created["totalCents"], "1999");
    assert_eq!(created["currency"], "EUR");
    let at = created["createdAt"].as_str().unwrap();
    assert!(at.starts_with("20") && at.ends_with('Z') && at.contains('T'), "{at}");

    let id = created["id"].as_str().unwrap();
    let got = call(&served, &["get-order", "--id", id]).await;
    assert_eq!(got.json().remove(0), created);

    let advanced = call(&served, &["advance-order", "--id", id, "--stage", "shipped"]).await;
    let event = advanced.json().remove(0);
    assert_eq!((&event["id"], &event["eventType"]), (&created["id"], &json!("shipped")));
}

#[tokio::test]
async fn a_list_is_one_document_a_line_and_the_token_leads_on() {
    let served = Served::start(&[]).await;
    for email in ["a@b", "c@d", "e@f"] {
        create(&served, email).await;
    }
    let first = call(&served, &["list-orders", "--page-size", "2"]).await;
    assert_eq!((first.code, first.out.lines().count()), (Some(0), 2));
    let token = first.err.trim_end().strip_prefix("next-page-token: ").unwrap();
    let second = call(&served, &["list-orders", "--page-size", "2", "--page-token", token]).await;
    let [last] = &second.json()[..] else { panic!("{second:?}") };
    assert_eq!(last["customerEmail"], "e@f");
}

#[tokio::test]
async fn a_watch_prints_each_event_as_it_comes() {
    let served = Served::start(&[]).await;
    let created = create(&served, "a@b").await;
    let id = created["id"].as_str().unwrap();
    let mut watch =
        orders(&["call", "--to", &served.url(), "watch-order", "--id", id]).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = soon(lines.next_line()).await.unwrap().unwrap();
    assert!(first.contains(r#""eventType":"created""#), "{first}");
    let advance = ["advance-order", "--id", id, "--stage", "shipped"];
    call(&served, &advance).await.json();
    let second = soon(lines.next_line()).await.unwrap().unwrap();
    assert!(second.contains(r#""eventType":"shipped""#), "{second}");
}

#[tokio::test]
async fn an_error_is_told_with_its_code_and_every_violation() {
    let served = Served::start(&[]).await;
    let ran = call(&served, &["get-order", "--id", "x"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert_eq!(ran.err, "NOT_FOUND: order \"x\" does not exist\n");

    let ran = call(&served, &["create-order", "--total-cents", "-1"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    // Each violation once.
    assert_eq!(
        ran.err,
        "INVALID_ARGUMENT: customer_email must not be empty; total_cents must not be negative; \
         currency must not be empty\n"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let (url, _socket) = unreachable();
    let address = url.strip_prefix("http://").unwrap();
    let ran = run(&["call", "get-order", "--id", "x", "--to", &url]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    let expected = format!("UNAVAILABLE: cannot connect to {address}: Connection refused");
    assert!(ran.err.starts_with(&expected), "{}", ran.err);
    assert!(ran.err.contains("orders serve") && ran.err.lines().count() == 1, "{}", ran.err);
}

#[tokio::test]
async fn a_server_that_is_gone_in_the_middle_of_an_answer_is_unavailable() {
    let served = Served::start(&[]).await;
    let created = create(&served, "a@b").await;
    let id = created["id"].as_str().unwrap();
    let mut watch =
        orders(&["call", "--to", &served.url(), "watch-order", "--id", id]).spawn().unwrap();
    let mut out = BufReader::new(watch.stdout.take().unwrap());
    soon(out.read_line(&mut String::new())).await.unwrap();
    served.signal(Signal::KILL);
    let ran = Ran::from(soon(watch.wait_with_output()).await.unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.starts_with("UNAVAILABLE: "), "{}", ran.err);
}

#[tokio::test]
async fn a_timeout_is_a_deadline_exceeded_before_and_during_an_answer() {
    let served = Served::start(&["--faults"]).await;
    let slow = ["get-order", "--id", "x", "--timeout", "50ms", "-H", "x-fault=delay=1h"];
    let ran = call(&served, &slow).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.starts_with("DEADLINE_EXCEEDED: "), "{}", ran.err);

    let created = create(&served, "a@b").await;
    let id = created["id"].as_str().unwrap();
    let ran = call(&served, &["watch-order", "--id", id, "--timeout", "4s"]).await;
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 1));
    assert!(ran.err.starts_with("DEADLINE_EXCEEDED: "), "{}", ran.err);
}

#[tokio::test]
async fn metadata_are_sent_along() {
    let served = Served::start(&["--faults"]).await;
    let fault = ["-H", "x-fault=status=DATA_LOSS", "get-order", "--id", "x"];
    let ran = call(&served, &fault).await;
    assert!(ran.err.starts_with("DATA_LOSS: "), "{}", ran.err);
    let faults = ["-H", "x-fault=delay=1ms", "--metadata", "x-fault=status=ABORTED"];
    let ran = call(&served, &[&faults[..], &["list-orders"]].concat()).await;
    assert!(ran.err.starts_with("ABORTED: "), "{}", ran.err);
}

#[tokio::test]
async fn a_panic_is_internal_to_the_caller_and_one_event_to_the_operator() {
    let served = Served::start(&["--faults"]).await;
    let created = create(&served, "a@b").await;
    let id = created["id"].as_str().unwrap();
    let ran = call(&served, &["-H", "x-fault=panic", "get-order", "--id", id]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("INTERNAL: ") && !ran.err.contains("x-fault"), "{}", ran.err);

    let ran = call(&served, &["-H", "x-fault=panic-after=1", "watch-order", "--id", id]).await;
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 1));
    assert!(ran.err.starts_with("INTERNAL: ") && !ran.err.contains("x-fault"), "{}", ran.err);

    served.signal(Signal::INT);
    let (_, _, log) = served.ended().await;
    assert_eq!(log.matches("asked to panic").count(), 2, "{log}");
    assert!(log.contains("ERROR") && log.contains("faults.rs"), "{log}");
}

/// Guards against: a line that a container runtime splits, and a backtrace without frames of the service.
#[tokio::test]
async fn a_panic_is_one_short_line_with_the_frames_of_the_service_alone() {
    for (backtrace, has_stack) in [("1", true), ("0", false)] {
        let serve = [&SERVE[..], &["--db", ":memory:", "--log", "json", "--faults"]].concat();
        let mut command = orders(&serve);
        command.env("RUST_BACKTRACE", backtrace);
        let served = Served::spawn(command).await;
        let ran = call(&served, &["-H", "x-fault=panic", "get-order", "--id", "x"]).await;
        assert!(ran.err.starts_with("INTERNAL: "), "{ran:?}");
        served.signal(Signal::INT);
        let (_, _, log) = served.ended().await;
        let told = |line: &&str| line.contains("a panic was recovered");
        let line = log.lines().find(told).expect(&log);
        assert!(line.len() < 16 * 1_024, "{} bytes", line.len());
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["exception.location"].as_str().unwrap().contains("faults.rs"), "{line:#}");
        let stack = line["exception.stacktrace"].as_str().unwrap_or_default();
        assert_eq!(stack.contains("faults.rs"), has_stack, "{line:#}");
        for not_of_it in
            ["/tokio-", "/hyper-", "/tracing-", "/rustc/", "recovery/src/", "call/src/"]
        {
            assert!(!stack.contains(not_of_it), "{not_of_it} in {stack}");
        }
    }
}

#[tokio::test]
async fn database_trouble_is_told_to_the_operator_only() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start_in(folder.path(), &[]).await;
    let file = SqliteConnectOptions::new().filename(folder.path().join("orders.db"));
    let mut other = file.connect().await.unwrap();
    sqlx::query("DROP TABLE events").execute(&mut other).await.unwrap();
    let ran = call(&served, &["watch-order", "--id", "x"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), "INTERNAL: internal error\n"));

    served.signal(Signal::INT);
    let (_, _, log) = served.ended().await;
    let told = |line: &str| line.contains("ERROR") && line.contains("no such table: events");
    assert!(log.lines().any(told), "{log}");
}

/// Guards against: `watch-order | head -1` that waits for a second event.
#[tokio::test]
async fn it_ends_well_when_nobody_reads_it_any_more() {
    let served = Served::start(&[]).await;
    let created = create(&served, "a@b").await;
    let id = created["id"].as_str().unwrap();
    let mut watch =
        orders(&["call", "--to", &served.url(), "watch-order", "--id", id]).spawn().unwrap();
    let mut out = BufReader::new(watch.stdout.take().unwrap());
    soon(out.read_line(&mut String::new())).await.unwrap();
    drop(out);
    let ran = Ran::from(soon(watch.wait_with_output()).await.unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

/// Guards against: a call that reports success for an order that was not created.
#[tokio::test]
async fn an_order_is_made_whoever_reads_the_answer() {
    let served = Served::start(&["--faults"]).await;
    let make = ["create-order", "--customer-email", "a@b", "--currency", "EUR"];
    let call = ["call", "--to", &served.url(), "-H", "x-fault=delay=300ms"];
    let mut create = orders(&[&call[..], &make[..]].concat()).spawn().unwrap();
    drop(create.stdout.take());
    let ran = Ran::from(soon(create.wait_with_output()).await.unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(self::call(&served, &["list-orders"]).await.json().len(), 1);
}

#[tokio::test]
async fn a_full_output_is_an_error() {
    let served = Served::start(&[]).await;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let Ok(full) = full else { return };
    create(&served, "a@b").await;
    let list = orders(&["call", "--to", &served.url(), "list-orders"])
        .stdout(Stdio::from(full))
        .spawn()
        .unwrap();
    let ran = Ran::from(soon(list.wait_with_output()).await.unwrap());
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.starts_with("cannot write to standard output"), "{}", ran.err);
}
