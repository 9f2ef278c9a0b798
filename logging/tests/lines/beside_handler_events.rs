//! Without the handler span, the events of a handler have the call's fields from a thread-local.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use serde_json::{Value, json};
use tonic::Status;
use tonic::body::Body;
use tonic_call::{Side, TraceIds};
use tonic_call_test_kit::{SIDES, Script, run, to, with};
use tonic_logging_layer::LoggingLayer;
use tower::{Layer as _, service_fn};
use tracing::info;

use crate::lines_common::{EVENTS, LINES, listen};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

fn layer(side: Side) -> LoggingLayer {
    let layer = match side {
        Side::Server => LoggingLayer::server(),
        Side::Client => LoggingLayer::client(),
    };
    layer.lines(LINES).handler_span(false)
}

fn request() -> Request<Script> {
    let headers = [("x-request-id", "8f\"4e"), ("traceparent", TRACEPARENT)];
    with(to("/test.v1.Kinds/ServerStream"), &headers)
}

/// The message and the entry `call` of each event.
fn entries() -> Vec<(String, Value)> {
    let events = EVENTS.take();
    let parsed = events.iter().map(|line| serde_json::from_str::<Value>(line).expect(line));
    parsed
        .map(|event| (event["message"].as_str().unwrap().to_owned(), event["call"].clone()))
        .collect()
}

fn full() -> Value {
    json!({
        "rpc.method": "test.v1.Kinds/ServerStream",
        "request_id": "8f\"4e",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    })
}

/// Emits an event when it is polled and when it is dropped.
struct Speaks;

impl http_body::Body for Speaks {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        info!("polled");
        Poll::Ready(None)
    }
}

impl Drop for Speaks {
    fn drop(&mut self) {
        info!("dropped");
    }
}

async fn speaks(_: Request<Body>) -> Result<Response<Speaks>, Status> {
    info!("called");
    tokio::task::yield_now().await;
    info!("answering");
    Ok(Response::new(Speaks))
}

#[tokio::test]
async fn events_of_a_handler_and_its_stream_have_the_fields_of_the_call() {
    listen();
    run(layer(Side::Server).layer(service_fn(speaks)), request()).await;
    info!("after the call");
    let all = ["called", "answering", "polled", "dropped"].map(|text| (text.to_owned(), full()));
    let after = ("after the call".to_owned(), Value::Null);
    assert_eq!(entries(), [&all[..], &[after]].concat());
    assert_eq!(LINES.take().len(), 1);
}

#[tokio::test]
async fn what_a_call_does_not_have_is_left_out() {
    listen();
    run(layer(Side::Server).layer(service_fn(speaks)), to("/a\u{85}.B/C")).await;
    let call = json!({ "rpc.method": r"a\u{85}.B/C" });
    assert!(entries().iter().all(|(_, entry)| *entry == call));
}

#[tokio::test]
async fn an_entry_does_not_follow_into_a_spawned_task_or_thread() {
    listen();
    let spawns = service_fn(|_: Request<Body>| async {
        tokio::spawn(async { info!("in a task") }).await.unwrap();
        info!("in the handler");
        Ok::<_, Status>(Response::new(Script::new()))
    });
    run(layer(Side::Server).layer(spawns), request()).await;
    let expected = [("in a task".to_owned(), Value::Null), ("in the handler".to_owned(), full())];
    assert_eq!(entries(), expected);
}

#[tokio::test]
async fn there_is_no_entry_with_a_span_on_a_client_or_for_a_quiet_call() {
    listen();
    let with_span = layer(Side::Server).handler_span(true);
    run(with_span.layer(service_fn(speaks)), request()).await;
    run(layer(Side::Client).layer(service_fn(speaks)), request()).await;
    let health = to("/grpc.health.v1.Health/Check");
    run(layer(Side::Server).layer(service_fn(speaks)), health).await;
    let entries = entries();
    assert_eq!(entries.len(), 12);
    assert!(entries.iter().all(|(_, entry)| entry.is_null()), "{entries:?}");
}

#[tokio::test]
async fn root_events_have_no_entry() {
    listen();
    let emits = service_fn(|_: Request<Body>| async {
        info!(parent: None, "of no call");
        Ok::<_, Status>(Response::new(Script::new()))
    });
    run(layer(Side::Server).layer(emits), request()).await;
    assert_eq!(entries(), [("of no call".to_owned(), Value::Null)]);
}

#[tokio::test]
async fn an_inner_call_has_its_own_entry() {
    listen();
    let outer = service_fn(|_: Request<Body>| async {
        info!("before");
        let inner = service_fn(async |_: Request<Body>| {
            info!("inside");
            Ok::<_, Status>(Response::new(Script::new()))
        });
        run(layer(Side::Server).layer(inner), to("/a.B/Inner")).await;
        run(layer(Side::Client).layer(inner), to("/a.B/Of")).await;
        info!("after");
        Ok::<_, Status>(Response::new(Script::new()))
    });
    run(layer(Side::Server).layer(outer), request()).await;
    let inner = json!({ "rpc.method": "a.B/Inner" });
    let expected = [("before", full()), ("inside", inner), ("inside", full()), ("after", full())];
    assert_eq!(entries(), expected.map(|(text, entry)| (text.to_owned(), entry)));
}

#[tokio::test]
async fn the_trace_is_that_of_a_tracing_layer() {
    listen();
    for side in SIDES {
        let mut request = request();
        let info = tonic_call::CallInfo::get_or_insert(side, request.extensions_mut());
        info.set_trace(TraceIds::new(0xab, 1).unwrap());
        run(layer(side).layer(service_fn(speaks)), request).await;
    }
    let mut call = full();
    call["trace_id"] = json!("000000000000000000000000000000ab");
    let entries = entries();
    assert!(entries[..4].iter().all(|(_, entry)| *entry == call), "{entries:?}");
}
