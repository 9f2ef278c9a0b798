//! Lines of the layer's own need no subscriber, and cost no allocation.
//!
//! In its own process, without any subscriber. It also holds where `tracing` is compiled out:
//! `cargo test -p tonic-logging-layer --features json,tracing/max_level_off --test lines_without_a_subscriber`.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used)]

mod lines_common;

use std::io;

use http::{HeaderValue, Request, Response, Uri};
use lines_common::{LINES, without_timestamp};
use tonic::Status;
use tonic::body::Body;
use tonic_call::Side;
use tonic_call_test_kit::{SIDES, answers, methods, poll_once, run, stream, to};
use tonic_logging_layer::{Lines, LoggingLayer};
use tower::{Layer as _, Service, service_fn};
use tracing::Level;

fn layer(side: Side) -> LoggingLayer {
    match side {
        Side::Server => LoggingLayer::server(),
        Side::Client => LoggingLayer::client(),
    }
}

#[tokio::test]
async fn every_line_is_written() {
    LINES.take();
    for side in SIDES {
        for events in [None, Some(true), Some(false)] {
            let layer = layer(side)
                .methods(&methods())
                .lines(Lines::new(LINES).min_level(Level::TRACE))
                .starts(Level::ERROR)
                .messages(Level::TRACE);
            let layer = match events {
                Some(on) => layer.events(on),
                None => layer,
            };
            let answer = || Ok(stream(2, &Status::ok("")));
            run(layer.layer(answers(answer)), to("/test.v1.Kinds/ServerStream")).await;
            let lines = LINES.take();
            assert_eq!(lines.len(), 1 + 1 + 2 + 1, "{lines:#?}");
            let (first, last) = (without_timestamp(&lines[0]), without_timestamp(&lines[4]));
            assert!(first.starts_with(r#""level":"ERROR","message":"started call","#), "{first}");
            assert!(last.contains(r#""message":"finished call","#), "{last}");
            assert!(last.ends_with(",\"target\":\"tonic_logging_layer\"}\n"), "{last}");
        }
    }
}

/// A service that allocates nothing.
fn answers_at_once()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Status, Future: Send> + Clone {
    service_fn(|request: Request<Body>| async move {
        drop(request);
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
        Ok::<_, Status>(response)
    })
}

fn request() -> Request<Body> {
    let path = Uri::from_static("/test.v1.Kinds/Unary");
    let mut request = Request::post(path).body(Body::empty()).unwrap();
    for (name, value) in [
        ("grpc-timeout", "5S"),
        ("user-agent", "grpc-test/1.0"),
        ("x-request-id", "8f14e45f"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let remote_addr = Some(([192, 0, 2, 7], 51_234).into());
    let connected = tonic::transport::server::TcpConnectInfo { local_addr: None, remote_addr };
    request.extensions_mut().insert(connected);
    request
}

/// The number of allocations of a call, from its request to the drop of its response.
fn allocations(layer: &LoggingLayer) -> u64 {
    let mut service = layer.layer(answers_at_once());
    let mut of_one_call = || {
        let request = request();
        let info = allocation_counter::measure(|| {
            let mut response = std::pin::pin!(service.call(request));
            assert!(poll_once(response.as_mut()).is_ready());
        });
        info.count_total
    };
    of_one_call(); // this thread's buffer, and what is known of the method
    of_one_call()
}

#[test]
fn a_line_adds_no_allocation_to_a_call_that_is_watched() {
    for side in SIDES {
        let layer = layer(side).methods(&methods()).handler_span(false);
        let watched = allocations(&layer.clone().on_finished(|_| {}));
        let lines = Lines::new(io::sink).min_level(Level::TRACE);
        assert_eq!(allocations(&layer.lines(lines.clone())), watched);
        assert_eq!(lines.dropped(), 0);
    }
}
