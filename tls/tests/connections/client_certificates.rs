//! Which clients a server accepts.

use std::sync::Arc;

use rustls::HandshakeKind::{Full, Resumed};
use tonic_tls_reload::{ClientCa, HandshakeFailure, ServerTls};

use crate::support::{self, Ca, Clock, Identity, Secret, client_config, connect, server, versions};

/// Whether a client with this certificate can connect.
async fn accepts(
    tls: &ServerTls,
    ca: &Ca,
    client: Option<&Identity>,
) -> Result<(), HandshakeFailure> {
    let mut results = Vec::new();
    for version in versions() {
        let config = Arc::new(client_config(ca, client, &[version]));
        results.push(connect(tls, &config).await.map(|_| ()));
    }
    assert_eq!(results[0], results[1], "TLS 1.2 and 1.3");
    results[0]
}

#[tokio::test]
async fn a_certificate_of_the_client_ca_is_required() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    assert_eq!(accepts(&tls, &ca, Some(&ca.client(&[]))).await, Ok(()));
    let refused = Err(HandshakeFailure::Certificate);
    assert_eq!(accepts(&tls, &ca, None).await, refused);
    assert_eq!(accepts(&tls, &ca, Some(&other.client(&[]))).await, refused);
}

#[tokio::test]
async fn an_optional_certificate_must_still_be_good() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let secret = Secret::new(&ca.server(), &[&ca]);
    let clients = ClientCa::bundle(secret.path("ca.crt")).optional();
    let tls = server(&secret).client_ca(clients).build().unwrap();
    assert_eq!(accepts(&tls, &ca, Some(&ca.client(&[]))).await, Ok(()));
    assert_eq!(accepts(&tls, &ca, None).await, Ok(()));
    let refused = Err(HandshakeFailure::Certificate);
    assert_eq!(accepts(&tls, &ca, Some(&other.client(&[]))).await, refused);
}

#[tokio::test]
async fn a_ca_issues_only_for_its_own_trust_domain() {
    let (ca, prod, partner) = (Ca::new("ca"), Ca::new("prod"), Ca::new("partner"));
    let secret = Secret::new(&ca.server(), &[]);
    secret.write("prod.pem", &prod.pem);
    secret.write("partner.pem", &partner.pem);
    let clients = ClientCa::trust_domains([
        ("prod.example", secret.path("prod.pem")),
        ("partner.example", secret.path("partner.pem")),
    ]);
    let tls = server(&secret).client_ca(clients).build().unwrap();
    let refused = Err(HandshakeFailure::Certificate);
    let a_ca = |issuer: &Ca| {
        issuer.issue(|params| {
            params.subject_alt_names =
                vec![rcgen::SanType::URI("spiffe://prod.example/x".try_into().unwrap())];
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        })
    };
    let no_usage = |issuer: &Ca| {
        issuer.issue(|params| {
            params.subject_alt_names =
                vec![rcgen::SanType::URI("spiffe://prod.example/x".try_into().unwrap())];
            params.key_usages.clear();
        })
    };
    for (client, expected) in [
        (prod.client(&["spiffe://prod.example/billing"]), Ok(())),
        (partner.client(&["spiffe://partner.example/billing"]), Ok(())),
        // Guards against: a partner that names itself one of us.
        (partner.client(&["spiffe://prod.example/billing"]), refused),
        (prod.client(&["spiffe://partner.example/billing"]), refused),
        (prod.client(&["spiffe://other.example/billing"]), refused),
        (prod.client(&["spiffe://prod.example"]), refused),
        (prod.client(&["https://prod.example/billing"]), refused),
        (prod.client(&["spiffe://prod.example/a", "spiffe://prod.example/b"]), refused),
        (prod.client(&[]), refused),
        (a_ca(&prod), refused),
        (no_usage(&prod), refused),
    ] {
        assert_eq!(accepts(&tls, &ca, Some(&client)).await, expected);
    }
    assert_eq!(accepts(&tls, &ca, None).await, refused);
}

