//! Callers authenticated by the certificate of their connection. Each test is a rule.

use std::time::{Duration, SystemTime};

use http::Extensions;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SanType,
};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tonic::Code;
use tonic_auth_layer::mtls::MtlsCaller;
use tonic_auth_layer::{AuthLayer, Identity, Mtls, MtlsBuilder, MtlsError, WallClock};
use tonic_call::SpiffeIdError;

use crate::common::{Called, UNARY, request, send};
use crate::mtls_support::{Ca, Certificate, connection, connection_with, dns, uri};

const BILLING: &str = "spiffe://prod.example/billing/api";

fn layer(callers: MtlsBuilder) -> AuthLayer {
    AuthLayer::new(callers.build().unwrap()).build().unwrap()
}

/// Everybody of one trust domain, and one host.
fn prod() -> AuthLayer {
    layer(Mtls::builder().trust_domain("prod.example").dns_name("Backup.Example"))
}

async fn on(layer: &AuthLayer, extensions: &Extensions) -> Called {
    let mut request = request(UNARY, &[]);
    request.extensions_mut().extend(extensions.clone());
    send(layer, request).await
}

async fn with(layer: &AuthLayer, certificate: &Certificate) -> Called {
    on(layer, &connection(Some(certificate)).await).await
}

#[track_caller]
fn is_refused_by(called: &Called, check: &str) {
    called.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    let found = called.field("auth.check").unwrap();
    assert!(found.contains(&format!("{check:?}")), "{check}: {found}");
}

#[tokio::test]
async fn a_spiffe_id_is_the_subject_of_its_caller() {
    let called = with(&prod(), &Ca::new("ca").named(&[uri(BILLING), dns("billing.example")])).await;
    let seen = called.passed();
    assert_eq!(seen.principal.as_deref(), Some("mtls:spiffe://prod.example/billing/api"));
    let identity: Identity = seen.identity.unwrap();
    assert_eq!((identity.method(), identity.subject()), ("mtls", Some(BILLING)));
    assert_eq!(identity.expires_at(), None);
    let caller = identity.data::<MtlsCaller>().unwrap();
    assert_eq!(caller.spiffe_id().unwrap().path(), "/billing/api");
    assert_eq!((caller.dns_name(), caller.source()), (None, "connection"));
}

#[tokio::test]
async fn a_dns_name_is_compared_without_regard_to_case_and_never_with_a_wildcard_or_the_common_name()
 {
    let ca = Ca::new("ca");
    let called = with(&prod(), &ca.named(&[dns("other.example"), dns("BACKUP.example")])).await;
    let identity = called.passed().identity.unwrap();
    assert_eq!(identity.subject(), Some("backup.example"));
    let caller = identity.data::<MtlsCaller>().unwrap();
    assert_eq!((caller.spiffe_id(), caller.dns_name()), (None, Some("backup.example")));

    let called = with(&prod(), &ca.named(&[dns("other.example")])).await;
    called.is_refused(Code::PermissionDenied, "ACCESS_DENIED");
    assert!(called.field("auth.received").unwrap().contains("other.example"));
    is_refused_by(&with(&prod(), &ca.named(&[dns("*.example")])).await, "san");
    let common_name = ca.issue(|params| {
        params.distinguished_name.push(DnType::CommonName, "backup.example");
    });
    is_refused_by(&with(&prod(), &common_name).await, "san");
}

/// Guards against: the CA of one trust domain that issues a certificate with the name of another one's host.
#[tokio::test]
async fn a_dns_name_beside_a_spiffe_id_names_nobody() {
    let both = Ca::new("ca").named(&[uri("spiffe://dev.example/x"), dns("backup.example")]);
    let called = with(&prod(), &both).await;
    is_refused_by(&called, "trust_domain");
    assert!(called.field("auth.expected").unwrap().contains("an allowed trust domain"));
    let called = with(&layer(Mtls::builder().dns_name("backup.example")), &both).await;
    is_refused_by(&called, "trust_domain");
    assert!(called.field("auth.expected").unwrap().contains("without a SPIFFE ID"));
}

