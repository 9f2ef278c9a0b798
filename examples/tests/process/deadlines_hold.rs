//! The deadlines of callers and of the server, as callers see them, the log and the metrics.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{AdvanceOrderRequest, GetOrderRequest, OrderStage, WatchOrderRequest};
use prost::Message;
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tonic::{Code, Status};

use crate::common::client::{channel, client};
use crate::common::process::{Served, get, run};
use crate::common::{order, soon};

const HANGS: &str = "x-fault=delay=1h";

async fn new_order(served: &Served) -> String {
    let mut client = OrderServiceClient::new(channel(served).await);
    client.create_order(order("ann@example.org", 1)).await.unwrap().into_inner().id
}

/// A call of `GetOrder` that the server does not answer in an hour.
async fn hang(served: &Served, grpc_timeout: Option<&str>) -> Status {
    let timeout = grpc_timeout.map(|timeout| ("grpc-timeout", timeout));
    let metadata: Vec<_> = [("x-fault", "delay=1h")].into_iter().chain(timeout).collect();
    let mut client = client(served, &metadata).await;
    soon(client.get_order(GetOrderRequest { id: "x".to_owned() })).await.unwrap_err()
}

/// The line of each call of a method in the log of a server that is stopped.
async fn lines_of(served: Served, method: &str) -> Vec<Value> {
    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let is_it = |line: &Value| {
        line["message"] == "finished call"
            && line["rpc.method"] == format!("orders.v1.OrderService/{method}")
    };
    lines.filter(is_it).collect()
}

/// A call by a client without a timer. Its request is one message.
async fn by_hand(
    served: &Served,
    method: &str,
    headers: &[(&str, &str)],
    message: &impl Message,
) -> Response<h2::RecvStream> {
    by_hand_with(&h2::client::Builder::new(), served, method, headers, message).await
}

async fn by_hand_with(
    client: &h2::client::Builder,
    served: &Served,
    method: &str,
    headers: &[(&str, &str)],
    message: &impl Message,
) -> Response<h2::RecvStream> {
    let socket = TcpStream::connect(&served.address).await.unwrap();
    let (client, connection) = client.handshake::<_, Bytes>(socket).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::post(format!("http://orders/orders.v1.OrderService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut client = client.ready().await.unwrap();
    let (response, mut stream) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let framed = [&[0][..], &length, &message].concat();
    stream.send_data(Bytes::from(framed), true).unwrap();
    soon(response).await.unwrap()
}

fn status_of(headers: &HeaderMap) -> (&str, String) {
    let message = headers["grpc-message"].to_str().unwrap().replace("%20", " ");
    (headers["grpc-status"].to_str().unwrap(), message)
}

#[tokio::test]
async fn a_call_that_hangs_ends_at_the_servers_limit_in_log_and_metrics_as_well() {
    let flags = ["--default-deadline", "200ms", "--deadline-cap", "300ms"];
    let more = ["--faults", "--metrics", "127.0.0.1:0", "--log", "json"];
    let mut served = Served::start(&[&flags[..], &more].concat()).await;
    let metrics = served.metrics_address().await;
    for (timeout, message) in [
        (None, "the server's limit of 200ms for this call has passed"),
        (Some("1H"), "the server's limit of 300ms for this call has passed"),
    ] {
        let status = hang(&served, timeout).await;
        assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, message));
    }
    let (_, text) = get(&metrics, "/metrics").await;
    let counted = "grpc_method=\"GetOrder\",protocol=\"grpc\",grpc_code=\"DeadlineExceeded\"} 2\n";
    assert!(text.contains(counted), "{text}");
    assert!(!text.contains("grpc_server_refused_total{"), "{text}");

    let lines = lines_of(served, "GetOrder").await;
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (line, limit) in lines.iter().zip(["200ms", "300ms"]) {
        assert_eq!(line["rpc.response.status_code"], "DEADLINE_EXCEEDED", "{line:#}");
        assert_eq!(line["grpc.ended_by"], "deadline", "{line:#}");
        let message = line["grpc.status_message"].as_str().unwrap();
        assert!(message.contains(limit), "{line:#}");
    }
}

#[tokio::test]
async fn a_watch_outlives_both_limits_of_the_server() {
    let flags = ["--faults", "--default-deadline", "200ms", "--deadline-cap", "300ms"];
    let served = Served::start(&flags).await;
    let id = new_order(&served).await;
    let mut client = OrderServiceClient::new(channel(&served).await);
    let watch = client.watch_order(WatchOrderRequest { id: id.clone() });
    let mut events = soon(watch).await.unwrap().into_inner();
    assert_eq!(soon(events.message()).await.unwrap().unwrap().event_type, "created");

    // By now the watch is older than either.
    assert_eq!(hang(&served, Some("1H")).await.code(), Code::DeadlineExceeded);
    let stage = OrderStage::Shipped.into();
    client.advance_order(AdvanceOrderRequest { id, stage }).await.unwrap();
    assert_eq!(soon(events.message()).await.unwrap().unwrap().event_type, "shipped");
}

