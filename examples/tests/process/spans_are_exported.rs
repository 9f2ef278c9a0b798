use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use orders::v1::GetOrderRequest;
use orders::v1::order_service_client::OrderServiceClient;
use rustix::process::Signal;
use serde_json::Value;
use tonic::transport::Endpoint;

use crate::common::collector::{Collector, Told, attribute, hex};
use crate::common::process::{Ran, SERVE, Served, orders, run};
use crate::common::{order, soon};

const SERVICE: &str = "orders.v1.OrderService";

const CREATE: [&str; 5] =
    ["create-order", "--customer-email", "ann@example.org", "--currency", "EUR"];

async fn serve(collector: &Collector, more: &[&str]) -> Served {
    Served::start(&[&["--otlp", &collector.url()], more].concat()).await
}

async fn call(served: &Served, arguments: &[&str]) -> Ran {
    run(&[&["call", "--to", &served.url()], arguments].concat()).await
}

/// A call that has a span.
async fn traced(served: &Served, collector: &Collector, arguments: &[&str]) -> Ran {
    call(served, &[&["--otlp", &collector.url()], arguments].concat()).await
}

async fn stopped(served: Served) -> String {
    served.signal(Signal::TERM);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    log
}

/// The trace id that `orders call -v` prints.
fn shown_trace(ran: &Ran) -> Option<&str> {
    ran.err.lines().find_map(|line| line.strip_prefix("trace-id: "))
}

#[tokio::test]
async fn a_call_and_what_the_server_does_for_it_are_one_trace() {
    let collector = Collector::start().await;
    let served = serve(&collector, &["--faults", "--drain-delay", "0"]).await;
    let created = traced(&served, &collector, &CREATE).await.json().remove(0);
    let id = created["id"].as_str().unwrap();
    let list = traced(&served, &collector, &["list-orders"]).await;
    assert_eq!(list.json().len(), 1);
    let missing = traced(&served, &collector, &["get-order", "--id", "x"]).await;
    assert_eq!(missing.code, Some(1));
    assert_eq!(missing.err, "NOT_FOUND: order \"x\" does not exist\n");
    let broken = ["-H", "x-fault=panic-after=1", "watch-order", "--id", id];
    assert_eq!(traced(&served, &collector, &broken).await.code, Some(1));
    let host_and_port = served.address.clone();
    stopped(served).await;

    let spans = collector.spans();
    // Two for each call, and none for the exporters' own calls.
    assert_eq!(spans.len(), 8, "{spans:#?}");
    for (method, code, client_fails, server_fails) in [
        ("CreateOrder", "OK", false, false),
        ("ListOrders", "OK", false, false),
        ("GetOrder", "NOT_FOUND", true, false),
        ("WatchOrder", "INTERNAL", true, true),
    ] {
        let name = format!("{SERVICE}/{method}");
        let of_kind = |kind: SpanKind| {
            let is_it = |span: &&Told<Span>| span.told.name == name && span.told.kind() == kind;
            spans.iter().find(is_it).unwrap_or_else(|| panic!("no {kind:?} {name}"))
        };
        let (client, server) = (of_kind(SpanKind::Client), of_kind(SpanKind::Server));
        assert_eq!((client.service.as_str(), server.service.as_str()), ("orders-call", "orders"));
        let (client, server) = (&client.told, &server.told);
        assert_eq!(hex(&client.parent_span_id), "", "{client:?}");
        assert_eq!(hex(&server.parent_span_id), hex(&client.span_id));
        assert_eq!(hex(&server.trace_id), hex(&client.trace_id));
        for (span, fails) in [(client, client_fails), (server, server_fails)] {
            assert_eq!(attribute(&span.attributes, "rpc.method"), name);
            assert_eq!(attribute(&span.attributes, "rpc.response.status_code"), code);
            let status = span.status.as_ref().map_or(StatusCode::Unset, Status::code);
            assert_eq!(status == StatusCode::Error, fails, "{span:?}");
        }
        let (host, _) = host_and_port.split_once(':').unwrap();
        assert_eq!(attribute(&client.attributes, "server.address"), host);
    }
}

