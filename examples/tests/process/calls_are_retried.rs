//! `orders call --service-config` and `--wait-for-ready`.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::common::frames;
use crate::common::process::{Calling, Ran, Served, orders, run, unreachable};

/// The example: it retries `UNAVAILABLE`.
const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/service-config.json");

const CREATE: [&str; 7] = [
    "create-order",
    "--customer-email",
    "ann@example.org",
    "--total-cents",
    "5",
    "--currency",
    "EUR",
];

/// A file with this config.
fn config(folder: &Path, json: &str) -> String {
    let file = folder.join("config.json");
    std::fs::write(&file, json).unwrap();
    file.to_str().unwrap().to_owned()
}

async fn call(url: &str, arguments: &[&str]) -> Ran {
    run(&[&["call", "--to", url], arguments].concat()).await
}

/// Forwards connections to a server. Ends the first one when the server has answered a call, and keeps that answer.
struct Proxy {
    url: String,
    connections: watch::Receiver<usize>,
}

impl Proxy {
    async fn start(to: &Served) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (count, connections) = watch::channel(0);
        let to = to.address.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&to).await.unwrap();
                let is_first = *count.borrow() == 0;
                count.send_modify(|count| *count += 1);
                tokio::spawn(forward(client, server, is_first));
            }
        });
        Self { url, connections }
    }
}

async fn forward(mut client: TcpStream, mut server: TcpStream, without_answers: bool) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let requests = copy(&mut from_client, &mut to_server);
    if without_answers {
        tokio::select! {
            _ = requests => {}
            () = until_answer(&mut from_server, &mut to_client) => {}
        }
    } else {
        _ = tokio::join!(requests, copy(&mut from_server, &mut to_client));
    }
}

/// Forwards what the server sends before the head of a response.
async fn until_answer(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
) {
    loop {
        let mut head = [0; 9];
        from.read_exact(&mut head).await.unwrap();
        let [a, b, c, kind, ..] = head;
        if kind == frames::HEADERS {
            return;
        }
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        from.read_exact(&mut payload).await.unwrap();
        to.write_all(&[&head[..], &payload].concat()).await.unwrap();
    }
}

