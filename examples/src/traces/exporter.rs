//! Exporters that log when delivery begins to fail, and when it works again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tonic::transport::Uri;

use super::queue::{NOT_DELIVERED, QueuedSpans, count_dropped};

/// Whether delivery works. Only a change is logged: a collector that is unreachable for an hour is one log line,
/// not one per batch.
#[derive(Debug)]
pub(super) struct Delivery {
    /// What is delivered: `spans` or `events`.
    items: &'static str,
    collector: Uri,
    failing: AtomicBool,
}

impl Delivery {
    pub(super) fn new(items: &'static str, collector: &Uri) -> Self {
        Self { items, collector: collector.clone(), failing: AtomicBool::new(false) }
    }

    pub(super) fn failed(&self, error: &str) {
        let Self { items, collector, failing } = self;
        if !failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(error, "{items} cannot be delivered to {collector} and are lost");
        }
    }

    fn succeeded(&self) {
        let Self { items, collector, failing } = self;
        if failing.swap(false, Ordering::Relaxed) {
            tracing::info!("{items} are delivered to {collector} again");
        }
    }
}

/// An exporter whose failures are logged and counted.
#[derive(Debug)]
pub(super) struct ReportingExporter<E> {
    exporter: E,
    delivery: Arc<Delivery>,
    queued: QueuedSpans,
}

impl<E> ReportingExporter<E> {
    pub(super) fn new(exporter: E, delivery: Delivery) -> Self {
        Self { exporter, delivery: Arc::new(delivery), queued: QueuedSpans::default() }
    }

    /// The spans that it has not received yet.
    pub(super) fn queued(&self) -> QueuedSpans {
        self.queued.clone()
    }

    pub(super) fn delivery(&self) -> Arc<Delivery> {
        Arc::clone(&self.delivery)
    }

    /// Always `Ok`: the SDK would log the failure of each batch.
    fn report(&self, result: OTelSdkResult) -> OTelSdkResult {
        match result {
            Ok(()) => self.delivery.succeeded(),
            Err(OTelSdkError::InternalFailure(error)) => self.delivery.failed(&error),
            Err(error) => self.delivery.failed(&error.to_string()),
        }
        Ok(())
    }
}

impl<E: SpanExporter> SpanExporter for ReportingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.queued.remove(spans);
        let result = self.exporter.export(batch).await;
        if result.is_err() {
            count_dropped(NOT_DELIVERED, spans);
        }
        self.report(result)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for ReportingExporter<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.report(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
