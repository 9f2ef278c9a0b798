//! `orders call --repeat`.

use std::collections::HashSet;

use rustix::process::Signal;

use crate::common::process::{Calling, Served, run};

#[tokio::test]
async fn each_call_is_printed_and_the_last_line_counts_them_by_code() {
    let served = Served::start(&[]).await;
    let call = ["call", "--to", &served.url(), "--repeat", "3"];
    let create =
        ["create-order", "--customer-email", "a@b", "--total-cents", "1", "--currency", "EUR"];
    let ran = run(&[&call[..], &create].concat()).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), "3 calls: 3 OK\n"), "{ran:?}");
    // Each call has a key of its own, and makes an order.
    assert_eq!(ran.out.lines().collect::<HashSet<_>>().len(), 3, "{ran:?}");

    let ran = run(&[&call[..], &["get-order", "--id", "x"]].concat()).await;
    let error = "NOT_FOUND: order \"x\" does not exist\n".repeat(3);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert_eq!(ran.err, format!("{error}3 calls: 3 NOT_FOUND\n"));
}

#[tokio::test]
async fn requests_from_standard_input_can_be_sent_once() {
    for times in ["0", "2"] {
        let ran = run(&["call", "--repeat", times, "import-orders", "-"]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains("--repeat"), "{}", ran.err);
    }
}

/// Guards against: a hundred equal errors for one file that does not exist.
#[tokio::test]
async fn an_error_that_is_not_of_the_call_ends_the_repetition() {
    let ran = run(&["call", "--repeat", "100", "import-orders", "missing.jsonl"]).await;
    assert_eq!((ran.code, ran.err.lines().count()), (Some(1), 1), "{ran:?}");
    assert!(ran.err.starts_with("cannot read missing.jsonl"), "{}", ran.err);
}

#[tokio::test]
async fn ctrl_c_ends_the_calls_and_those_before_are_counted() {
    let served = Served::start(&["--limit", "off"]).await;
    let create =
        ["create-order", "--customer-email", "a@b", "--total-cents", "1", "--currency", "EUR"];
    let to = ["--to", &served.url(), "--repeat", "1000000000"];
    let mut calling = Calling::start(&[&to[..], &create].concat());
    calling.answered(3).await;
    calling.signal(Signal::INT);
    let ran = calling.ended().await;
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let answers = ran.out.lines().count();
    assert_eq!(ran.err, format!("{answers} calls: {answers} OK\n"));
}