#[tokio::test]
async fn an_order_is_made_once_though_the_connection_dies_before_the_answer() {
    let served = Served::start(&[]).await;
    let proxy = Proxy::start(&served).await;
    let ran = call(&proxy.url, &[&["--service-config", CONFIG], &CREATE[..]].concat()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let created: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(*proxy.connections.borrow(), 2, "the first one has died");
    assert_eq!(call(&served.url(), &["list-orders"]).await.json(), [created]);
}

#[tokio::test]
async fn without_a_policy_the_error_names_the_key_that_repeats_the_call() {
    let served = Served::start(&[]).await;
    let proxy = Proxy::start(&served).await;
    let ran = call(&proxy.url, &CREATE).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(ran.err.starts_with("UNAVAILABLE: "), "{}", ran.err);
    let orders = call(&served.url(), &["list-orders"]).await.json();
    assert_eq!(orders.len(), 1, "{orders:?}");

    let (_, rest) = ran.err.split_once("--idempotency-key ").expect(&ran.err);
    let key = rest.split_whitespace().next().unwrap();
    let again = [&CREATE[..], &["--idempotency-key", key]].concat();
    assert_eq!(call(&served.url(), &again).await.json(), orders);
    assert_eq!(call(&served.url(), &["list-orders"]).await.json(), orders);

    served.signal(Signal::INT);
    let (_, _, log) = served.ended().await;
    let sent =
        log.lines().filter(|line| line.contains("finished call") && line.contains("/CreateOrder"));
    assert_eq!(sent.count(), 2, "the first one, and the one by hand: {log}");
}

#[tokio::test]
async fn attempts_and_retries_are_counted() {
    let served = Served::start(&["--faults"]).await;
    let fails = ["-H", "x-fault=status=UNAVAILABLE", "-v", "--repeat", "2"];
    let get = ["--service-config", CONFIG, "get-order", "--id", "x"];
    let ran = call(&served.url(), &[&fails[..], &get].concat()).await;
    assert_eq!(ran.code, Some(1));
    let samples = |name: &str, part: &str| -> Vec<f64> {
        let lines = ran.err.lines().filter(|line| line.starts_with(name) && line.contains(part));
        lines.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
    };
    // Each of the two calls has four attempts.
    assert_eq!(samples("grpc_client_call_retries_sum{", "GetOrder"), [6.0], "{}", ran.err);
    assert_eq!(samples("grpc_client_call_retries_count{", "GetOrder"), [2.0]);
    assert_eq!(samples("grpc_client_call_retry_delay_seconds_count{", "GetOrder"), [2.0]);
    assert_eq!(samples("grpc_client_attempts_total{", "outcome=\"retried\""), [6.0]);
    assert_eq!(samples("grpc_client_attempts_total{", "outcome=\"attempts_exhausted\""), [2.0]);
    // Layers outside see calls, not attempts.
    assert_eq!(samples("grpc_client_handled_total{", "Unavailable"), [2.0]);
    assert_eq!(ran.err.lines().last(), Some("2 calls: 2 UNAVAILABLE"));
}

#[tokio::test]
async fn the_shorter_timeout_is_the_deadline() {
    let served = Served::start(&["--faults"]).await;
    let folder = tempfile::tempdir().unwrap();
    for (configured, given) in [("0.2s", "1h"), ("3600s", "200ms")] {
        let json =
            format!(r#"{{"methodConfig": [{{"name": [{{}}], "timeout": "{configured}"}}]}}"#);
        let file = config(folder.path(), &json);
        let options = ["--service-config", &file, "--timeout", given, "-H", "x-fault=delay=1h"];
        // A stream has a deadline, too.
        for method in [&["get-order", "--id", "x"][..], &["list-orders"]] {
            let ran = call(&served.url(), &[&options, method].concat()).await;
            assert_eq!(ran.code, Some(1));
            assert!(ran.err.starts_with("DEADLINE_EXCEEDED: "), "{}", ran.err);
            assert!(ran.err.contains("200ms"), "{}", ran.err);
        }
    }
}

#[tokio::test]
async fn a_wrong_config_is_named_with_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let policy = r#"{"maxAttempts": 1, "initialBackoff": "0.1s", "maxBackoff": "1s",
        "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}"#;
    let json = format!(r#"{{"methodConfig": [{{"name": [{{}}], "retryPolicy": {policy}}}]}}"#);
    let file = config(folder.path(), &json);
    let ran = run(&["call", "--service-config", &file, "list-orders"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains(&file), "{}", ran.err);
    assert!(ran.err.contains("methodConfig[0].retryPolicy.maxAttempts: "), "{}", ran.err);

    let ran = run(&["call", "--service-config", "missing.json", "list-orders"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("missing.json"), "{}", ran.err);
}

#[tokio::test]
async fn a_call_waits_for_its_server_only_if_it_should() {
    let (url, _socket) = unreachable();
    for (waits, code) in [
        (&["--timeout", "300ms", "--wait-for-ready"][..], "DEADLINE_EXCEEDED"),
        (&["--timeout", "1h"], "UNAVAILABLE"),
    ] {
        let ran = call(&url, &[waits, &["get-order", "--id", "x"]].concat()).await;
        assert_eq!(ran.code, Some(1));
        assert!(ran.err.starts_with(&format!("{code}: ")), "{waits:?}: {}", ran.err);
    }
}

/// One server is drained, the next one is killed.
#[tokio::test]
async fn no_call_fails_while_the_server_restarts() {
    const CALLS: usize = 3_000;
    let folder = tempfile::tempdir().unwrap();
    let serve = async |address: &str| {
        let flags = ["--auth", "off", "--metrics", "off", "--limit", "off", "--drain-delay", "0"];
        let mut command = orders(&[&["serve", "--listen", address], &flags[..]].concat());
        command.current_dir(folder.path());
        Served::spawn(command).await
    };
    let mut served = serve("127.0.0.1:0").await;
    let (address, url) = (served.address.clone(), served.url());
    let created = call(&url, &CREATE).await.json().remove(0);

    let options = ["--service-config", CONFIG, "--wait-for-ready", "--timeout", "30s"];
    let repeat = ["--repeat", &CALLS.to_string(), "get-order", "--id"];
    let id = created["id"].as_str().unwrap();
    let mut calling = Calling::start(&[&["--to", &url], &options[..], &repeat, &[id]].concat());
    for (signal, answered) in [(Signal::TERM, 500), (Signal::KILL, 1_500)] {
        calling.answered(answered).await;
        served.signal(signal);
        served.ended().await;
        // Now a call waits.
        assert!(calling.answers() < CALLS);
        served = serve(&address).await;
    }
    let ran = calling.ended().await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.err.lines().last(), Some("3000 calls: 3000 OK"));
    let answers: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers, vec![created; CALLS]);
}
