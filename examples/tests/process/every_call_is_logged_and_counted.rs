use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{GetOrderRequest, WatchOrderRequest};
use rustix::process::Signal;
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use crate::common::process::{Ran, SERVE, Served, get, orders, run};
use crate::common::soon;

async fn client(served: &Served) -> OrderServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(served.url()).unwrap();
    OrderServiceClient::new(endpoint.connect().await.unwrap())
}

async fn call(served: &Served, arguments: &[&str]) -> Ran {
    run(&[&["call", "--to", &served.url()], arguments].concat()).await
}

async fn create(served: &Served) -> String {
    let order = ["--customer-email", "ann@example.org", "--total-cents", "1", "--currency", "EUR"];
    let ran = call(served, &[&["create-order"], &order[..]].concat()).await;
    ran.json()[0]["id"].as_str().unwrap().to_owned()
}

async fn log_of(served: Served) -> String {
    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    log
}

fn finished(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    lines.filter(|line| line["message"] == "finished call").collect()
}

#[tokio::test]
async fn a_call_is_one_line_of_json_where_nobody_looks() {
    let served = Served::start(&["--faults"]).await;
    let id = create(&served).await;
    let missing = ["-H", "x-request-id=r-1", "--timeout", "1h", "get-order", "--id", "x\ny"];
    assert_eq!(call(&served, &missing).await.code, Some(1));
    let broken = ["-H", "x-fault=panic-after=1", "watch-order", "--id", &id];
    assert_eq!(call(&served, &broken).await.code, Some(1));

    let lines = finished(&log_of(served).await);
    let [created, missing, broken] = &lines[..] else { panic!("three calls: {lines:#?}") };
    for (line, expected) in [
        (
            created,
            json!({"level": "INFO", "rpc.method": "orders.v1.OrderService/CreateOrder",
                "rpc.response.status_code": "OK", "grpc.method_type": "unary",
                "grpc.request.messages": 1, "grpc.response.messages": 1,
                "grpc.ended_by": "service", "order.id": id, "network.peer.address": "127.0.0.1"}),
        ),
        (
            missing,
            json!({"level": "INFO", "rpc.response.status_code": "NOT_FOUND", "request_id": "r-1",
                "order.id": "x\\ny", "grpc.response.messages": 0}),
        ),
        (
            broken,
            json!({"level": "ERROR", "rpc.response.status_code": "INTERNAL", "order.id": id,
                "grpc.method_type": "server_stream", "grpc.response.messages": 1,
                "grpc.ended_by": "panic", "grpc.status_message": "internal error"}),
        ),
    ] {
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&line[key], value, "{key} in {line:#}");
        }
    }
    assert!(missing["grpc.timeout_ms"].as_u64().unwrap() > 3_000_000);
}

#[tokio::test]
async fn the_log_is_readable_or_off_if_asked() {
    let method = "orders.v1.OrderService/CreateOrder";
    for (format, told) in [("pretty", true), ("full", true), ("off", false)] {
        let served = Served::start(&["--log", format]).await;
        create(&served).await;
        let log = log_of(served).await;
        let line = log.lines().find(|line| line.contains(method));
        assert_eq!(line.is_some(), told, "{format}: {log}");
        if let Some(line) = line {
            match format {
                "full" => assert!(line.contains("rpc.response.status_code=\"OK\""), "{line}"),
                _ => {
                    // Time, level, method, code, duration, caller, and the handler's field.
                    let words: Vec<_> = line.split_whitespace().collect();
                    let [time, "INFO", is, "OK", took, "127.0.0.1", order] = words[..] else {
                        panic!("{line}")
                    };
                    assert!(time.ends_with('Z') && took.ends_with('s'), "{line}");
                    assert_eq!(is, method);
                    assert!(order.starts_with("order.id="), "{line}");
                }
            }
            assert!(serde_json::from_str::<Value>(line).is_err(), "{line}");
        }
    }
}

