//! Ten thousand streams at once, half of them dropped: each has one line on each side.
//!
//! In its own process: its subscriber only counts.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic_call_test_kit::v1::Act;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, ask, listen};
use tonic_logging_layer::LoggingLayer;
use tower::Layer as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};

const STREAMS: usize = 10_000;

/// The window holds everything that all streams send before it is read: h2 closes a connection with more small
/// frames than fit into its window.
const WINDOW: u32 = 1 << 24;

/// The parts of a line that are counted: side, code, what ended the call, response messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    side: String,
    code: String,
    by: String,
    messages: u64,
}

impl Visit for Line {
    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "grpc.response.messages" {
            self.messages = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "grpc.component" => self.side = value.to_owned(),
            "rpc.response.status_code" => self.code = value.to_owned(),
            "grpc.ended_by" => self.by = value.to_owned(),
            _ => {}
        }
    }
}

#[derive(Clone)]
struct Count {
    lines: Arc<Mutex<BTreeMap<Line, usize>>>,
    all: Arc<watch::Sender<usize>>,
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Count {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "tonic_logging_layer" {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        *self.lines.lock().unwrap().entry(line).or_default() += 1;
        self.all.send_modify(|all| *all += 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_half_of_which_are_dropped_add_up() {
    let count = Count { lines: Arc::default(), all: Arc::new(watch::Sender::new(0)) };
    let subscriber = tracing_subscriber::registry().with(count.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let service = KindsService::default();
    let (incoming, endpoint) = listen();
    tokio::spawn(
        Server::builder()
            .initial_connection_window_size(WINDOW)
            .max_concurrent_streams(STREAMS as u32)
            .http2_max_pending_accept_reset_streams(Some(STREAMS))
            .layer(LoggingLayer::server())
            .add_service(KindsServer::new(service.clone()))
            .serve_with_incoming(incoming),
    );
    let channel = endpoint.initial_connection_window_size(WINDOW).connect().await.unwrap();
    let kinds = KindsClient::new(LoggingLayer::client().layer(channel));

    // All streams are open at the same time before any of them ends.
    let open = Arc::new(Barrier::new(STREAMS));
    let mut streams = JoinSet::new();
    for number in 0..STREAMS {
        let (mut kinds, open) = (kinds.clone(), Arc::clone(&open));
        streams.spawn(async move {
            let is_dropped = number % 2 == 0;
            // A stream that hangs ends when it is dropped.
            let act = if is_dropped { Act::Hang } else { Act::Unspecified };
            let mut notes = kinds.server_stream(ask(act, 2)).await.unwrap().into_inner();
            notes.message().await.unwrap().unwrap();
            open.wait().await;
            if !is_dropped {
                notes.message().await.unwrap().unwrap();
                assert!(notes.message().await.unwrap().is_none());
            }
        });
    }
    while let Some(stream) = streams.join_next().await {
        stream.unwrap();
    }
    service.until_alive(0).await;
    // A long timeout: a missing line fails the test instead of hanging it.
    let mut all = count.all.subscribe();
    let all =
        tokio::time::timeout(Duration::from_secs(120), all.wait_for(|all| *all >= 2 * STREAMS));
    assert!(all.await.is_ok(), "{:#?}", count.lines.lock().unwrap());

    let lines = count.lines.lock().unwrap().clone();
    for side in ["server", "client"] {
        let of = |code: &str, by: &str| -> usize {
            let those = lines
                .iter()
                .filter(|(line, _)| line.side == side && line.code == code && line.by == by);
            those.map(|(_, count)| count).sum()
        };
        assert_eq!(of("OK", "service"), STREAMS / 2, "{side}: {lines:#?}");
        assert_eq!(of("CANCELLED", "caller"), STREAMS / 2, "{side}: {lines:#?}");
    }
    assert_eq!(lines.values().sum::<usize>(), 2 * STREAMS, "{lines:#?}");
    assert!(lines.keys().all(|line| line.code == "CANCELLED" || line.messages == 2), "{lines:#?}");
}
