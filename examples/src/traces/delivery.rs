//! Whether what is exported arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tonic::transport::Uri;

use super::queue::{NOT_DELIVERED, Waiting, dropped};

/// What is known of it, and told when it changes: a collector that is away for an hour is one line of the
/// log, and not one for each batch.
#[derive(Debug)]
pub(super) struct Delivery {
    what: &'static str,
    to: Uri,
    fails: AtomicBool,
}

impl Delivery {
    pub(super) fn of(what: &'static str, to: &Uri) -> Self {
        Self { what, to: to.clone(), fails: AtomicBool::new(false) }
    }

    pub(super) fn failed(&self, why: &str) {
        let Self { what, to, fails } = self;
        if !fails.swap(true, Ordering::Relaxed) {
            tracing::warn!(error = why, "{what} cannot be delivered to {to}, and are lost");
        }
    }

    fn succeeded(&self) {
        let Self { what, to, fails } = self;
        if fails.swap(false, Ordering::Relaxed) {
            tracing::info!("{what} are delivered to {to} again");
        }
    }
}

/// An exporter whose failures are told.
#[derive(Debug)]
pub(super) struct Watched<E> {
    exporter: E,
    delivery: Arc<Delivery>,
    waiting: Waiting,
}

impl<E> Watched<E> {
    pub(super) fn new(exporter: E, delivery: Delivery) -> Self {
        Self { exporter, delivery: Arc::new(delivery), waiting: Waiting::default() }
    }

    /// What waits to be handed to it.
    pub(super) fn waiting(&self) -> Waiting {
        self.waiting.clone()
    }

    pub(super) fn delivery(&self) -> Arc<Delivery> {
        Arc::clone(&self.delivery)
    }

    /// The SDK is always told that all is well: it can do nothing about it, and would tell of each batch.
    fn exported(&self, result: OTelSdkResult) -> OTelSdkResult {
        match result {
            Ok(()) => self.delivery.succeeded(),
            Err(OTelSdkError::InternalFailure(why)) => self.delivery.failed(&why),
            Err(error) => self.delivery.failed(&error.to_string()),
        }
        Ok(())
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        self.waiting.handed_on(spans);
        let result = self.exporter.export(batch).await;
        if result.is_err() {
            dropped(NOT_DELIVERED, spans);
        }
        self.exported(result)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: LogExporter> LogExporter for Watched<E> {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        self.exported(self.exporter.export(batch).await)
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