/// Guards against: a client that fills the disk with log lines of refused calls.
#[tokio::test]
async fn a_flood_of_refusals_is_some_lines_and_a_count() {
    let flags = ["--limit", "orders.v1.OrderService/GetOrder=1/1", "--log", "json"];
    let served = Served::start(&flags).await;
    let mut client = crate::common::client::client(&served, &[]).await;
    let began = std::time::Instant::now();
    let mut refused = 0;
    for _ in 0..500 {
        let answer = client.get_order(GetOrderRequest { id: "x".to_owned() }).await;
        let code = answer.expect_err("there is none").code();
        refused += usize::from(code == Code::ResourceExhausted);
    }
    let seconds = began.elapsed().as_secs() as usize + 1;
    let log = log_of(served).await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let written = lines.iter().filter(|line| line["grpc.refused_by"] == "ratelimit");
    let written = written.filter(|line| line["message"] == "finished call").count();
    assert!((10..=10 * seconds).contains(&written), "{written} in {seconds} s");
    let left_out = lines.iter().filter_map(|line| line["grpc.refusals_left_out"].as_u64());
    assert_eq!(left_out.sum::<u64>() as usize + written, refused);
}

#[tokio::test]
async fn metrics_are_served_and_count_what_was_called() {
    let mut served = Served::start(&["--metrics", "127.0.0.1:0", "--faults"]).await;
    let metrics = served.metrics_address().await;
    let id = create(&served).await;
    let watch = ["-H", "x-fault=panic-after=1", "watch-order", "--id", &id];
    assert_eq!(call(&served, &watch).await.code, Some(1));

    let (head, text) = get(&metrics, "/metrics").await;
    assert!(head.starts_with("http/1.0 200 "), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let create = "{grpc_type=\"unary\",grpc_service=\"orders.v1.OrderService\",grpc_method=\"CreateOrder\",protocol=\"grpc\"";
    let watch = "{grpc_type=\"server_stream\",grpc_service=\"orders.v1.OrderService\",grpc_method=\"WatchOrder\",protocol=\"grpc\"";
    for sample in [
        format!("grpc_server_handled_total{create},grpc_code=\"OK\"}} 1"),
        format!("grpc_server_handled_total{create},grpc_code=\"Internal\"}} 0"),
        format!("grpc_server_handled_total{watch},grpc_code=\"Internal\"}} 1"),
        format!("grpc_server_msg_sent_total{watch}}} 1"),
        format!("grpc_server_panics_total{watch}}} 1"),
        format!("grpc_server_in_flight{watch}}} 0"),
        format!("grpc_server_handling_seconds_bucket{watch},le=\"+Inf\"}} 1"),
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} in {text}");
    }
    assert!(get(&metrics, "/").await.0.starts_with("http/1.0 404 "));
    log_of(served).await;
}

#[tokio::test]
async fn a_call_shows_its_line_and_its_metrics_only_if_asked() {
    let served = Served::start(&[]).await;
    let id = create(&served).await;
    let quiet = call(&served, &["get-order", "--id", &id]).await;
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));

    let shown = call(&served, &["get-order", "--id", &id, "-v"]).await;
    assert_eq!((shown.code, shown.out.lines().count()), (Some(0), 1), "{shown:?}");
    for part in [
        "finished call",
        "grpc.component=\"client\"",
        "rpc.method=\"orders.v1.OrderService/GetOrder\"",
        "grpc_client_handled_total{grpc_type=\"unary\"",
        "grpc_code=\"OK\"} 1",
    ] {
        assert!(shown.err.contains(part), "{part} in {}", shown.err);
    }
    assert!(!shown.err.contains("_bucket") && !shown.err.contains("} 0\n"), "{}", shown.err);
    log_of(served).await;
}

