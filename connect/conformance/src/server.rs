//! The server: every layer of this workspace, in the order that the README recommends.

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::transport::server::TcpIncoming;
use tonic_auth_layer::{Access, AuthLayer, Outcome, authenticate_fn};
use tonic_call::Methods;
use tonic_connect_layer::ConnectLayer;
use tonic_deadline_layer::DeadlineLayer;
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_metrics_layer::exporter::Prometheus;
use tonic_ratelimit_layer::{Quota, RateLimitLayer};
use tonic_recovery_layer::RecoveryLayer;
use tonic_tracing_layer::TracingLayer;
use tonic_web::GrpcWebLayer;
use tower::util::MapResponseLayer;
use tracing::Level;

use crate::proto::conformance_service_server::ConformanceServiceServer;
use crate::proto::{FILE_DESCRIPTOR_SET, ServerCompatRequest, ServerCompatResponse};
use crate::service::Conformance;
use crate::tls::Tls;
use crate::trailers;

/// More than the tests need, so that the limit counts and refuses nothing.
const CALLS_PER_SECOND: u32 = 1_000_000;

/// Longer than any test.
const LONGEST_CALL: Duration = Duration::from_secs(60);

/// A server that listens, and does not serve yet.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    tls: Option<Tls>,
    message_receive_limit: Option<usize>,
}

impl Server {
    /// Listens on a free port of loopback.
    pub(crate) fn bind(request: &ServerCompatRequest) -> Result<Self, Box<dyn Error>> {
        let limit = usize::try_from(request.message_receive_limit)?;
        Ok(Self {
            listener: TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?,
            tls: Tls::of(request)?,
            message_receive_limit: (limit > 0).then_some(limit),
        })
    }

    /// Where clients find the server. Connections that come before it serves wait.
    pub(crate) fn response(&self) -> Result<ServerCompatResponse, Box<dyn Error>> {
        let address = self.listener.local_addr()?;
        Ok(ServerCompatResponse {
            host: address.ip().to_string(),
            port: address.port().into(),
            pem_cert: self.tls.as_ref().map(|tls| tls.certificate.clone()).unwrap_or_default(),
        })
    }

    /// Serves until the process ends.
    pub(crate) async fn serve(self) -> Result<(), Box<dyn Error>> {
        let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?;
        let spans = SdkTracerProvider::builder().build();
        let (recorder, _scrape) = Prometheus::new().build()?;
        let everyone = AuthLayer::new(authenticate_fn(|_| Outcome::Absent));
        let mut service = ConformanceServiceServer::new(Conformance)
            .accept_compressed(Gzip)
            .send_compressed(Gzip);
        // Small messages are compressed, so that compression is tested.
        let mut connect = ConnectLayer::new(FILE_DESCRIPTOR_SET)?.compress_from(0);
        if let Some(limit) = self.message_receive_limit {
            service = service.max_decoding_message_size(limit);
            connect = connect.max_received_bytes(limit).max_decompressed_bytes(limit);
        }
        let router = tonic::transport::Server::builder()
            .accept_http1(true)
            .layer(connect)
            .layer(GrpcWebLayer::new())
            .layer(TracingLayer::server().methods(&methods).with_tracer_provider(&spans))
            .layer(MetricsLayer::server().methods(&methods).with_recorder(recorder))
            .layer(LoggingLayer::server().methods(&methods).starts(Level::INFO))
            .layer(RecoveryLayer::server())
            .layer(DeadlineLayer::server().cap(LONGEST_CALL).methods(&methods))
            .layer(everyone.default_access(Access::public()).build()?)
            .layer(RateLimitLayer::server(Quota::per_second(CALLS_PER_SECOND)).build()?)
            .layer(MapResponseLayer::new(trailers::send))
            .add_service(service);
        self.listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        match self.tls {
            Some(tls) => router.serve_with_incoming(tls.server.incoming(incoming)).await?,
            None => router.serve_with_incoming(incoming).await?,
        }
        Ok(())
    }
}
