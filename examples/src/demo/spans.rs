//! A receiver of spans: OTLP over gRPC, as an OpenTelemetry collector has it.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

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
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Server, Uri};
use tonic::{Request, Response, Status};

/// Much longer than spans take that come at all.
const LIMIT: Duration = Duration::from_secs(10);

/// A port that the receiver will serve.
#[derive(Debug)]
pub struct SpanReceiver {
    listener: TcpListener,
    url: Uri,
}

/// The spans that have been received. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Spans(Arc<watch::Sender<Vec<Received>>>);

/// A span, and the service that it is of.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) service: String,
    pub(super) span: Span,
}

impl SpanReceiver {
    /// Listens on a free port. Connections wait until the demo serves them.
    pub fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let url = format!("http://{}", listener.local_addr()?);
        Ok(Self { listener, url: url.parse().map_err(io::Error::other)? })
    }

    /// The endpoint of exporters.
    pub fn url(&self) -> &Uri {
        &self.url
    }

    /// Receives spans until the runtime ends.
    pub(super) fn serve(self) -> io::Result<Spans> {
        let spans = Spans::default();
        let incoming = TcpIncoming::from(tokio::net::TcpListener::from_std(self.listener)?);
        let server = Server::builder()
            .add_service(TraceServiceServer::new(spans.clone()))
            .add_service(LogsServiceServer::new(spans.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        Ok(spans)
    }
}

impl Spans {
    /// Waits until there are as many spans of this trace.
    pub(super) async fn of_trace(&self, id: &str, number: usize) -> Result<Vec<Received>, String> {
        let mut spans = self.0.subscribe();
        let of_trace = |spans: &[Received]| {
            let spans = spans.iter().filter(|received| hex(&received.span.trace_id) == id);
            spans.cloned().collect::<Vec<_>>()
        };
        // The sender lives as long as `self`.
        _ = timeout(LIMIT, spans.wait_for(|spans| of_trace(spans).len() >= number)).await;
        let found = of_trace(&spans.borrow());
        if found.len() < number {
            let found = found.len();
            return Err(format!("{found} of {number} spans have arrived after {LIMIT:?}"));
        }
        Ok(found)
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut new = Vec::new();
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes);
            let service = attribute(&attributes.unwrap_or_default(), "service.name");
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            new.extend(spans.map(|span| Received { service: service.clone(), span }));
        }
        self.0.send_modify(|spans| spans.extend(new));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Servers also send an event of each panic, which their log has, too.
#[tonic::async_trait]
impl LogsService for Spans {
    async fn export(
        &self,
        _: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// The attribute if it is a text; otherwise an empty one.
pub(super) fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

/// As trace ids are printed.
fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
