//! The log line, the metric, the span and the caller agree on each call, wherever it is when its deadline passes.
//! `-- --nocapture` prints the table.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../logging/tests/common/mod.rs"]
mod lines;
#[path = "../../metrics-layer/tests/readings/mod.rs"]
mod readings;
#[path = "../../tracing-layer/tests/common/mod.rs"]
mod traces;

use std::net::SocketAddr;
use std::sync::Once;

use common::{Cell, Expires, hold, serve};
use lines::{Capture, Lines, Seen};
use opentelemetry_sdk::trace::SpanData;
use readings::{GO_CODES, Readings};
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic_call::{BoxChannel, EndedBy, ObserveLayer, Side, code_name};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::{KindsService, Recorder, methods};
use tonic_deadline_layer::DeadlineLayer;
use tonic_metrics_layer::MetricsLayer;
use tower::util::MapFutureLayer;
use tower::{Service, ServiceBuilder};
use traces::Traces;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What records the calls of one side.
struct Records {
    readings: Readings,
    traces: Traces,
    /// Tells when the call is over.
    inside: Recorder,
}

impl Records {
    fn new() -> Self {
        let (readings, traces, inside) = (Readings::new(), Traces::new(), Recorder::new());
        Self { readings, traces, inside }
    }

    fn metrics(&self, side: Side) -> MetricsLayer {
        let layer = match side {
            Side::Server => MetricsLayer::server(),
            Side::Client => MetricsLayer::client(),
        };
        layer.methods(&methods()).with_recorder(self.readings.clone())
    }

    /// Starts a server with these, and the deadline layer inside.
    fn serve(&self, cell: Cell, service: KindsService) -> (SocketAddr, JoinHandle<()>) {
        let holds_heads = cell.holds_head();
        let layers = ServiceBuilder::new()
            .layer(self.traces.described(Side::Server))
            .layer(self.metrics(Side::Server))
            .layer(lines::described(Side::Server))
            .layer(DeadlineLayer::server())
            .layer(ObserveLayer::server(self.inside.clone()))
            .layer(MapFutureLayer::new(
                move |response: <Routes as Service<http::Request<Body>>>::Future| {
                    hold(response, holds_heads)
                },
            ));
        serve(layers, service)
    }

    fn client(&self, channel: Channel) -> KindsClient<BoxChannel> {
        let channel = ServiceBuilder::new()
            .layer(self.traces.described(Side::Client))
            .layer(self.metrics(Side::Client))
            .layer(lines::described(Side::Client))
            .layer(DeadlineLayer::client(None))
            .layer(ObserveLayer::client(self.inside.clone()))
            .service(channel);
        KindsClient::new(BoxChannel::new(channel))
    }

    /// Checks that the line, the span and the metric are those of a call that ended so. Returns them as a row.
    #[track_caller]
    fn assert_all(
        &self,
        line: &Seen,
        span: &SpanData,
        (code, by): (Code, EndedBy),
        cell: Cell,
    ) -> String {
        let ended_by = match by {
            EndedBy::Deadline => "deadline",
            EndedBy::Caller => "caller",
            _ => "service",
        };
        assert_eq!(line.ending(), (code_name(code), ended_by), "{cell:?} {line:#?}");
        assert_eq!(traces::code(span), code_name(code), "{cell:?}");
        let handled = format!("grpc_{}_handled_total", line.side());
        let with_code = format!("grpc_code=\"{}\"", GO_CODES[code as usize]);
        assert_eq!(self.readings.sum(&handled, ""), 1.0, "{cell:?}");
        assert_eq!(self.readings.sum(&handled, &with_code), 1.0, "{cell:?}");
        let in_flight = format!("grpc_{}_in_flight", line.side());
        assert_eq!(self.readings.sum(&in_flight, ""), 0.0, "{cell:?}");
        format!(
            " {}, {} | {} | {} |",
            line.code(),
            line.ended_by(),
            GO_CODES[code as usize],
            traces::code(span)
        )
    }
}

