//! Over a real socket: tracing, metrics and logging in one pass make the same span, the same series and the same
//! lines as a layer each.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../metrics-layer/tests/readings/mod.rs"]
mod readings;

use std::time::Duration;

use opentelemetry_sdk::trace::SpanData;
use tonic::Request;
use tonic::transport::{Channel, Server};
use tonic_call::{Methods, ObserveLayer, PassError};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    FILE_DESCRIPTOR_SET, KINDS, KindsService, Lines, ask, call, listen, silence_panics,
};
use tonic_logging_layer::{Logging, LoggingLayer};
use tonic_metrics_layer::{Metrics, MetricsLayer};
use tonic_recovery_layer::RecoveryLayer;
use tonic_tracing_layer::{Tracing, TracingLayer, observe};

use self::common::Traces;
use self::readings::Readings;

/// How the three layers are placed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Placed {
    Stacked,
    InOnePass,
}

/// Which layers get the methods.
#[derive(Clone, Copy, Debug)]
enum Given {
    All,
    Metrics,
    Nothing,
}

/// What the layers make of calls, without what differs from call to call.
#[derive(Debug, PartialEq)]
struct Seen {
    spans: Vec<String>,
    series: Vec<(String, f64)>,
    lines: Vec<String>,
}

/// A server with the three layers.
struct Watched {
    traces: Traces,
    readings: Readings,
    service: KindsService,
    channel: Channel,
}

type OnePass = ObserveLayer<(Tracing, (Metrics, Logging))>;

fn one_pass(
    tracing: TracingLayer,
    metrics: MetricsLayer,
    logging: LoggingLayer,
) -> Result<OnePass, PassError> {
    observe![tracing, metrics, logging]
}

impl Watched {
    async fn start(placed: Placed, given: Given) -> Self {
        let (traces, readings) = (Traces::new(), Readings::new());
        let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
        let tracing = traces.server();
        let metrics = MetricsLayer::server().with_recorder(readings.clone());
        let logging = LoggingLayer::server().messages(tracing::Level::INFO);
        let (tracing, metrics, logging) = match given {
            Given::Nothing => (tracing, metrics, logging),
            Given::Metrics => (tracing, metrics.methods(&methods), logging),
            Given::All => {
                (tracing.methods(&methods), metrics.methods(&methods), logging.methods(&methods))
            }
        };
        let service = KindsService::default();
        let kinds = KindsServer::new(service.clone());
        let (incoming, endpoint) = listen();
        match placed {
            Placed::Stacked => {
                let server = Server::builder().layer(tracing).layer(metrics).layer(logging);
                let mut server = server.layer(RecoveryLayer::server());
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
            Placed::InOnePass => {
                let server = Server::builder().layer(one_pass(tracing, metrics, logging).unwrap());
                let mut server = server.layer(RecoveryLayer::server());
                tokio::spawn(server.add_service(kinds).serve_with_incoming(incoming));
            }
        }
        Self { traces, readings, service, channel: endpoint.connect().await.unwrap() }
    }

    /// Calls of every kind that end well, fail and panic; a stream that its caller cancels; an unknown method.
    async fn make_calls(&self) {
        let mut kinds = KindsClient::new(self.channel.clone());
        let mut ended = 0;
        for kind in KINDS {
            for act in [Act::Unspecified, Act::Fail, Act::Panic, Act::PanicInHandler] {
                let ask = Ask { code: 5, ..ask(act, 3) };
                call(&mut kinds, kind, ask, &[("traceparent", common::TRACEPARENT)]).await;
                ended += 1;
                self.traces.until_ended(ended).await;
            }
        }
        let mut notes = kinds.server_stream(traced(ask(Act::Hang, 1))).await.unwrap().into_inner();
        notes.message().await.unwrap().unwrap();
        drop(notes);
        self.traces.until_ended(ended + 1).await;
        self.service.until_alive(0).await;

        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready().await.unwrap();
        let path = http::uri::PathAndQuery::from_static("/test.v1.Kinds/Unnary");
        let codec = tonic_prost::ProstCodec::<Ask, Ask>::default();
        grpc.unary(traced(Ask::default()), path, codec).await.unwrap_err();
        self.traces.until_ended(ended + 2).await;
    }
}

/// A request of a caller that has a trace.
fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", common::TRACEPARENT.parse().unwrap());
    request
}

