//! Several outputs, each with its own filter: each gets its lines once.
//!
//! In its own process, because `tracing` caches interest for all threads.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{TARGET, call, stream, to};
use tonic::Status;
use tonic_logging_layer::LoggingLayer;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets, dynamic_filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Layer};

/// An output that records the levels of the lines it receives.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Output {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == TARGET {
            self.0.lock().unwrap().push(event.metadata().level().to_string());
        }
    }
}

impl Output {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tokio::test]
async fn outputs_with_filters_of_their_own_get_what_is_theirs() {
    let outputs: [Output; 5] = Default::default();
    let [all, errors, without_spans, dynamic, none] = outputs.clone();
    // The layer may be built before the subscriber is installed.
    let layer = LoggingLayer::server().handler_span(true);
    let subscriber = tracing_subscriber::registry()
        .with(all)
        .with(errors.with_filter(LevelFilter::ERROR))
        .with(without_spans.with_filter(EnvFilter::new("info,tonic_logging_layer::handler=off")))
        .with(dynamic.with_filter(dynamic_filter_fn(|metadata, _| {
            metadata.level() <= &tracing::Level::WARN
        })))
        .with(none.with_filter(Targets::new().with_target("elsewhere", LevelFilter::TRACE)));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    for _ in 0..2 {
        for (status, level, heard_by) in [
            (Status::ok(""), "INFO", [true, false, true, false, false]),
            (Status::internal(""), "ERROR", [true, true, true, true, false]),
            (Status::unavailable(""), "WARN", [true, false, true, true, false]),
        ] {
            call(&layer, to("/a.B/C"), move || Ok(stream(1, &status))).await;
            for (output, heard) in outputs.iter().zip(heard_by) {
                let lines = if heard { vec![level.to_owned()] } else { vec![] };
                assert_eq!(output.take(), lines);
            }
        }
    }
}
