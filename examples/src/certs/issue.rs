//! Issues the certificates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use super::files::{Contents, Pem};

/// The SPIFFE IDs: a trust domain that exists nowhere, and in it the server and the client.
pub(crate) const TRUST_DOMAIN: &str = "spiffe://orders.test";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Issues the certificate of a CA, and by it those of a server and a client, as X.509-SVIDs of SPIFFE.
pub(super) fn issue() -> Result<Contents, rcgen::Error> {
    let key = KeyPair::generate()?;
    // Of its own: errors of TLS are clearer if another CA has another name.
    let number =
        key.public_key_raw().iter().rev().take(4).fold(0, |n, byte| n << 8 | u32::from(*byte));
    let mut params = params(&format!("orders development CA {number:08x}"), "")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = Pem { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() };
    let issuer = Issuer::new(params, key);

    let mut server = leaf("orders", "/server")?;
    server.subject_alt_names.extend([
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ]);
    let client = leaf("orders client", "/client")?;
    Ok(Contents { ca, server: signed(&server, &issuer)?, client: signed(&client, &issuer)? })
}

fn signed(params: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> Result<Pem, rcgen::Error> {
    let key = KeyPair::generate()?;
    Ok(Pem { certificate: params.signed_by(&key, issuer)?.pem(), key: key.serialize_pem() })
}

fn leaf(name: &str, path: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(name, path)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // An X.509-SVID must have both (X509-SVID §4.4).
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(name: &str, path: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let id = format!("{TRUST_DOMAIN}{path}");
    params.subject_alt_names = vec![SanType::URI(id.try_into()?)];
    // The clocks of virtual machines may differ a little.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(DAY);
    params.not_after = epoch + now + 365 * DAY;
    Ok(params)
}