/// The line of a call, with its span, without what differs from call to call.
fn line(line: &str, spans: &[SpanData]) -> Option<String> {
    let (_, line) = line.split_once("tonic_logging_layer: ")?;
    let id = line.split_once("span_id=").map(|(_, rest)| rest.trim_matches('"'));
    let id = id.map(|rest| rest.split([' ', '"']).next().unwrap_or_default().to_owned());
    let at = spans.iter().position(|span| Some(common::span_id(span)) == id);
    let differs = ["duration_ms=", "span_id=", "network.peer.port="];
    let words =
        line.split(' ').map(|word| match differs.iter().find(|key| word.starts_with(**key)) {
            Some(key) => key,
            None => word,
        });
    // A failure that shows these words would not be printed: see `silence_panics`.
    let line = words.collect::<Vec<_>>().join(" ").replace("on purpose", "…");
    Some(format!("of span {at:?}: {line}"))
}

fn span(span: &SpanData) -> String {
    let mut attributes = common::attributes(span);
    attributes.retain(|key, _| !key.ends_with(".port"));
    let (parent, status, kind) = (span.parent_span_id, &span.status, &span.span_kind);
    format!("{} {kind:?} in {parent} {status:?} {attributes:?}", span.name)
}

async fn seen(placed: Placed, given: Given) -> Seen {
    let lines = Lines::default();
    let collecting = lines.collect();
    let watched = Watched::start(placed, given).await;
    watched.make_calls().await;
    drop(collecting);
    let ended = watched.traces.spans();
    Seen {
        spans: ended.iter().map(span).collect(),
        series: watched.readings.moved(),
        lines: lines.text().lines().filter_map(|text| line(text, &ended)).collect(),
    }
}

#[tokio::test]
async fn one_pass_shows_what_three_layers_show() {
    silence_panics();
    for given in [Given::All, Given::Metrics, Given::Nothing] {
        let together = seen(Placed::InOnePass, given).await;
        assert_eq!(together.spans.len(), 18, "{given:?}");
        let finished = together.lines.iter().filter(|line| line.contains("finished call"));
        assert_eq!(finished.filter(|line| line.starts_with("of span Some")).count(), 18);
        let stacked = seen(Placed::Stacked, given).await;
        if let Given::Metrics = given {
            // In one pass, the two other layers know the methods, too.
            assert_eq!(together.series, stacked.series);
            let described = seen(Placed::InOnePass, Given::All).await;
            assert_eq!(together, described);
        } else {
            assert_eq!(together.spans, stacked.spans, "{given:?}");
            assert_eq!(together.series, stacked.series, "{given:?}");
            assert_eq!(together.lines, stacked.lines, "{given:?}");
        }
    }
}

#[test]
fn the_error_names_the_layers_of_two_sides() {
    let error = observe![TracingLayer::server(), MetricsLayer::client()].unwrap_err();
    assert_eq!(
        error.to_string(),
        "`TracingLayer::server()` and `MetricsLayer::client()` can't watch the same calls: make all layers of one \
         pass for the same side"
    );
    let error = observe![TracingLayer::client("orders"), LoggingLayer::server()].unwrap_err();
    assert_eq!(error, PassError::Sides { server: "LoggingLayer", client: "TracingLayer" });
}

#[test]
fn the_server_timeouts_of_the_layers_must_agree() {
    let [short, long] = [5, 10].map(Duration::from_secs);
    let error = observe![
        TracingLayer::server().server_timeout(short),
        MetricsLayer::server(),
        LoggingLayer::server().server_timeout(long),
    ];
    assert_eq!(error.unwrap_err(), PassError::ServerTimeouts(short, long));
}
