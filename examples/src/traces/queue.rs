//! How many spans wait to be sent, and how many are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor,
};

use crate::metrics::{Gauges, at_each_scrape};

const DROPPED: &str = "otel_spans_dropped_total";
const WAITING: &str = "otel_spans_waiting";
const SIZE: &str = "otel_spans_queue_size";

/// As the SDK has it, and OpenTelemetry's specification ("Batch Span Processor").
const DEFAULT_SIZE: usize = 2_048;

/// How many spans have ended and are not handed to the exporter yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting(Arc<AtomicUsize>);

/// The SDK's batch processor, with a queue whose losses are counted.
///
/// The SDK says once that it drops spans, and at its end how many: nobody can watch that. So no more spans are
/// given to it than its queue has room for, and those that are not are counted here.
#[derive(Debug)]
pub(super) struct Queue {
    batches: BatchSpanProcessor,
    waiting: Waiting,
    size: usize,
}

/// How full a queue is.
#[derive(Clone, Debug)]
pub(super) struct Depth {
    waiting: Waiting,
    size: usize,
}

impl Waiting {
    /// So many are handed to the exporter.
    pub(super) fn handed_on(&self, spans: usize) {
        let less = |waiting: usize| Some(waiting.saturating_sub(spans));
        _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    fn one_more(&self, at_most: usize) -> bool {
        let more = |waiting: usize| (waiting < at_most).then_some(waiting + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }
}

impl Queue {
    /// The exporter reports to `waiting` what is handed to it.
    pub(super) fn to(exporter: impl SpanExporter + 'static, waiting: Waiting) -> Self {
        let size = std::env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok();
        let size = size.and_then(|size| size.trim().parse().ok()).filter(|size| *size > 0);
        let size = size.unwrap_or(DEFAULT_SIZE);
        let config = BatchConfigBuilder::default().with_max_queue_size(size).build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Self { batches, waiting, size }
    }

    /// How full it is.
    pub(super) fn depth(&self) -> Depth {
        Depth { waiting: self.waiting.clone(), size: self.size }
    }
}

impl Depth {
    /// Shows it at each scrape.
    pub(super) fn gauges(&self) -> Gauges {
        describe_counter!(DROPPED, "Spans that were lost: no room in the queue, or not delivered.");
        describe_gauge!(WAITING, "Spans that wait to be sent.");
        describe_gauge!(SIZE, "How many spans can wait: further ones are dropped.");
        for reason in [QUEUE_FULL, NOT_DELIVERED] {
            dropped(reason, 0);
        }
        let Self { waiting, size } = self.clone();
        at_each_scrape(move || {
            gauge!(WAITING).set(waiting.0.load(Ordering::Relaxed) as f64);
            gauge!(SIZE).set(size as f64);
        })
    }
}

/// There was no room for it in the queue: the collector is slower than calls end.
const QUEUE_FULL: &str = "queue_full";

/// The collector did not take it, or is away.
pub(super) const NOT_DELIVERED: &str = "not_delivered";

/// Counts spans that are lost.
pub(super) fn dropped(reason: &'static str, spans: usize) {
    counter!(DROPPED, "reason" => reason).increment(spans as u64);
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.one_more(self.size) {
            self.batches.on_end(span);
        } else {
            dropped(QUEUE_FULL, 1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}