#[tokio::test]
async fn limits_that_are_off_limit_nothing() {
    let flags = ["--default-deadline", "off", "--deadline-cap", "off", "--stall-limit", "off"];
    let served = Served::start(&[&flags[..], &["--faults"]].concat()).await;
    let headers = [("grpc-timeout", "100m"), ("x-fault", "delay=1h")];
    let request = GetOrderRequest { id: "x".to_owned() };
    let response = by_hand(&served, "GetOrder", &headers, &request).await;
    let callers = ("4", "the caller's deadline has passed".to_owned());
    assert_eq!(status_of(response.headers()), callers);
    assert_eq!(run(&["serve", "--stall-limit", "never"]).await.code, Some(2));
}

#[tokio::test]
async fn a_watch_with_a_deadline_ends_with_trailers() {
    let served = Served::start(&["--log", "json"]).await;
    let id = new_order(&served).await;
    let watch = WatchOrderRequest { id };
    let response = by_hand(&served, "WatchOrder", &[("grpc-timeout", "200m")], &watch).await;
    assert!(!response.headers().contains_key("grpc-status"));
    let mut body = response.into_body();
    assert!(!soon(body.data()).await.unwrap().unwrap().is_empty());
    assert!(soon(body.data()).await.is_none());
    let trailers = soon(body.trailers()).await.unwrap().unwrap();
    assert_eq!(status_of(&trailers), ("4", "the caller's deadline has passed".to_owned()));
    let lines = lines_of(served, "WatchOrder").await;
    let [line] = &lines[..] else { panic!("one call: {lines:#?}") };
    assert_eq!(line["rpc.response.status_code"], "DEADLINE_EXCEEDED", "{line:#}");
    assert_eq!(
        (&line["grpc.ended_by"], &line["grpc.response.messages"]),
        (&"deadline".into(), &1.into()),
        "{line:#}"
    );
}

#[tokio::test]
async fn timeout_ends_calls_of_each_kind() {
    let served = Served::start(&["--faults", "--log", "json"]).await;
    let id = new_order(&served).await;
    let to = ["call", "--to", &served.url(), "--timeout", "300ms"];
    let message = "DEADLINE_EXCEEDED: the client's limit of 300ms for this call has passed\n";
    for (method, printed) in [
        (&["get-order", "--id", "x", "-H", HANGS][..], 0),
        (&["list-orders", "-H", HANGS], 0),
        (&["watch-order", "--id", &id, "-H", HANGS], 0),
        (&["watch-order", "--id", &id], 1),
        (&["import-orders", "/dev/null", "-H", HANGS], 0),
        (&["quote-orders", "/dev/null", "-H", HANGS], 0),
    ] {
        let ran = run(&[&to[..], method].concat()).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), message), "{method:?}");
        assert_eq!(ran.out.lines().count(), printed, "{method:?}");
    }
    let verbose = ["-v", "watch-order", "--id", &id];
    let ran = run(&[&to[..], &verbose].concat()).await;
    assert!(ran.err.contains("grpc_code=\"DeadlineExceeded\"} 1"), "{}", ran.err);
    let line = ran.err.lines().find(|line| line.contains("finished call")).expect(&ran.err);
    for field in ["\"DEADLINE_EXCEEDED\"", "ended_by=\"deadline\"", "limit of 300ms"] {
        assert!(line.contains(field), "{field} in {line}");
    }

    // On a busy machine the request takes so long to arrive that the client leaves before the server's clock says so.
    let lines = lines_of(served, "WatchOrder").await;
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for line in lines {
        let ending = (&line["rpc.response.status_code"], &line["grpc.ended_by"]);
        let [late, left] = [("DEADLINE_EXCEEDED", "deadline"), ("CANCELLED", "caller")];
        assert!(
            [late, left].iter().any(|(code, by)| ending == (&(*code).into(), &(*by).into())),
            "{line:#}"
        );
        // Each attempt sends what is left of the time: on a busy machine less than 300 ms.
        let sent = line["grpc.timeout_ms"].as_u64();
        assert!(sent.is_some_and(|sent| (1..=300).contains(&sent)), "{line:#}");
    }
}

/// Guards against: a timeout that begins when there is a connection.
#[tokio::test]
async fn timeout_covers_the_wait_for_a_server_that_accepts_nothing() {
    // This one has connections, and answers none.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // The queue of this one is full: the system answers no further client.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let _queued: Vec<_> =
        (0..8).map(|_| std::thread::spawn(move || std::net::TcpStream::connect(address))).collect();
    for address in [silent.local_addr().unwrap(), address] {
        let to = format!("http://{address}");
        let began = Instant::now();
        let call = ["call", "--to", &to, "--timeout", "300ms", "get-order", "--id", "x"];
        let ran = run(&call).await;
        assert_eq!(
            (ran.code, ran.err.as_str()),
            (Some(1), "DEADLINE_EXCEEDED: the client's limit of 300ms for this call has passed\n")
        );
        assert!(began.elapsed().as_millis() >= 300);
    }
}

