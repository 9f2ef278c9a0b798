//! Failures of TLS, in the words of this program.

use std::borrow::Cow;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error as RustlsError};
use tonic_tls_reload::TlsConnectError;

/// Why there is no connection, in the words of this program if the server has refused the client.
pub(super) fn plainly(reason: &str) -> Cow<'_, str> {
    reason_of_alert(reason).map_or(Cow::Borrowed(reason), Cow::Owned)
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

/// Why a connection was not made.
pub(super) fn reason(error: &TlsConnectError) -> String {
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
