//! `--limit-file`: limits that change while the server runs, and the keys that they store.

use std::fs;

use orders::v1::GetOrderRequest;
use rustix::process::Signal;
use serde_json::Value;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::common::client::{Client, channel, client};
use crate::common::process::{SERVE, Served, get, orders, run};

const METHOD: &str = "orders.v1.OrderService/GetOrder";

/// The codes of this many calls.
async fn codes(client: &mut Client, calls: usize) -> Vec<Code> {
    let mut codes = Vec::new();
    for _ in 0..calls {
        let answer = client.get_order(GetOrderRequest { id: "x".to_owned() }).await;
        codes.push(answer.expect_err("there is none").code());
    }
    codes
}

/// The next log line with this message.
async fn logged(served: &mut Served, message: &str) -> Value {
    loop {
        let line = served.next_log_line().await;
        let line: Value = serde_json::from_str(&line).expect(&line);
        if line["message"] == message {
            return line;
        }
    }
}

const GOOD: Code = Code::NotFound;
const NO_MORE: Code = Code::ResourceExhausted;

#[tokio::test]
async fn limits_are_read_again_on_a_hangup_and_stay_where_the_file_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.txt");
    let name = file.to_str().unwrap();
    fs::write(&file, format!("# of all\n\n  {METHOD}=1/2   \n")).unwrap();
    let flags = ["--limit", "*=9/9", "--limit-file", name, "--log", "json"];
    let mut served = Served::start(&flags).await;
    let mut client = client(&served, &[]).await;
    assert_eq!(codes(&mut client, 3).await[..2], [GOOD, GOOD]);

    // One call per hour: a quota that is used up here is not refilled.
    fs::write(&file, format!("{METHOD}=1/4000\n")).unwrap();
    served.signal(Signal::HUP);
    logged(&mut served, "the limit file was read again").await;
    assert_eq!(codes(&mut client, 20).await, [GOOD; 20]);

    for (wrong, line, why) in [
        (format!("# ok\n{METHOD}=1/1\n{METHOD}=fast\n"), 3, "the quota \"fast\" is not"),
        (format!("{METHOD}=1/1\n\norders.v1.OrderService/GetOder=1/1\n"), 3, "did you mean"),
        (format!("{METHOD}=1/1\n{METHOD}=1/1\n"), 2, "is given twice"),
        ("*=9/9\n".to_owned(), 1, "*=9/9 is given twice"),
        ("off\n".to_owned(), 1, "off cannot be used with another"),
    ] {
        fs::write(&file, &wrong).unwrap();
        served.signal(Signal::HUP);
        let told = logged(&mut served, "the limit file is invalid, the limits do not change").await;
        assert_eq!(told["level"], "ERROR");
        let error = told["error"].as_str().unwrap();
        assert!(error.contains(&format!("{name}, line {line}: ")), "{error}");
        assert!(error.contains(why), "{error}");
    }
    fs::remove_file(&file).unwrap();
    served.signal(Signal::HUP);
    let told = logged(&mut served, "the limit file is invalid, the limits do not change").await;
    assert!(told["error"].as_str().unwrap().contains("limits.txt: No such file"), "{told}");
    assert_eq!(codes(&mut client, 20).await, [GOOD; 20], "those before are still there");

    fs::write(&file, format!("{METHOD}=1/1\n")).unwrap();
    served.signal(Signal::HUP);
    logged(&mut served, "the limit file was read again").await;
    assert!(codes(&mut client, 20).await.contains(&NO_MORE));
    served.signal(Signal::INT);
    assert_eq!(served.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_file_that_is_wrong_at_the_start_is_an_error_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.txt");
    let name = file.to_str().unwrap();
    for (text, told) in [
        ("\n*=0/1\n", "line 2: the quota \"0/1\""),
        ("*=1/1\n# x\n5/10\n", "line 3: must be METHODS=RATE/BURST"),
        ("orders.v1.Gone=5/10", "line 1: orders.v1.Gone=…: this server has no such service"),
        (&"#".repeat(1_100_000), "the file is larger than 1 MiB"),
    ] {
        fs::write(&file, text).unwrap();
        let ran = run(&[&SERVE[..], &["--db", ":memory:", "--limit-file", name]].concat()).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains(name) && ran.err.contains(told), "{told}: {}", ran.err);
    }
    let ran = run(&["serve", "--db", ":memory:", "--limit-file", "no-such-file"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("--limit-file no-such-file: No such file"), "{}", ran.err);
}

#[tokio::test]
async fn what_limits_keep_and_lost_spans_are_gauges() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.txt");
    fs::write(&file, format!("{METHOD}=100/100:peer\n")).unwrap();
    let mut command = orders(&SERVE[..5]);
    command.args(["--db", ":memory:", "--log", "json", "--metrics", "127.0.0.1:0"]);
    command.arg("--limit-file").arg(&file);
    // There is no collector, and the queue has room for four spans.
    let nowhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nowhere.local_addr().unwrap());
    command.args(["--otlp", &url]);
    command.env("OTEL_BSP_MAX_QUEUE_SIZE", "4").env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let mut served = Served::spawn(command).await;
    let metrics = served.metrics_address().await;
    // When it responds, all gauges exist; health has no limit and no span.
    let mut health = HealthClient::new(channel(&served).await);
    health.check(HealthCheckRequest::default()).await.unwrap();
    let of = format!("rule=\"{METHOD}\",limit=\"100/100:peer\"");
    let read = async |expected: &[String]| {
        let (_, text) = get(&metrics, "/metrics").await;
        for line in expected {
            assert!(text.contains(&format!("\n{line}\n")), "{line} is not in {text}");
        }
    };
    let dropped = |reason: &str, spans: usize| {
        format!("otel_spans_dropped_total{{reason=\"{reason}\"}} {spans}")
    };
    read(&[
        format!("ratelimit_keys{{{of}}} 0"),
        dropped("queue_full", 0),
        dropped("not_delivered", 0),
        "otel_spans_waiting 0".to_owned(),
        "otel_spans_queue_size 4".to_owned(),
    ])
    .await;
    let mut client = client(&served, &[]).await;
    assert_eq!(codes(&mut client, 50).await, [GOOD; 50]);
    let (_, text) = get(&metrics, "/metrics").await;
    let full = text
        .lines()
        .find_map(|line| line.strip_prefix("otel_spans_dropped_total{reason=\"queue_full\"} "));
    // A batch is 4, and so is the queue.
    let full: usize = full.expect("counted").parse().unwrap();
    assert!((42..50).contains(&full), "{full}");
    read(&[
        format!("ratelimit_keys{{{of}}} 1"),
        format!("ratelimit_keys_at_most{{{of}}} 100000"),
        format!("ratelimit_overflow_in_use{{{of}}} 0"),
    ])
    .await;

    // Removed limits are set to 0.
    fs::write(&file, "# none\n").unwrap();
    served.signal(Signal::HUP);
    logged(&mut served, "the limit file was read again").await;
    read(&[format!("ratelimit_keys{{{of}}} 0")]).await;
    served.signal(Signal::INT);
    served.signal(Signal::INT);
    served.ended().await;
}
