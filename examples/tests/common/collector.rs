//! An OTLP collector in this process.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Stores everything that it receives. Clones share it.
#[derive(Clone)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    refuses: Arc<AtomicBool>,
}

#[derive(Default)]
struct Received {
    spans: Vec<Told<Span>>,
    events: Vec<Told<LogRecord>>,
    /// The metadata of each batch of spans.
    batches: Vec<MetadataMap>,
    /// Number of refused batches.
    refused: usize,
}

/// An exported item, and the service that exported it.
#[derive(Clone, Debug)]
pub struct Told<T> {
    pub service: String,
    pub told: T,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let collector = Self { address, received: Arc::default(), refuses: Arc::default() };
        let router = Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(LogsServiceServer::new(collector.clone()));
        tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
        collector
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Refuses all batches, or accepts them again.
    pub fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }

    pub fn refused(&self) -> usize {
        self.received().refused
    }

    pub fn spans(&self) -> Vec<Told<Span>> {
        self.received().spans.clone()
    }

    /// The spans of clients, which export them before they exit; servers export on their own schedule.
    pub fn spans_of_callers(&self) -> Vec<Told<Span>> {
        self.spans().into_iter().filter(|span| span.service != "orders").collect()
    }

    pub fn events(&self) -> Vec<Told<LogRecord>> {
        self.received().events.clone()
    }

    pub fn batches(&self) -> Vec<MetadataMap> {
        self.received().batches.clone()
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().expect("unharmed")
    }

    fn take(&self) -> Result<MutexGuard<'_, Received>, Status> {
        let mut received = self.received();
        if self.refuses.load(Ordering::SeqCst) {
            received.refused += 1;
            // A code that exporters do not retry.
            return Err(Status::invalid_argument("refused"));
        }
        Ok(received)
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.take()?;
        received.batches.push(request.metadata().clone());
        for of_resource in request.into_inner().resource_spans {
            let service = service_name(of_resource.resource.as_ref());
            let spans = of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            received.spans.extend(spans.map(|told| Told { service: service.clone(), told }));
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut received = self.take()?;
        for of_resource in request.into_inner().resource_logs {
            let service = service_name(of_resource.resource.as_ref());
            let events = of_resource.scope_logs.into_iter().flat_map(|scope| scope.log_records);
            received.events.extend(events.map(|told| Told { service: service.clone(), told }));
        }
        Ok(Response::new(Default::default()))
    }
}

fn service_name(resource: Option<&Resource>) -> String {
    let attributes = resource.map(|resource| &resource.attributes[..]).unwrap_or_default();
    attribute(attributes, "service.name")
}

/// The attribute if it is a text; empty if it is missing.
pub fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.clone()) {
        Some(AnyValue { value: Some(any_value::Value::StringValue(text)) }) => text,
        _ => String::new(),
    }
}

/// The bytes as hexadecimal digits, as in logs.
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