/// Guards against: calls that the drain ends, and that are not logged.
#[tokio::test]
async fn what_the_drain_ends_is_logged_too() {
    let limits = ["--faults", "--drain-delay", "0", "--drain-limit", "1s"];
    let metrics = ["--metrics", "127.0.0.1:0"];
    let mut served = Served::start(&[&limits[..], &metrics].concat()).await;
    let metrics = served.metrics_address().await;
    let id = create(&served).await;
    let mut client = client(&served).await;
    let request = WatchOrderRequest { id: id.clone() };
    let mut watch = client.watch_order(request).await.unwrap().into_inner();
    soon(watch.message()).await.unwrap().unwrap();
    let mut request = Request::new(GetOrderRequest { id });
    request.metadata_mut().insert("x-fault", "delay=1h".parse().unwrap());
    let slow = tokio::spawn(async move { client.get_order(request).await });
    let in_flight = "grpc_method=\"GetOrder\",protocol=\"grpc\"} 1";
    let arrived = async {
        let is_it =
            |line: &str| line.starts_with("grpc_server_in_flight{") && line.ends_with(in_flight);
        while !get(&metrics, "/metrics").await.1.lines().any(is_it) {}
    };
    soon(arrived).await;

    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let lines = finished(&log);
    let line = |method: &str| {
        let name = format!("orders.v1.OrderService/{method}");
        lines.iter().find(|line| line["rpc.method"] == name).expect("a line").clone()
    };
    let watch = line("WatchOrder");
    assert_eq!(watch["rpc.response.status_code"], "UNAVAILABLE");
    assert_eq!(watch["grpc.ended_by"], "refusal");
    assert_eq!(watch["grpc.refused_by"], "drain");
    assert_eq!(watch["grpc.refused_reason"], "SERVER_STOPPING");
    let slow_line = line("GetOrder");
    assert_eq!(slow_line["rpc.response.status_code"], "UNAVAILABLE");
    assert_eq!(slow_line["grpc.refused_by"], "drain");
    assert_eq!(slow_line["grpc.refused_reason"], "DRAIN_LIMIT");
    let told = slow.await.unwrap().unwrap_err();
    assert_eq!(told.code(), Code::Unavailable);
    assert!(told.message().contains("shutting down"), "{told:?}");
}

#[tokio::test]
async fn the_environment_decides_only_if_it_says_something() {
    for (wanted, told) in [("", true), ("nonsense=very", true), ("error", false)] {
        let mut command = orders(&[&SERVE[..], &["--db", ":memory:"]].concat());
        command.env("RUST_LOG", wanted);
        let served = Served::spawn(command).await;
        create(&served).await;
        let log = log_of(served).await;
        assert_eq!(log.contains("finished call"), told, "{wanted:?}: {log}");
        assert_eq!(log.contains("is invalid"), wanted.contains("very"), "{log}");
    }
    let served = Served::start(&[]).await;
    let id = create(&served).await;
    let mut call = orders(&["call", "--to", &served.url(), "get-order", "--id", &id, "-v"]);
    let shown = call.env("RUST_LOG", "info").output().await.unwrap();
    assert!(String::from_utf8_lossy(&shown.stderr).contains("finished call"), "{shown:?}");
}

/// Guards against: errors that happen only on a terminal, which no other test uses.
#[tokio::test]
async fn on_a_terminal_the_log_is_readable_and_coloured_unless_unwanted() {
    for (no_color, coloured) in [("", true), ("1", false)] {
        let (mut screen, terminal) = terminal();
        let mut command = orders(&[&SERVE[..], &["--db", ":memory:"]].concat());
        command.env("NO_COLOR", no_color).stderr(terminal);
        let served = Served::spawn(command).await;
        create(&served).await;
        served.signal(Signal::INT);
        assert_eq!(served.ended().await.0.code(), Some(0));

        let mut text = Vec::new();
        // On Linux, reading a terminal without writers is an error.
        _ = std::io::Read::read_to_end(&mut screen, &mut text);
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| line.contains("CreateOrder")).expect("a line");
        assert!(line.contains(" orders.v1.OrderService/CreateOrder "), "{line}");
        assert!(!line.contains("rpc.system.name"), "{line}");
        assert_eq!(line.contains('\u{1b}'), coloured, "{line:?}");
        assert!(serde_json::from_str::<Value>(line).is_err(), "{line}");
    }
}

/// The two ends of a pseudo-terminal.
fn terminal() -> (std::fs::File, std::process::Stdio) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let terminal = std::fs::OpenOptions::new().write(true).open(name.to_str().unwrap()).unwrap();
    (screen.into(), terminal.into())
}