#[tokio::test]
async fn a_list_allows_exact_ids_and_paths_below_a_prefix_in_whole_segments() {
    let ca = Ca::new("ca");
    let list = layer(
        Mtls::builder()
            .path_prefix("spiffe://prod.example/billing")
            .spiffe_id("spiffe://prod.example/reports"),
    );
    for (id, refusal) in [
        ("spiffe://prod.example/billing", None),
        (BILLING, None),
        ("spiffe://prod.example/reports", None),
        ("spiffe://prod.example/billing-test", Some((Code::PermissionDenied, "spiffe_id"))),
        ("spiffe://prod.example/Billing", Some((Code::PermissionDenied, "spiffe_id"))),
        ("spiffe://prod.example/reports/x", Some((Code::PermissionDenied, "spiffe_id"))),
        ("spiffe://prod.example/bill", Some((Code::PermissionDenied, "spiffe_id"))),
        ("spiffe://dev.example/billing", Some((Code::Unauthenticated, "trust_domain"))),
        ("spiffe://prod.example.org/billing", Some((Code::Unauthenticated, "trust_domain"))),
    ] {
        let called = with(&list, &ca.named(&[uri(id)])).await;
        match refusal {
            None => assert_eq!(called.passed().identity.unwrap().subject(), Some(id)),
            Some((code, check)) => {
                assert_eq!(called.code, code, "{id}");
                assert!(called.seen.is_empty(), "{id}");
                assert!(called.field("auth.check").unwrap().contains(check), "{id}");
                assert!(called.field("auth.received").unwrap().contains(id), "{id}");
                assert!(!called.message.contains(id), "the caller learns only the reason");
            }
        }
    }
}

#[tokio::test]
async fn a_uri_san_is_one_spiffe_id_of_a_workload() {
    let ca = Ca::new("ca");
    for names in [
        &[uri(BILLING), uri(BILLING)][..],
        &[uri(BILLING), uri("https://prod.example/x")],
        &[uri("https://prod.example/x")],
        &[uri("https://prod.example/x"), dns("backup.example")],
        &[uri("spiffe://prod.example")],
        &[uri("spiffe://prod.example/")],
        &[uri("spiffe://prod.example/a/../b")],
        &[uri("spiffe://Prod.example/a")],
    ] {
        is_refused_by(&with(&prod(), &ca.named(names)).await, "uri_san");
    }
    let address = [SanType::IpAddress([127, 0, 0, 1].into())];
    is_refused_by(&with(&prod(), &ca.named(&address)).await, "san");
}

#[tokio::test]
async fn a_ca_and_a_key_for_other_uses_name_no_caller() {
    use ExtendedKeyUsagePurpose::ServerAuth;
    use KeyUsagePurpose::{CrlSign, DigitalSignature, KeyCertSign, KeyEncipherment};

    let ca = Ca::new("ca");
    for san in [uri(BILLING), dns("backup.example")] {
        let is_ca = ca.issue(|params| {
            params.subject_alt_names = vec![san.clone()];
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        });
        is_refused_by(&with(&prod(), &is_ca).await, "ca");
        for usages in
            [&[DigitalSignature, KeyCertSign][..], &[DigitalSignature, CrlSign], &[KeyEncipherment]]
        {
            let odd = ca.issue(|params| {
                params.subject_alt_names = vec![san.clone()];
                params.key_usages = usages.to_vec();
            });
            is_refused_by(&with(&prod(), &odd).await, "key_usage");
        }
        let server = ca.issue(|params| {
            params.subject_alt_names = vec![san.clone()];
            params.extended_key_usages = vec![ServerAuth];
        });
        is_refused_by(&with(&prod(), &server).await, "extended_key_usage");
    }
}

