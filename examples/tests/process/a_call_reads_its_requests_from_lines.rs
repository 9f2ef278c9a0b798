use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::common::process::{Served, orders, run, run_with};
use crate::common::soon;

#[tokio::test]
async fn an_import_from_standard_input_and_from_a_file() {
    let served = Served::start(&[]).await;
    let lines = r#"{"customerEmail":"ann@example.org","totalCents":"5","currency":"EUR","idempotencyKey":"a"}

{"customer_email":"bob@example.org","total_cents":5,"currency":"EUR"}
{"customerEmail":"bob@example.org"}
"#;
    let call = ["call", "--to", &served.url(), "import-orders"];
    let answer = run_with(&[&call[..], &["-"]].concat(), lines).await.json().remove(0);
    // proto3 JSON omits fields that are 0.
    assert_eq!((&answer["created"], &answer["rejected"]), (&json!("2"), &json!("1")));
    let rejection = &answer["failures"][0];
    assert_eq!(rejection["index"], "2");
    assert_eq!(rejection["rejection"]["reason"], "REASON_INVALID");
    assert_eq!(rejection["rejection"]["violations"][0]["field"], "currency");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.jsonl");
    std::fs::write(&file, lines).unwrap();
    let again = run(&[&call[..], &[file.to_str().unwrap()]].concat()).await.json();
    assert_eq!(again[0]["repeated"], "1");
}

#[tokio::test]
async fn a_line_that_is_no_request_breaks_the_call_off() {
    let served = Served::start(&[]).await;
    let call = ["call", "--to", &served.url(), "import-orders", "-"];
    for bad in ["{", "[]", r#"{"email":"ann@example.org"}"#] {
        let ran = run_with(&call, &format!("{{}}\n{bad}\n{{}}\n")).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        let told = "standard input, line 2: not a CreateOrderRequest: ";
        assert!(ran.err.starts_with(told), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for file in ["missing.jsonl", folder] {
        let ran = run(&["call", "--to", &served.url(), "import-orders", file]).await;
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.starts_with(&format!("cannot read {file}")), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_quote_is_printed_before_the_next_is_asked_for() {
    let served = Served::start(&[]).await;
    let mut quotes = orders(&["call", "--to", &served.url(), "quote-orders", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ask = quotes.stdin.take().unwrap();
    let mut lines = BufReader::new(quotes.stdout.take().unwrap()).lines();
    for (reference, currency, outcome) in [("a", "EUR", "price"), ("b", "€", "rejection")] {
        let request = json!({"reference": reference, "totalCents": "5", "currency": currency});
        ask.write_all(format!("{request}\n").as_bytes()).await.unwrap();
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        let quote: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(quote["reference"], reference);
        assert!(quote.get(outcome).is_some(), "{quote}");
    }
    drop(ask);
    assert_eq!(soon(quotes.wait()).await.unwrap().code(), Some(0));
}

/// Guards against: a process that does not exit because it waits for terminal input.
#[tokio::test]
async fn an_error_does_not_wait_for_more_input() {
    let mut quotes = orders(&["call", "--to", "127.0.0.1:1", "quote-orders", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let _open = quotes.stdin.take();
    assert_eq!(soon(quotes.wait()).await.unwrap().code(), Some(1));

    let served = Served::start(&["--faults"]).await;
    let call = ["call", "--to", &served.url(), "-H", "x-fault=status=ABORTED"];
    let mut quotes = orders(&[&call[..], &["quote-orders", "-"]].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let _open = quotes.stdin.take();
    assert_eq!(soon(quotes.wait()).await.unwrap().code(), Some(1));
}
