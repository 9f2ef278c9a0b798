use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::common::collector::{Collector, attribute};
use crate::common::process::{Ran, SERVE, Served, orders, run};
use crate::common::{frames, soon};

const CREATE: [&str; 5] =
    ["create-order", "--customer-email", "ann@example.org", "--currency", "EUR"];

async fn serve(collector: &Collector, more: &[&str]) -> Served {
    Served::start(&[&["--otlp", &collector.url()], more].concat()).await
}

async fn call(served: &Served, arguments: &[&str]) -> Ran {
    run(&[&["call", "--to", &served.url()], arguments].concat()).await
}

async fn stopped(served: Served) -> String {
    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    log
}

/// An address without a listener.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn told_of_lost_spans(log: &str) -> usize {
    log.matches("spans cannot be delivered").count()
}

/// Guards against: a call that fails, or waits, because there is no collector.
#[tokio::test]
async fn a_collector_that_is_not_there_changes_nothing() {
    let nowhere = nowhere().await;
    let served = Served::start(&["--otlp", &nowhere, "--drain-delay", "0"]).await;
    let began = Instant::now();
    let ran = call(&served, &[&["--otlp", &nowhere], &CREATE[..]].concat()).await;
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 1), "{ran:?}");
    assert_eq!((ran.err.lines().count(), told_of_lost_spans(&ran.err)), (1, 1), "{}", ran.err);
    assert!(ran.err.contains("WARN") && ran.err.contains(&nowhere), "{}", ran.err);

    let ran = call(&served, &["--otlp", &nowhere, "get-order", "--id", "x"]).await;
    assert_eq!((ran.code, told_of_lost_spans(&ran.err)), (Some(1), 1), "{ran:?}");
    assert!(ran.err.contains("NOT_FOUND: order \"x\" does not exist\n"), "{}", ran.err);

    let ran = run(&["call", "--otlp", &nowhere, "--to", &nowhere, "get-order", "--id", "x"]).await;
    // A call that finds no server has a span, too.
    assert_eq!((ran.code, told_of_lost_spans(&ran.err)), (Some(1), 1), "{ran:?}");
    assert!(ran.err.starts_with("UNAVAILABLE: cannot connect"), "{}", ran.err);

    assert_eq!(told_of_lost_spans(&stopped(served).await), 1);
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ran = run(&["serve", "--db", ":memory:", "--otlp", &nowhere, "--listen", &address]).await;
    assert_eq!((ran.code, ran.err.lines().count()), (Some(1), 1), "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(15));
}

/// Guards against: an exit that waits for the exporter's timeout, ten seconds.
#[tokio::test]
async fn a_collector_that_does_not_answer_cannot_hold_the_end() {
    // It accepts connections, and never reads them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let served = Served::start(&["--otlp", &url, "--faults", "--drain-delay", "0"]).await;
    let fault = ["-H", "x-fault=panic", "get-order", "--id", "x"];
    assert_eq!(call(&served, &fault).await.code, Some(1));
    let began = Instant::now();
    let log = stopped(served).await;
    let took = began.elapsed();
    assert_eq!(told_of_lost_spans(&log), 1, "{log}");
    assert_eq!(log.matches("events cannot be delivered").count(), 1, "{log}");
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn a_collector_that_goes_and_comes_back_is_told_of_once() {
    let collector = Collector::start().await;
    collector.refuse(true);
    let mut command = orders(&SERVE);
    command.args(["--db", ":memory:", "--drain-delay", "0", "--otlp", &collector.url()]);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "1");
    let mut served = Served::spawn(command).await;
    // The second batch is sent after the first was refused.
    for n in 1..=2 {
        call(&served, &CREATE).await.json();
        let refused = async {
            while collector.refused() < n {
                tokio::task::yield_now().await;
            }
        };
        soon(refused).await;
    }
    collector.refuse(false);
    let mut log = String::new();
    while !log.contains("spans are delivered") {
        call(&served, &CREATE).await.json();
        log += &served.next_log_line().await;
    }
    log += &stopped(served).await;
    assert_eq!(told_of_lost_spans(&log), 1, "{log}");
    assert!(!collector.spans().is_empty());
}

/// Guards against: calls that the drain cannot end, and that have no span.
#[tokio::test]
async fn what_ends_with_the_process_has_a_span_too() {
    let collector = Collector::start().await;
    let served = serve(&collector, &["--drain-delay", "0", "--drain-limit", "300ms"]).await;
    call(&served, &CREATE).await.json();
    let mut peer = TcpStream::connect(&served.address).await.unwrap();
    let list = frames::headers(1, "/orders.v1.OrderService/ListOrders");
    let list = [frames::hello_without_window(), list, frames::empty_message(1)].concat();
    peer.write_all(&list).await.unwrap();
    let mut heard = Vec::new();
    while !frames::read(&heard).contains(&(frames::HEADERS, 1)) {
        assert_ne!(soon(peer.read_buf(&mut heard)).await.unwrap(), 0);
    }
    stopped(served).await;
    let names: Vec<_> = collector.spans().into_iter().map(|span| span.told.name).collect();
    assert_eq!(names, ["orders.v1.OrderService/CreateOrder", "orders.v1.OrderService/ListOrders"]);
}

#[tokio::test]
async fn a_watch_that_somebody_has_enough_of_has_a_span_too() {
    let collector = Collector::start().await;
    let served = serve(&collector, &["--drain-delay", "0"]).await;
    let created = call(&served, &CREATE).await.json().remove(0);
    let id = created["id"].as_str().unwrap();
    for end in ["Ctrl-C", "nobody reads"] {
        let before = collector.spans_of_callers().len();
        let watch = ["call", "--otlp", &collector.url(), "--to", &served.url()];
        let mut watch = orders(&[&watch[..], &["watch-order", "--id", id]].concat())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(watch.stdout.take().unwrap());
        soon(out.read_line(&mut String::new())).await.unwrap();
        let status = if end == "Ctrl-C" {
            let pid = Pid::from_raw(i32::try_from(watch.id().unwrap()).unwrap()).unwrap();
            kill_process(pid, Signal::INT).unwrap();
            130
        } else {
            drop(out);
            0
        };
        let ran = Ran::from(soon(watch.wait_with_output()).await.unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (Some(status), ""), "{end}");
        let spans = collector.spans_of_callers().split_off(before);
        let [span] = &spans[..] else { panic!("{end}: {spans:#?}") };
        let code = attribute(&span.told.attributes, "rpc.response.status_code");
        assert_eq!(code, "CANCELLED", "{end}");
    }
    stopped(served).await;
}