#[test]
fn a_trust_domain_needs_a_name_and_only_one_bundle() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let bundle = secret.path("ca.crt");
    for (names, bad) in [
        (vec!["Prod.example"], "Prod.example"),
        (vec!["spiffe://prod.example"], "spiffe://prod.example"),
        (vec!["a", "b", "a"], "a"),
        (vec![], ""),
    ] {
        let clients = ClientCa::trust_domains(names.into_iter().map(|name| (name, &bundle)));
        let error = server(&secret).client_ca(clients).build().unwrap_err();
        assert!(error.to_string().starts_with(&format!("{bad:?} is not the name")), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_certificate_is_refused_and_the_list_is_renewed() {
    let (ca, unlisted) = (Ca::new("ca"), Ca::new("a ca without a list"));
    let secret = Secret::new(&ca.server(), &[&ca, &unlisted]);
    secret.write("crl.pem", &ca.revokes(&[7]));
    let clients = ClientCa::bundle(secret.path("ca.crt")).revocation_lists(secret.path("crl.pem"));
    let tls = server(&secret).client_ca(clients.clone()).build().unwrap();
    let lenient = server(&secret).client_ca(clients.allow_unknown_revocation()).build().unwrap();
    let (seven, eight) = (ca.client_with_serial(7), ca.client_with_serial(8));
    let refused = Err(HandshakeFailure::Certificate);
    for tls in [&tls, &lenient] {
        assert_eq!(accepts(tls, &ca, Some(&seven)).await, refused);
        assert_eq!(accepts(tls, &ca, Some(&eight)).await, Ok(()));
    }
    let unlisted = unlisted.client_with_serial(7);
    assert_eq!(accepts(&tls, &ca, Some(&unlisted)).await, refused);
    assert_eq!(accepts(&lenient, &ca, Some(&unlisted)).await, Ok(()));

    secret.write("crl.pem", &ca.revokes(&[7, 8]));
    assert_eq!(tls.reload().await, Ok(true));
    assert_eq!(accepts(&tls, &ca, Some(&eight)).await, refused);
    secret.write("crl.pem", "");
    assert_eq!(tls.reload().await.unwrap_err().problem().as_str(), "empty");
    assert_eq!(accepts(&tls, &ca, Some(&eight)).await, refused);
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_the_ca_that_let_the_client_in() {
    let (ca, next) = (Ca::new("ca"), Ca::new("next"));
    for version in versions() {
        let secret = Secret::new(&ca.server(), &[&ca]);
        let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
        let client = Arc::new(client_config(&ca, Some(&ca.client(&[])), &[version]));
        let kind = |connection: support::Connection| connection.server.get_ref().1.handshake_kind();
        assert_eq!(connect(&tls, &client).await.map(kind), Ok(Some(Full)));
        // The session can be resumed, so the refusal below is one of resumption.
        assert_eq!(connect(&tls, &client).await.map(kind), Ok(Some(Resumed)));
        secret.replace(&ca.server(), &[&next]);
        assert_eq!(tls.reload().await, Ok(true));
        assert_eq!(connect(&tls, &client).await.map(kind), Err(HandshakeFailure::Certificate));
    }
}

/// Guards against: rustls verifies the certificate of a client when a session begins, and not when it is resumed.
#[tokio::test]
async fn a_session_is_not_resumed_after_the_certificate_of_the_client_has_expired() {
    let ca = Ca::new("ca");
    for version in versions() {
        let clock = Clock::at(2030);
        let secret = Secret::new(&ca.server(), &[&ca]);
        let tls = server(&secret)
            .client_ca(secret.path("ca.crt"))
            .with_time_provider(Arc::new(clock.clone()))
            .build()
            .unwrap();
        let identity = ca.issue(|params| {
            params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        });
        let client = Arc::new(client_config(&ca, Some(&identity), &[version]));
        connect(&tls, &client).await.map(|_| ()).unwrap();
        clock.add(1);
        assert_eq!(
            connect(&tls, &client).await.map(|_| ()),
            Err(HandshakeFailure::Expired),
            "{version:?}"
        );
    }
}
