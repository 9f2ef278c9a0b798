//! The queue of spans: how many wait, and how many are lost.

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

/// The default of OpenTelemetry's specification ("Batch Span Processor") and of the SDK.
const DEFAULT_SIZE: usize = 2_048;

/// The number of spans that have ended and that the exporter has not received yet.
#[derive(Clone, Debug, Default)]
pub(super) struct QueuedSpans(Arc<AtomicUsize>);

/// The SDK's batch processor, with a count of the spans that it drops.
///
/// The SDK logs once that it drops spans, and at shutdown how many, which cannot be monitored. So it gets no more
/// spans than its queue has room for, and the others are counted here.
#[derive(Debug)]
pub(super) struct SpanQueue {
    batches: BatchSpanProcessor,
    queued: QueuedSpans,
    size: usize,
}

/// The size of a queue, and the spans in it.
#[derive(Clone, Debug)]
pub(super) struct QueueDepth {
    queued: QueuedSpans,
    size: usize,
}

impl QueuedSpans {
    /// The exporter has received this many spans.
    pub(super) fn remove(&self, spans: usize) {
        let less = |queued: usize| Some(queued.saturating_sub(spans));
        _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// Adds a span, if there are fewer than `max`.
    fn try_add(&self, max: usize) -> bool {
        let more = |queued: usize| (queued < max).then_some(queued + 1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).is_ok()
    }
}

impl SpanQueue {
    /// The exporter must remove the spans that it receives from `queued`.
    pub(super) fn new(exporter: impl SpanExporter + 'static, queued: QueuedSpans) -> Self {
        let size = std::env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok();
        let size = size.and_then(|size| size.trim().parse().ok()).filter(|size| *size > 0);
        let size = size.unwrap_or(DEFAULT_SIZE);
        let config = BatchConfigBuilder::default().with_max_queue_size(size).build();
        let batches = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
        Self { batches, queued, size }
    }

    pub(super) fn depth(&self) -> QueueDepth {
        QueueDepth { queued: self.queued.clone(), size: self.size }
    }
}

impl QueueDepth {
    /// Sets the gauges at each scrape, until the returned value is dropped.
    pub(super) fn gauges(&self) -> Gauges {
        describe_counter!(
            DROPPED,
            "Spans that were lost because the queue was full or delivery failed."
        );
        describe_gauge!(WAITING, "Spans in the queue.");
        describe_gauge!(SIZE, "Maximum number of spans in the queue; further ones are dropped.");
        for reason in [QUEUE_FULL, NOT_DELIVERED] {
            count_dropped(reason, 0);
        }
        let Self { queued, size } = self.clone();
        at_each_scrape(move || {
            gauge!(WAITING).set(queued.0.load(Ordering::Relaxed) as f64);
            gauge!(SIZE).set(size as f64);
        })
    }
}

/// The queue was full: the collector is slower than the server.
const QUEUE_FULL: &str = "queue_full";

/// The collector refused the span, or is unreachable.
pub(super) const NOT_DELIVERED: &str = "not_delivered";

/// Counts lost spans.
pub(super) fn count_dropped(reason: &'static str, spans: usize) {
    counter!(DROPPED, "reason" => reason).increment(spans as u64);
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, span: &mut Span, context: &opentelemetry::Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queued.try_add(self.size) {
            self.batches.on_end(span);
        } else {
            count_dropped(QUEUE_FULL, 1);
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
