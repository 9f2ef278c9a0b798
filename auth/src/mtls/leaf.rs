//! The names in a client's certificate.

use std::time::{Duration, SystemTime};

use tonic_call::SpiffeId;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::decide::failure::{Failure, Reason};

/// The names that a certificate gives its holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) spiffe_id: Option<SpiffeId>,
    /// In lower case, without wildcards.
    pub(crate) dns: Vec<String>,
}

/// What is needed of a client's own certificate.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) names: Names,
    pub(crate) not_after: SystemTime,
}

/// The certificate breaks a rule: the operator learns which one.
pub(crate) fn bad(check: &'static str, expected: &'static str) -> Failure {
    Failure::new(Reason::TokenInvalid, check).expected(expected)
}

impl Leaf {
    /// Reads a certificate whose chain the server has verified.
    pub(crate) fn read(der: &[u8]) -> Result<Self, Failure> {
        let malformed = || bad("certificate", "a well-formed X.509 certificate");
        let (rest, leaf) = X509Certificate::from_der(der).map_err(|_| malformed())?;
        if !rest.is_empty() {
            return Err(malformed());
        }
        let names = names(&leaf)?;
        is_leaf(&leaf, names.spiffe_id.is_some())?;
        let seconds = u64::try_from(leaf.validity().not_after.timestamp()).unwrap_or_default();
        let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Ok(Self { names, not_after })
    }
}

/// The names in the subjectAltName. The common name is never one (RFC 9525 §2).
fn names(leaf: &X509Certificate<'_>) -> Result<Names, Failure> {
    let names = leaf.subject_alternative_name();
    let names = names.map_err(|_| bad("san", "one well-formed subjectAltName"))?;
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let (mut uris, mut dns) = (Vec::new(), Vec::new());
    for name in names {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            GeneralName::DNSName(name) => dns.push(*name),
            GeneralName::Invalid(..) => return Err(bad("san", "one well-formed subjectAltName")),
            _ => {}
        }
    }
    Names::of(&uris, dns.into_iter())
}

impl Names {
    /// At most one URI, which is a SPIFFE ID, and any number of DNS names (X509-SVID §2).
    pub(crate) fn of<'a>(
        uris: &[&str],
        dns: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Failure> {
        let spiffe_id = match uris {
            [] => None,
            [uri] => Some(workload(uri)?),
            several => {
                let count = several.len().to_string();
                return Err(bad("uri_san", "one URI SAN").received(&count));
            }
        };
        let dns = dns.filter_map(dns_name).collect::<Vec<_>>();
        if spiffe_id.is_none() && dns.is_empty() {
            return Err(bad("san", "a URI SAN or a DNS SAN").received("neither"));
        }
        Ok(Self { spiffe_id, dns })
    }
}

/// The ID of a workload, which has a path; the ID of a trust domain has none.
pub(crate) fn workload(uri: &str) -> Result<SpiffeId, Failure> {
    let id = SpiffeId::parse(uri)
        .map_err(|_| bad("uri_san", "a SPIFFE ID of a workload").received(uri))?;
    match id.path() {
        "" => Err(bad("uri_san", "a SPIFFE ID with a path").received(uri)),
        _ => Ok(id),
    }
}

/// A DNS name in lower case. `None` for wildcards and other texts: they name no single caller.
pub(crate) fn dns_name(name: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(allowed) && !label.starts_with('-')
    };
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    is_name.then(|| name.to_ascii_lowercase())
}

/// The rules for leaf certificates (X509-SVID §4 and §5.2). A certificate with only DNS names can lack the key usage.
fn is_leaf(leaf: &X509Certificate<'_>, is_svid: bool) -> Result<(), Failure> {
    let constraints = leaf.basic_constraints();
    let constraints = constraints.map_err(|_| bad("ca", "well-formed basic constraints"))?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(bad("ca", "a leaf certificate").received("the certificate of a CA"));
    }
    let wrong = |expected| bad("key_usage", expected);
    let usage = leaf.key_usage().map_err(|_| wrong("a well-formed key usage"))?;
    match usage {
        Some(usage) if usage.value.key_cert_sign() || usage.value.crl_sign() => {
            return Err(wrong("no signing of certificates or revocation lists"));
        }
        Some(usage) if !usage.value.digital_signature() => {
            return Err(wrong("digital signatures"));
        }
        Some(usage) if is_svid && !usage.critical => return Err(wrong("a critical key usage")),
        None if is_svid => return Err(wrong("a key usage").received("none")),
        _ => {}
    }
    let wrong = |expected| bad("extended_key_usage", expected);
    let extended = leaf.extended_key_usage().map_err(|_| wrong("a well-formed one"))?;
    match extended.map(|extended| extended.value) {
        Some(usage) if !usage.any && !usage.client_auth => Err(wrong("client authentication")),
        Some(usage) if is_svid && !usage.any && !usage.server_auth => {
            Err(wrong("client and server authentication"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "leaf_tests.rs"]
mod tests;