#[tokio::test]
async fn a_timeout_that_cannot_be_read_is_refused_and_counted_so() {
    let limit = ["--limit", "orders.v1.OrderService/GetOrder=1/1:peer"];
    let more = ["--metrics", "127.0.0.1:0", "--log", "json"];
    let mut served = Served::start(&[&limit[..], &more].concat()).await;
    let metrics = served.metrics_address().await;
    let request = GetOrderRequest { id: "x".to_owned() };
    for (timeout, status, part) in [
        ("5 apples", "13", "grpc-timeout"),
        ("0m", "4", "the caller's deadline had passed when the call arrived"),
    ] {
        let response = by_hand(&served, "GetOrder", &[("grpc-timeout", timeout)], &request).await;
        let (code, message) = status_of(response.headers());
        assert!(code == status && message.contains(part), "{timeout}: {code} {message}");
    }
    // The refused calls have used up none of the limit.
    let good = by_hand(&served, "GetOrder", &[("grpc-timeout", "1M")], &request).await;
    assert_eq!(status_of(good.headers()).0, "5");

    let (_, text) = get(&metrics, "/metrics").await;
    for reason in ["TIMEOUT_MALFORMED", "TIMEOUT_EXPIRED"] {
        let refused = format!("refused_by=\"deadline\",reason=\"{reason}\",shadow=\"false\"}} 1\n");
        assert!(text.contains(&refused), "{text}");
    }
    let lines = lines_of(served, "GetOrder").await;
    for (line, (code, reason)) in lines
        .iter()
        .zip([("INTERNAL", "TIMEOUT_MALFORMED"), ("DEADLINE_EXCEEDED", "TIMEOUT_EXPIRED")])
    {
        assert_eq!(line["rpc.response.status_code"], code, "{line:#}");
        assert_eq!(line["grpc.refused_by"], "deadline", "{line:#}");
        assert_eq!(line["grpc.refused_reason"], reason, "{line:#}");
    }
    assert_eq!(lines.len(), 3);
}

/// The client's window has room for a part of the first message alone, and HTTP holds the rest of it.
#[tokio::test]
async fn a_caller_that_reads_nothing_is_ended() {
    let flags = ["--stall-limit", "200ms", "--default-deadline", "1s", "--faults", "--log", "json"];
    let served = Served::start(&flags).await;
    let id = new_order(&served).await;
    let mut narrow = h2::client::Builder::new();
    narrow.initial_window_size(16);
    let watch = WatchOrderRequest { id: id.clone() };
    let response = by_hand_with(&narrow, &served, "WatchOrder", &[], &watch).await;
    let mut client = OrderServiceClient::new(channel(&served).await);
    let stage = OrderStage::Shipped.into();
    client.advance_order(AdvanceOrderRequest { id, stage }).await.unwrap();
    // By now the second message has not been read for longer than the limit.
    assert_eq!(hang(&served, None).await.code(), Code::DeadlineExceeded);

    let mut body = response.into_body();
    while let Some(data) = soon(body.data()).await {
        let length = data.unwrap().len();
        body.flow_control().release_capacity(length).unwrap();
    }
    let trailers = soon(body.trailers()).await.unwrap().unwrap();
    assert_eq!(status_of(&trailers), ("4", "the caller has read nothing for 200ms".to_owned()));
    let lines = lines_of(served, "WatchOrder").await;
    assert_eq!(lines[0]["rpc.response.status_code"], "DEADLINE_EXCEEDED", "{lines:#?}");
}

#[tokio::test]
async fn limits_that_contradict_each_other_are_errors_that_name_the_flag() {
    for (flags, part) in [
        (&["--default-deadline", "0"][..], "--default-deadline"),
        (&["--deadline-cap", "0ms"], "--deadline-cap"),
        (&["--stall-limit", "0s"], "--stall-limit"),
        (
            &["--default-deadline", "10m"],
            "--default-deadline 600s is longer than --deadline-cap 300s",
        ),
        (
            &["--default-deadline", "2s", "--deadline-cap", "1s"],
            "--default-deadline 2s is longer than --deadline-cap 1s",
        ),
    ] {
        let ran = run(&[&["serve"], flags].concat()).await;
        assert_eq!(ran.code, Some(2), "{flags:?}");
        assert!(ran.err.contains(part), "{flags:?}: {}", ran.err);
    }
    let ran = run(&["call", "--timeout", "0", "list-orders"]).await;
    assert!(ran.code == Some(2) && ran.err.contains("--timeout"), "{ran:?}");
}