/// Records the lines of calls on this thread, and nothing of HTTP: that takes longer than the calls.
fn listen() -> Lines {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let lines_of_calls = Targets::new().with_target(lines::TARGET, LevelFilter::TRACE);
        tracing_subscriber::registry().with(Capture.with_filter(lines_of_calls)).init();
    });
    Lines::of_this_thread()
}

#[expect(clippy::print_stdout, reason = "the table is for readers")]
fn print(title: &str, header: &str, rows: &[String]) {
    let rule = "---|".repeat(header.matches('|').count() - 1);
    println!("\n{title}\n\n{header}\n|{rule}\n{}", rows.join("\n"));
}

// Lines are recorded on the thread that writes them: everything runs on this one.
#[tokio::test]
async fn what_a_server_records_is_what_its_caller_gets() {
    let lines = listen();
    let mut rows = Vec::new();
    for cell in Cell::all() {
        let (server, service) = (Records::new(), KindsService::default());
        let (address, task) = server.serve(cell, service.clone());
        let answer = cell.call_raw(address, server.inside.until_ended(1)).await;
        service.until_alive(0).await;
        assert_eq!(answer.code, cell.ending().0, "{cell:?}");
        lines.until_finished(1).await;
        let line = lines.take_only();
        let span = server.traces.until_ended(1).await.remove(0);
        let seen = server.assert_all(&line, &span, cell.ending(), cell);
        rows.push(format!("| {} | {:?} |{seen} {:?} |", cell.kind, cell.expires, answer.code));
        task.abort();
    }
    let header = "| kind | expires | log | metric | span | caller |";
    print("A server, and its caller without a timer", header, &rows);
}

#[tokio::test]
async fn what_both_sides_record_is_what_the_caller_gets() {
    let lines = listen();
    let mut rows = Vec::new();
    for cell in Cell::all() {
        rows.push(call_until_both_expire(&lines, cell).await);
    }
    let header =
        "| kind | expires | server's log | metric | span | client's log | metric | span | caller |";
    print("Both sides", header, &rows);
}

/// Makes the call of a cell, again if the client's reset has overtaken the server's clock.
async fn call_until_both_expire(lines: &Lines, cell: Cell) -> String {
    for _ in 0..20 {
        let (server, client, service) = (Records::new(), Records::new(), KindsService::default());
        let (address, task) = server.serve(cell, service.clone());
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let endpoint = endpoint.initial_stream_window_size(cell.window());
        let mut kinds = client.client(endpoint.connect().await.unwrap());
        let outcome = cell.call(&mut kinds, true, client.inside.until_ended(1)).await;
        service.until_alive(0).await;
        assert_eq!(outcome.code, cell.ending().0, "{cell:?}");

        lines.until_finished(2).await;
        let mut all = lines.take();
        all.retain(|line| line.target == lines::TARGET);
        all.sort_by_key(|line| line.side() == "client");
        let [server_line, client_line] = <[Seen; 2]>::try_from(all).unwrap();
        let server_span = server.traces.until_ended(1).await.remove(0);
        let client_span = client.traces.until_ended(1).await.remove(0);
        task.abort();

        let client_row = client.assert_all(&client_line, &client_span, cell.ending(), cell);
        let inside = server.inside.only();
        let is_early = inside.by == EndedBy::Caller && inside.took < cell.timeout();
        let ending = if is_early { (Code::Cancelled, EndedBy::Caller) } else { cell.ending() };
        let server_row = server.assert_all(&server_line, &server_span, ending, cell);
        if !is_early {
            let (kind, expires): (_, Expires) = (cell.kind, cell.expires);
            return format!(
                "| {kind} | {expires:?} |{server_row}{client_row} {:?} |",
                outcome.code
            );
        }
    }
    panic!("{cell:?}: the server never got as far as its deadline");
}
