//! TLS of `orders call`.

use std::io;

use tonic::codegen::http::uri::Scheme;
use tonic::transport::Uri;
use tonic_balance::{Address, Socket, SocketConnector};
use tonic_tls_reload::{ClientTls, TlsConnectError, TlsEndpoint, TlsIo};
use tower::{Service, ServiceExt as _};

use super::error::CallError;
use super::tls_errors::reason;
use crate::cli::CallTlsArgs;

/// The endpoint of a server with an `https` URL; `None` for `http`.
pub(super) fn endpoint(args: &CallTlsArgs, to: &Uri) -> Result<Option<TlsEndpoint>, CallError> {
    let Some(ca) = &args.tls_ca else { return Ok(None) };
    if to.scheme() != Some(&Scheme::HTTPS) {
        return Ok(None);
    }
    let tls = ClientTls::from_files(ca);
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => tls.certificate(certificate, key),
        _ => tls,
    };
    let tls = tls.build().map_err(|error| CallError::Input(error.to_string()))?;
    let endpoint = tls.endpoint(to.clone());
    endpoint.map(Some).map_err(|error| CallError::Input(error.to_string()))
}

/// Connects to addresses over TLS. Its errors say what to do.
pub(super) fn connector(
    endpoint: &TlsEndpoint,
) -> impl Service<Address, Response = TlsIo<Socket>, Error = io::Error, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    let sockets = SocketConnector::new(endpoint.endpoint());
    endpoint
        .connector()
        .over(sockets)
        .map_err(|error: TlsConnectError| io::Error::other(reason(&error)))
}