#[tokio::test]
async fn an_svid_has_the_usages_that_its_specification_requires_and_others_need_not() {
    let ca = Ca::new("ca");
    let without_usage = |san: SanType| {
        ca.issue(|params| {
            params.subject_alt_names = vec![san];
            params.key_usages.clear();
        })
    };
    let client_only = |san: SanType| {
        ca.issue(|params| {
            params.subject_alt_names = vec![san];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    };
    let unextended = |san: SanType| {
        ca.issue(|params| {
            params.subject_alt_names = vec![san];
            params.extended_key_usages.clear();
        })
    };
    is_refused_by(&with(&prod(), &without_usage(uri(BILLING))).await, "key_usage");
    is_refused_by(&with(&prod(), &client_only(uri(BILLING))).await, "extended_key_usage");
    with(&prod(), &unextended(uri(BILLING))).await.passed();
    let name = || dns("backup.example");
    for certificate in [without_usage(name()), client_only(name()), unextended(name())] {
        with(&prod(), &certificate).await.passed();
    }
}

#[tokio::test]
async fn without_a_certificate_credentials_are_missing() {
    for extensions in [Extensions::new(), connection(None).await] {
        let called = on(&prod(), &extensions).await;
        called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
        assert!(called.challenges().is_empty(), "certificates have no HTTP scheme");
    }
}

#[tokio::test]
async fn the_certificate_is_read_once_per_connection() {
    let mtls = Mtls::builder().trust_domain("prod.example").build().unwrap();
    let (sender, decisions) = std::sync::mpsc::channel();
    let layer = AuthLayer::new(mtls)
        .on_decision(move |decision| sender.send(decision.is_cached()).unwrap())
        .build()
        .unwrap();
    let certificate = Ca::new("ca").named(&[uri(BILLING)]);
    let (one, two) = (connection(Some(&certificate)).await, connection(Some(&certificate)).await);
    for extensions in [&one, &one, &two, &two, &one] {
        on(&layer, extensions).await.passed();
    }
    assert_eq!(decisions.try_iter().collect::<Vec<_>>(), [false, true, false, true, true]);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_an_old_connection_if_that_is_checked() {
    let certificate = Ca::new("ca").issue(|params| {
        params.subject_alt_names = vec![uri(BILLING)];
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    });
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_456_000);
    let extensions = connection(Some(&certificate)).await;
    for (check, now, passes) in [
        (true, end - Duration::from_secs(1), true),
        (true, end, false),
        (false, end + Duration::from_secs(1), true),
    ] {
        let callers = Mtls::builder().trust_domain("prod.example");
        let callers = if check { callers.check_expiry() } else { callers };
        let layer = AuthLayer::new(callers.build().unwrap())
            .with_clock(WallClock::new(move || now))
            .build()
            .unwrap();
        let called = on(&layer, &extensions).await;
        match passes {
            true => {
                let expires_at = called.passed().identity.unwrap().expires_at();
                assert_eq!(expires_at, check.then_some(end));
            }
            false => called.is_refused(Code::Unauthenticated, "TOKEN_EXPIRED"),
        }
    }
}

#[tokio::test]
async fn a_subject_alternative_name_that_stands_twice_or_is_malformed_is_refused() {
    let ca = Ca::new("ca");
    const SAN: &[u64] = &[2, 5, 29, 17];
    let twice = ca.issue(|params| {
        params.subject_alt_names = vec![uri(BILLING)];
        let again = CustomExtension::from_oid_content(SAN, vec![0x30, 0]);
        params.custom_extensions.push(again);
    });
    is_refused_by(&with(&prod(), &twice).await, "san");
    let malformed = ca.issue(|params| {
        let content = CustomExtension::from_oid_content(SAN, vec![0x86, 3, b'a']);
        params.custom_extensions.push(content);
    });
    is_refused_by(&with(&prod(), &malformed).await, "san");
}

#[tokio::test]
async fn bytes_that_are_no_certificate_are_refused() {
    let certificate = Ca::new("ca").named(&[uri(BILLING)]);
    let trailing = [&*certificate.der, &[0]].concat();
    let cut = certificate.der[..certificate.der.len() - 1].to_vec();
    for der in [trailing, cut, b"garbage".to_vec()] {
        let client = Some((CertificateDer::from(der), &certificate.key));
        is_refused_by(&on(&prod(), &connection_with(client).await).await, "certificate");
    }
}

/// From another implementation: `tests/data/mtls/make.sh`.
#[tokio::test]
async fn certificates_of_openssl_are_read_as_those_of_rcgen() {
    let key = rcgen::KeyPair::generate().unwrap();
    for (der, result) in [
        (&include_bytes!("../data/mtls/good.der")[..], Ok(BILLING)),
        (include_bytes!("../data/mtls/dns.der"), Ok("backup.example")),
        (include_bytes!("../data/mtls/two_uris.der"), Err("uri_san")),
        (include_bytes!("../data/mtls/common_name.der"), Err("san")),
        (include_bytes!("../data/mtls/ca.der"), Err("ca")),
        (include_bytes!("../data/mtls/no_usage.der"), Err("key_usage")),
        (include_bytes!("../data/mtls/usage_not_critical.der"), Err("key_usage")),
        (include_bytes!("../data/mtls/server_only.der"), Err("extended_key_usage")),
        (include_bytes!("../data/mtls/other_domain.der"), Err("trust_domain")),
    ] {
        let on_it = connection_with(Some((CertificateDer::from(der), &key))).await;
        let called = on(&prod(), &on_it).await;
        match result {
            Ok(subject) => {
                assert_eq!(called.passed().identity.unwrap().subject(), Some(subject));
            }
            Err(check) => is_refused_by(&called, check),
        }
    }
}

/// Guards against: a panic of the parser, or a changed certificate that names another caller.
#[test]
fn changed_bytes_never_panic_and_never_name_a_caller_of_another_domain() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let certificate = Ca::new("ca").named(&[uri("spiffe://dev.example/billing/api")]);
    let layer = prod();
    let ranges = (0..certificate.der.len(), any::<u8>());
    let config = ProptestConfig::with_cases(48);
    proptest!(config, |(changes in prop::collection::vec(ranges, 1..4))| {
        let mut der = certificate.der.to_vec();
        for (at, byte) in changes {
            der[at] = byte;
        }
        let client = Some((CertificateDer::from(der), &certificate.key));
        let called = runtime.block_on(async { on(&layer, &connection_with(client).await).await });
        prop_assert!(called.seen.is_empty());
        prop_assert_ne!(called.reason(), "VERIFIER_UNAVAILABLE", "a panic");
    });
}

#[test]
fn a_list_with_an_invalid_name_or_without_a_name_is_an_error() {
    let error = |callers: MtlsBuilder| callers.build().unwrap_err();
    let list = Mtls::builder;
    assert_eq!(error(list()), MtlsError::NoCallers);
    assert_eq!(error(list().trust_domain("Prod")), MtlsError::TrustDomain("Prod".to_owned()));
    for (text, error_of) in
        [("https://a/b", SpiffeIdError::Scheme), ("spiffe://a/", SpiffeIdError::Path)]
    {
        let expected = MtlsError::SpiffeId { text: text.to_owned(), error: error_of };
        assert_eq!(error(list().spiffe_id(text)), expected);
        assert_eq!(error(list().trust_domain("a").path_prefix(text)), expected);
    }
    let domain = "spiffe://prod.example";
    assert_eq!(error(list().path_prefix(domain)), MtlsError::NoPath(domain.to_owned()));
    for name in ["*.example", "", "a..b", "a b", "-a", "a.example."] {
        assert_eq!(error(list().dns_name(name)), MtlsError::DnsName(name.to_owned()));
    }
}
