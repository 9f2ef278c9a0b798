//! What a certificate says of itself.

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
#[cfg(feature = "server")]
use x509_parser::certificate::X509CertificateParser;
#[cfg(feature = "server")]
use x509_parser::nom::Parser as _;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::error::{Problem, TlsError};
use super::file::TlsFile;

/// From when to when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Validity {
    /// The certificate is valid from this time on.
    pub not_before: SystemTime,
    /// The last second in which the certificate is valid.
    pub not_after: SystemTime,
}

/// A parsed leaf certificate.
pub(crate) struct Leaf<'a>(X509Certificate<'a>);

impl<'a> Leaf<'a> {
    pub(crate) fn parse(certificate: &'a CertificateDer<'_>) -> Result<Self, String> {
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
        Ok(Self(parsed))
    }

    pub(crate) fn validity(&self) -> Validity {
        let validity = self.0.validity();
        Validity {
            not_before: system_time(validity.not_before),
            not_after: system_time(validity.not_after),
        }
    }

    #[cfg(feature = "server")]
    pub(crate) fn x509(&self) -> &X509Certificate<'a> {
        &self.0
    }
}

impl Validity {
    /// The validity of a certificate. Cheaper than [`Leaf::parse`], since it looks into no extension.
    #[cfg(feature = "server")]
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (_, certificate) = parser.parse(certificate).ok()?;
        Some(Leaf(certificate).validity())
    }

    /// As webpki decides it in a handshake.
    pub(super) fn check(&self, file: &TlsFile, now: UnixTime) -> Result<(), TlsError> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        if now < self.not_before {
            return Err(TlsError::of(file, Problem::NotYetValid(self.not_before)));
        }
        if self.has_expired(now) {
            return Err(TlsError::of(file, Problem::Expired(self.not_after)));
        }
        Ok(())
    }

    pub(crate) fn has_expired(&self, now: SystemTime) -> bool {
        now > self.not_after
    }
}

fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = Duration::from_secs(time.timestamp().unsigned_abs());
    if time.timestamp() < 0 {
        SystemTime::UNIX_EPOCH - seconds
    } else {
        SystemTime::UNIX_EPOCH + seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_valid_from_its_first_to_its_last_second() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let validity = Validity { not_before: at(100), not_after: at(200) };
        let file = TlsFile::certificate("tls.crt");
        let check = |seconds| {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            validity.check(&file, now).map_err(|error| error.problem().as_str())
        };
        assert_eq!(check(99), Err("not_yet_valid"));
        assert_eq!(check(100), Ok(()));
        assert_eq!(check(200), Ok(()));
        assert_eq!(check(201), Err("expired"));
    }
}
