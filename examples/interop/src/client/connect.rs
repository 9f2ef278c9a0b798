//! The channel: its layers, in the order that the README recommends, or tonic alone.

use std::error::Error;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Service, StdError};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic_auth_layer::{CredentialsBuilder, CredentialsLayer, TokenFile};
use tonic_balance::{Balanced, SocketConnector};
use tonic_call::{Methods, ObserveLayer, ServiceConfig, option_layer};
use tonic_deadline_layer::DeadlineLayer;
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_metrics_layer::exporter::Prometheus;
use tonic_recovery_layer::RecoveryLayer;
use tonic_retry_layer::RetryLayer;
use tonic_tls_reload::ClientTls;
use tonic_tracing_layer::TracingLayer;
use tower::util::{BoxCloneSyncService, MapResponseLayer};
use tower::{ServiceBuilder, ServiceExt as _};

use super::endings::Endings;
use crate::cli::ClientArgs;
use crate::compression;
use crate::proto::FILE_DESCRIPTOR_SET;

/// A channel of both kinds.
pub(super) type Channel = BoxCloneSyncService<Request<Body>, Response<Body>, StdError>;

/// The settings that gRPC clients in every language read. The timeout is longer than any case.
const CONFIG: &str = r#"{
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [{
        "name": [{}],
        "timeout": "60s",
        "retryPolicy": {
            "maxAttempts": 3,
            "initialBackoff": "0.05s",
            "maxBackoff": "0.5s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"]
        }
    }]
}"#;

/// tonic alone.
pub(super) fn bare(args: &ClientArgs) -> Result<Channel, Box<dyn Error>> {
    let mut endpoint = Endpoint::from_shared(url(args))?;
    if let Some(ca) = args.ca_file.as_ref().filter(|_| args.use_tls) {
        let mut tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(std::fs::read(ca)?));
        if let Some(name) = &args.server_host_override {
            tls = tls.domain_name(name);
        }
        endpoint = endpoint.tls_config(tls)?;
    }
    let layers = ServiceBuilder::new().layer(MapResponseLayer::new(compression::of_response));
    Ok(boxed(layers.service(endpoint.connect_lazy())))
}

/// With every layer that a client can have.
pub(super) fn layered(args: &ClientArgs, endings: Endings) -> Result<Channel, Box<dyn Error>> {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?;
    let config = args.service_config_json.as_deref().unwrap_or(CONFIG);
    let config = ServiceConfig::from_json(config)?;
    let token = args.token_file.as_ref().map(TokenFile::open).transpose()?;
    let token = token.map(CredentialsLayer::bearer);
    let (balanced, credentials) = match args.ca_file.as_ref().filter(|_| args.use_tls) {
        Some(ca) => {
            let mut endpoint = ClientTls::from_files(ca).build()?.endpoint(url(args))?;
            if let Some(name) = &args.server_host_override {
                endpoint = endpoint.server_name(name)?;
            }
            let sockets = SocketConnector::new(endpoint.endpoint());
            let connector = endpoint.connector().over(sockets);
            let balanced = Balanced::host(endpoint.endpoint().clone()).connector(connector);
            (balanced, token.map(|token| token.to(&endpoint)).transpose()?)
        }
        None => {
            let balanced = Balanced::host(Endpoint::from_shared(url(args))?);
            // For servers on loopback.
            (balanced, token.map(CredentialsBuilder::allow_unencrypted))
        }
    };
    let spans = SdkTracerProvider::builder().build();
    let (recorder, _scrape) = Prometheus::new().build()?;
    let target = format!("{}:{}", args.server_host, args.server_port);
    let layers = ServiceBuilder::new()
        .layer(TracingLayer::client(target).methods(&methods).with_tracer_provider(&spans))
        .layer(MetricsLayer::client().methods(&methods).with_recorder(recorder))
        .layer(LoggingLayer::client().methods(&methods))
        .layer(ObserveLayer::client(endings))
        .layer(RecoveryLayer::client())
        .layer(DeadlineLayer::client(&config).methods(&methods))
        .layer(RetryLayer::new(&config))
        .layer(option_layer(credentials))
        .layer(MapResponseLayer::new(compression::of_response));
    Ok(boxed(layers.service(balanced.service_config(&config).build())))
}

fn url(args: &ClientArgs) -> String {
    let scheme = if args.use_tls { "https" } else { "http" };
    format!("{scheme}://{}:{}", args.server_host, args.server_port)
}

fn boxed<S, B>(service: S) -> Channel
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<StdError> + 'static,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<StdError>,
{
    let service = service.map_response(|response| response.map(Body::new)).map_err(Into::into);
    BoxCloneSyncService::new(service)
}
