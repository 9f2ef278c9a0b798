use std::sync::Arc;

use http::Extensions;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

/// tonic exports the name of this type, `TlsConnectInfo<IO::ConnectInfo>`, only with TLS features of its own.
type Info<IO> = <TlsStream<IO> as Connected>::ConnectInfo;

/// The certificates that the client of a request has presented and the server has verified, its own first; `None` if
/// it has presented none.
///
/// The same as `Request::peer_certs`, which tonic has only with TLS features of its own.
///
/// ```
/// use tonic::{Request, Response, Status};
/// use tonic_tls_reload::client_certificates;
///
/// async fn whoami(request: Request<()>) -> Result<Response<String>, Status> {
///     let certificates = client_certificates(request.extensions());
///     let certificates = certificates.ok_or_else(|| Status::unauthenticated("no certificate"))?;
///     Ok(Response::new(format!("a certificate of {} bytes", certificates[0].len())))
/// }
/// ```
pub fn client_certificates(extensions: &Extensions) -> Option<Arc<Vec<CertificateDer<'static>>>> {
    if let Some(info) = extensions.get::<Info<TcpStream>>() {
        return info.peer_certs();
    }
    #[cfg(unix)]
    if let Some(info) = extensions.get::<Info<tokio::net::UnixStream>>() {
        return info.peer_certs();
    }
    None
}
