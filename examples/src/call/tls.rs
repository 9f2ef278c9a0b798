//! TLS of `orders call`.

use std::borrow::Cow;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as RustlsError};
use tonic::codegen::http::uri::Scheme;
use tonic::transport::Uri;
use tonic_balance::{Address, Socket, SocketConnector};
use tonic_tls_reload::{ClientTls, TlsConnectError, TlsEndpoint, TlsIo};
use tower::{Service, ServiceExt as _};

use super::error::CallError;
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

/// Why there is no connection, in the words of this program if the server has refused the client.
pub(super) fn plainly(reason: &str) -> Cow<'_, str> {
    reason_of_alert(reason).map_or(Cow::Borrowed(reason), Cow::Owned)
}

/// What to do if there is no connection for these reasons.
pub(super) fn remedy(reasons: &str) -> Option<&'static str> {
    if reasons.contains("the server answers with TLS") {
        Some("use an https URL and --tls-ca FILE")
    } else if reasons.contains("certificate") || reasons.contains("TLS") {
        Some("--tls-ca, --tls-cert and --tls-key are the certificates of this side")
    } else {
        None
    }
}

/// In the error of rustls if the server refuses the client after the client's side of the handshake (TLS 1.3). The error
/// itself does not come through HTTP/2.
const ALERT: &str = "received fatal alert: ";

fn reason_of_alert(message: &str) -> Option<String> {
    let (_, alert) = message.split_once(ALERT)?;
    let alert = alert.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    Some(match alert {
        "CertificateRequired" => {
            "the server requires a client certificate: give one with --tls-cert and --tls-key"
                .to_owned()
        }
        "BadCertificate"
        | "UnsupportedCertificate"
        | "CertificateRevoked"
        | "CertificateExpired"
        | "CertificateUnknown"
        | "UnknownCA"
        | "DecryptError"
        | "AccessDenied" => {
            format!("the server refused the client certificate ({alert})")
        }
        _ => format!("the server closed the connection ({alert})"),
    })
}

fn reason(error: &TlsConnectError) -> String {
    match error {
        TlsConnectError::Handshake(error) => reason_of_handshake(error),
        TlsConnectError::Connect(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn reason_of_handshake(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
    match tls {
        Some(RustlsError::InvalidCertificate(why)) => reason_of_certificate(why),
        Some(RustlsError::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            "the server does not offer HTTP/2".to_owned()
        }
        Some(RustlsError::InvalidMessage(_)) => {
            "the server does not speak TLS on this port; use an http URL".to_owned()
        }
        _ => error.to_string(),
    }
}

fn reason_of_certificate(why: &CertificateError) -> String {
    let reason = match why {
        // Bad: a CA has the name of another one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "was not issued by a CA in the file of --tls-ca"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is not for the host of this URL"
        }
        CertificateError::Revoked => "is revoked",
        other => return format!("the server's certificate is not good: {other}"),
    };
    format!("the server's certificate {reason}")
}
