//! `--log json`: a log collector reads standard error, and loses lines that are not JSON.

use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::common::process::{SERVE, Served, orders, run};

fn lines(text: &str) -> Vec<Value> {
    let line = |line| -> Value {
        serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?} in {text}"))
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn so_are_errors_at_the_start_and_what_is_wrong_with_the_command_line() {
    let memory = ["--db", ":memory:", "--log", "json"];
    let held = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = held.local_addr().unwrap().to_string();
    for (more, code, told) in [
        (&["--listen", &taken, "--metrics", "off"][..], 1, "cannot listen on"),
        (&["--listen", "0.0.0.0:0", "--auth", "off", "--metrics", "off"], 1, "--auth off"),
        (&["--nonsense"], 2, "unexpected argument"),
        (&["--drain-delay", "31s"], 2, "the drain delay"),
        (&["--limit-file", "no-such-file"], 2, "no-such-file"),
    ] {
        let ran = run(&[&["serve"], &memory[..], more].concat()).await;
        let lines = lines(&ran.err);
        let last = lines.last().expect("a line");
        assert_eq!((ran.code, last["level"].as_str()), (Some(code), Some("ERROR")), "{ran:?}");
        assert!(last["message"].as_str().unwrap().contains(told), "{ran:?}");
        assert!(last["timestamp"].as_str().unwrap().ends_with('Z'), "{ran:?}");
    }
    let ran = run(&["serve", "--log=json", "--nonsense"]).await;
    assert_eq!(lines(&ran.err).len(), 1);
    // Help is not an error.
    let ran = run(&["serve", "--log", "json", "--help"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn so_is_the_last_line_and_what_is_said_of_the_environment() {
    let drain = ["--db", ":memory:", "--log", "json", "--drain-delay", "1h", "--drain-limit", "2h"];
    let mut command = orders(&[&SERVE[..], &drain].concat());
    command.env("RUST_LOG", "very=loud=indeed");
    let mut served = Served::spawn(command).await;
    let first = served.next_log_line().await;
    let [first] = &lines(&first)[..] else { panic!("{first}") };
    assert_eq!(first["level"], "WARN");
    assert!(first["message"].as_str().unwrap().contains("is invalid"), "{first}");

    served.signal(Signal::TERM);
    let mut draining = String::new();
    while !draining.contains("draining") {
        draining = served.next_log_line().await;
        assert_eq!(lines(&draining).len(), 1);
    }
    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(1));
    let last = lines(&log).pop().expect("a line");
    assert_eq!(last["level"], "ERROR");
    assert!(last["message"].as_str().unwrap().contains("second signal"), "{last}");
}