/// Guards against: spans of the exporter's own calls, which would never end.
#[tokio::test]
async fn what_the_exporters_send_has_no_spans() {
    let collector = Collector::start().await;
    let mut command = orders(&SERVE);
    command.args(["--db", ":memory:", "--drain-delay", "0", "--otlp", &collector.url()]);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "1").env("RUST_LOG", "trace");
    let served = Served::spawn(command).await;
    for n in 1..=5 {
        call(&served, &CREATE).await.json();
        // Sent while the server runs: each in a separate batch.
        soon(async {
            while collector.spans().len() < n {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    stopped(served).await;
    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|span| (span.told.kind(), &span.told.name[..])).collect();
    assert_eq!(names, [(SpanKind::Server, "orders.v1.OrderService/CreateOrder"); 5]);
    assert_eq!(collector.batches().len(), 5);
    for batch in collector.batches() {
        assert!(batch.get("traceparent").is_none(), "{batch:?}");
    }
}

#[tokio::test]
async fn the_log_and_the_caller_are_told_the_trace() {
    let collector = Collector::start().await;
    let served = serve(&collector, &["--drain-delay", "0"]).await;
    let endpoint = Endpoint::from_shared(served.url()).unwrap();
    let mut client = OrderServiceClient::new(endpoint.connect().await.unwrap());
    let refused = client.get_order(GetOrderRequest { id: "x".to_owned() }).await.unwrap_err();
    let answered = client.create_order(order("ann@example.org", 1)).await.unwrap();
    drop(client);
    let log = stopped(served).await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 2, "{spans:#?}");
    for metadata in [refused.metadata(), answered.metadata()] {
        let trace = metadata.get("x-trace-id").unwrap().to_str().unwrap();
        let span = spans.iter().find(|span| hex(&span.told.trace_id) == trace).expect("a span");
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
        let of_trace = lines.filter(|line| line["trace_id"] == trace).collect::<Vec<_>>();
        let [line] = &of_trace[..] else { panic!("one line of {trace}: {log}") };
        assert_eq!(line["message"], "finished call");
        assert_eq!(line["span_id"], hex(&span.told.span_id));
    }
}

#[tokio::test]
async fn a_call_shows_its_trace_only_if_asked_and_if_there_is_one() {
    let collector = Collector::start().await;
    let served = serve(&collector, &["--drain-delay", "0"]).await;
    let shown = traced(&served, &collector, &[&["-v"], &CREATE[..]].concat()).await;
    assert_eq!((shown.code, shown.out.lines().count()), (Some(0), 1), "{shown:?}");
    let trace = shown_trace(&shown).unwrap();
    // The log line contains it, too.
    assert!(shown.err.contains(&format!("trace_id=\"{trace}\" ")), "{}", shown.err);
    let failed = traced(&served, &collector, &["-v", "get-order", "--id", "x"]).await;
    assert_eq!(failed.code, Some(1));
    let traces = [trace, shown_trace(&failed).unwrap()];
    let spans = collector.spans_of_callers();
    let sent: Vec<_> = spans.iter().map(|span| hex(&span.told.trace_id)).collect();
    assert_eq!(sent, traces);

    let quiet = traced(&served, &collector, &CREATE).await;
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
    let untraced = call(&served, &[&["-v"], &CREATE[..]].concat()).await;
    assert_eq!((untraced.code, shown_trace(&untraced)), (Some(0), None));
    assert!(!untraced.err.contains("WARN") && !untraced.err.contains("trace_id"), "{untraced:?}");
    stopped(served).await;
}

#[tokio::test]
async fn where_nobody_asks_for_spans_there_are_none_and_no_word_of_it() {
    let collector = Collector::start().await;
    let mut command = orders(&SERVE);
    command.args(["--db", ":memory:", "--drain-delay", "0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    let served = Served::spawn(command).await;
    let endpoint = Endpoint::from_shared(served.url()).unwrap();
    let mut client = OrderServiceClient::new(endpoint.connect().await.unwrap());
    let answered = client.create_order(order("ann@example.org", 1)).await.unwrap();
    assert!(answered.metadata().get("x-trace-id").is_none(), "{answered:?}");
    drop(client);
    let log = stopped(served).await;
    assert!(log.contains("finished call"), "{log}");
    assert!(!log.contains("trace_id"), "{log}");
    let mut warnings = log.lines().filter(|line| line.contains("WARN"));
    assert!(warnings.all(|line| line.contains("authentication is off")), "{log}");
    assert!(collector.batches().is_empty());
}

#[tokio::test]
async fn a_panic_is_an_event_of_its_trace_and_no_text_for_the_caller() {
    let collector = Collector::start().await;
    let served = serve(&collector, &["--faults", "--drain-delay", "0"]).await;
    let ran = call(&served, &["-H", "x-fault=panic", "get-order", "--id", "x"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), "INTERNAL: internal error\n"));
    stopped(served).await;

    let (spans, events) = (collector.spans(), collector.events());
    let ([span], [event]) = (&spans[..], &events[..]) else { panic!("{spans:#?} {events:#?}") };
    assert_eq!(event.service, "orders");
    let (span, event) = (&span.told, &event.told);
    assert_eq!(event.event_name, "rpc.server.call.exception");
    assert_eq!(event.severity_number(), SeverityNumber::Error);
    assert_eq!((&event.trace_id, &event.span_id), (&span.trace_id, &span.span_id));
    assert_eq!(attribute(&event.attributes, "exception.type"), "panic");
    let message = attribute(&event.attributes, "exception.message");
    assert!(message.contains("asked to panic"), "{message}");
}

#[tokio::test]
async fn the_environment_names_the_service_and_chooses_the_calls() {
    let collector = Collector::start().await;
    let served = serve(&collector, &["--drain-delay", "0"]).await;
    for (variables, service) in [
        (&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop,a=b")][..], Some("shop")),
        (
            &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop"), ("OTEL_SERVICE_NAME", "till")],
            Some("till"),
        ),
        (&[("OTEL_SERVICE_NAME", "")], Some("orders-call")),
        (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")], Some("orders-call")),
        (&[("OTEL_TRACES_SAMPLER", "always_off")], None),
    ] {
        let before = collector.spans_of_callers().len();
        let mut command =
            orders(&["call", "-v", "--to", &served.url(), "--otlp", &collector.url()]);
        command.args(CREATE).envs(variables.iter().copied());
        let ran = Ran::from(soon(command.output()).await.unwrap());
        assert_eq!(ran.code, Some(0), "{variables:?}: {ran:?}");
        assert!(shown_trace(&ran).is_some(), "{ran:?}");
        let spans = collector.spans_of_callers().split_off(before);
        let services: Vec<_> = spans.iter().map(|span| span.service.as_str()).collect();
        assert_eq!(services, Vec::from_iter(service), "{variables:?}");
    }
    stopped(served).await;
    // A caller that is not sampled has no span on the server either.
    let at_server = collector.spans().iter().filter(|span| span.service == "orders").count();
    assert_eq!(at_server, 4);
}

#[tokio::test]
async fn what_makes_no_sense_in_the_environment_is_told() {
    let collector = Collector::start().await;
    let served = serve(&collector, &["--drain-delay", "0"]).await;
    let mut command = orders(&["call", "--to", &served.url(), "--otlp", &collector.url()]);
    command.args(CREATE).env("OTEL_TRACES_SAMPLER", "sometimes");
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop");
    let ran = Ran::from(soon(command.output()).await.unwrap());
    assert_eq!((ran.code, ran.err.lines().count()), (Some(0), 1), "{ran:?}");
    assert!(ran.err.contains("WARN") && ran.err.contains("OTEL_TRACES_SAMPLER"), "{}", ran.err);
    // Valid variables apply.
    assert_eq!(collector.batches()[0].get("x-tenant").unwrap(), "shop");
    stopped(served).await;
}
