//! Starts the server: the layers, in the order that the README recommends, around the service.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::body::Body;
use tonic::codec::CompressionEncoding::Gzip;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic_auth_layer::jwt::{Issuer, Jwt};
use tonic_auth_layer::{Access, AuthLayer, Outcome, authenticate_fn};
use tonic_call::Methods;
use tonic_connect_layer::ConnectLayer;
use tonic_deadline_layer::DeadlineLayer;
use tonic_logging_layer::LoggingLayer;
use tonic_metrics_layer::MetricsLayer;
use tonic_metrics_layer::exporter::Prometheus;
use tonic_ratelimit_layer::{Quota, RateLimitLayer};
use tonic_recovery_layer::RecoveryLayer;
use tonic_tls_reload::ServerTls;
use tonic_tracing_layer::TracingLayer;
use tonic_web::GrpcWebLayer;
use tower::util::{MapRequestLayer, MapResponseLayer};
use tracing::Level;

use super::service::Tests;
use super::trailers;
use crate::cli::ServeArgs;
use crate::compression;
use crate::proto::FILE_DESCRIPTOR_SET;
use crate::proto::test_service_server::TestServiceServer;

/// More than the largest request of a case has.
const MAX_MESSAGE: usize = 64 << 20;

type Started<T> = Result<T, Box<dyn Error>>;

/// More than the tests need, so that the limit counts and refuses nothing.
const CALLS_PER_SECOND: u32 = 1_000_000;

/// Longer than any test.
const LONGEST_CALL: Duration = Duration::from_secs(300);

/// Serves until a signal arrives and the open calls have ended. When it listens, it prints `listening on ADDR`.
pub(crate) async fn serve(args: ServeArgs) -> Started<()> {
    let listener = TcpListener::bind((args.host, args.port)).await?;
    if args.bare { bare(args, listener).await } else { layered(args, listener).await }
}

/// Prints where the server listens, once nothing can fail any more.
fn announce(listener: TcpListener) -> io::Result<TcpIncoming> {
    let mut out = io::stdout();
    writeln!(out, "listening on {}", listener.local_addr()?)?;
    out.flush()?;
    Ok(TcpIncoming::from(listener).with_nodelay(Some(true)))
}

/// tonic alone.
async fn bare(args: ServeArgs, listener: TcpListener) -> Started<()> {
    let mut server = Server::builder();
    if let Some((certificate, key)) = certificate(&args) {
        let identity = Identity::from_pem(std::fs::read(certificate)?, std::fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    let router = server
        .layer(MapResponseLayer::new(trailers::send::<Body>))
        .layer(MapRequestLayer::new(compression::of_request))
        .add_service(service());
    router.serve_with_incoming_shutdown(announce(listener)?, stopped()).await?;
    Ok(())
}

async fn layered(args: ServeArgs, listener: TcpListener) -> Started<()> {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)?;
    let spans = SdkTracerProvider::builder().build();
    let (recorder, _scrape) = Prometheus::new().build()?;
    let router = Server::builder()
        .accept_http1(true)
        .layer(ConnectLayer::new(FILE_DESCRIPTOR_SET)?)
        .layer(GrpcWebLayer::new())
        .layer(TracingLayer::server().methods(&methods).with_tracer_provider(&spans))
        .layer(MetricsLayer::server().methods(&methods).with_recorder(recorder))
        .layer(LoggingLayer::server().methods(&methods).starts(Level::INFO))
        .layer(RecoveryLayer::server())
        .layer(DeadlineLayer::server().cap(LONGEST_CALL).methods(&methods))
        .layer(auth(&args, &methods).await?)
        .layer(RateLimitLayer::server(Quota::per_second(CALLS_PER_SECOND)).build()?)
        .layer(MapResponseLayer::new(trailers::send::<Body>))
        .layer(MapRequestLayer::new(compression::of_request))
        .add_service(service());
    match certificate(&args) {
        Some((certificate, key)) => {
            let tls = ServerTls::from_files(certificate, key).accept_http1(true).build()?;
            let incoming = tls.incoming(announce(listener)?);
            router.serve_with_incoming_shutdown(incoming, stopped()).await?;
        }
        None => router.serve_with_incoming_shutdown(announce(listener)?, stopped()).await?,
    }
    Ok(())
}

/// Compresses a response if the request asks for it.
fn service() -> TestServiceServer<Tests> {
    TestServiceServer::new(Tests)
        .accept_compressed(Gzip)
        .send_compressed(Gzip)
        .max_decoding_message_size(MAX_MESSAGE)
}

/// Every caller may call every method, or those with a token may.
async fn auth(args: &ServeArgs, methods: &Methods) -> Started<AuthLayer> {
    let (Some(keys), Some(issuer)) = (&args.auth_jwks, &args.auth_issuer) else {
        let everyone = AuthLayer::new(authenticate_fn(|_| Outcome::Absent));
        return Ok(everyone.default_access(Access::public()).build()?);
    };
    let issuer = args.auth_audience.iter().fold(Jwt::jwks_file(issuer, keys), Issuer::audience);
    let jwt = Jwt::builder().issuer(issuer).build()?;
    jwt.ready().await;
    Ok(AuthLayer::new(jwt).methods(methods).build()?)
}

fn certificate(args: &ServeArgs) -> Option<(&Path, &Path)> {
    let files = args.tls_cert_file.as_deref().zip(args.tls_key_file.as_deref());
    files.filter(|_| args.use_tls)
}

/// Returns when SIGTERM or SIGINT arrives.
async fn stopped() {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
