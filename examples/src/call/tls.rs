//! TLS of `orders call`.

use std::error::Error;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as RustlsError};
use tonic::codegen::http::uri::Scheme;
use tonic::transport::Uri;
use tonic::{Code, Status};
use tonic_tls_reload::{ClientTls, TlsConnectError, TlsEndpoint};

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

/// If TLS is why the call failed, says what to do about it.
pub(super) fn explain(error: CallError, to: &Uri) -> CallError {
    let CallError::Status(status) = error else { return error };
    if to.scheme() == Some(&Scheme::HTTP) {
        return if status.code() == Code::Internal && status.message().contains(NOT_HTTP2) {
            CallError::StatusWithHint(status, SPEAKS_TLS.to_owned())
        } else {
            CallError::Status(status)
        };
    }
    match reason_of_connector(&status).or_else(|| reason_of_alert(status.message())) {
        Some(reason) => {
            CallError::Status(Status::unavailable(format!("no TLS connection to {to}: {reason}")))
        }
        None => CallError::Status(status),
    }
}

/// In the error of h2 if the server does not answer in HTTP/2.
const NOT_HTTP2: &str = "h2 protocol error";

const SPEAKS_TLS: &str =
    "the server may speak TLS on this port: if so, use an https URL and --tls-ca FILE";

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

fn reason_of_connector(status: &Status) -> Option<String> {
    let mut sources = std::iter::successors(status.source(), |&error| error.source());
    let tls = sources.find_map(|error| error.downcast_ref::<TlsConnectError>())?;
    match tls {
        TlsConnectError::Handshake(error) => Some(reason_of_handshake(error)),
        TlsConnectError::Timeout | TlsConnectError::NotHttp2 => Some(tls.to_string()),
        _ => None,
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
