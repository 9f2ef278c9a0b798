//! What a certificate says of itself.

use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::asn1_rs::{Any, Class, FromDer as _};
use x509_parser::certificate::Validity as Asn1Validity;
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

impl Validity {
    /// The validity of a certificate. Reads nothing else of it, since servers need it in handshakes.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let validity = find(certificate)?;
        let (not_before, not_after) = (validity.not_before, validity.not_after);
        Ok(Self { not_before: system_time(not_before), not_after: system_time(not_after) })
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

/// Finds the fifth field of the first field of a certificate, whose own first field can be missing (RFC 5280 §4.1).
fn find(certificate: &[u8]) -> Result<Asn1Validity, String> {
    let (_, certificate) = field(certificate)?;
    let (_, to_be_signed) = field(certificate.data)?;
    let (after_first, first) = field(to_be_signed.data)?;
    let has_version = first.class() == Class::ContextSpecific;
    let serial = if has_version { after_first } else { to_be_signed.data };
    let (algorithm, _) = field(serial)?;
    let (issuer, _) = field(algorithm)?;
    let (validity, _) = field(issuer)?;
    let (_, validity) = Asn1Validity::from_der(validity).map_err(|error| error.to_string())?;
    Ok(validity)
}

/// The first field, and what is after it.
fn field(der: &[u8]) -> Result<(&[u8], Any<'_>), String> {
    Any::from_der(der).map_err(|error| error.to_string())
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
    fn the_validity_is_found_in_a_certificate_and_nothing_is_found_in_a_part_of_one() {
        let at = |year| rcgen::date_time_ymd(year, 1, 1);
        let mut params = rcgen::CertificateParams::default();
        (params.not_before, params.not_after) = (at(2001), at(2055));
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let validity = Validity::of(certificate.der()).expect("a validity");
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok();
        let seconds = |time| since(time).map(|since| i64::try_from(since.as_secs()));
        assert_eq!(seconds(validity.not_before), Some(Ok(at(2001).unix_timestamp())));
        assert_eq!(seconds(validity.not_after), Some(Ok(at(2055).unix_timestamp())));
        for length in 0..certificate.der().len() {
            let part = CertificateDer::from(&certificate.der()[..length]);
            assert!(Validity::of(&part).is_err(), "{length}");
        }
    }

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
