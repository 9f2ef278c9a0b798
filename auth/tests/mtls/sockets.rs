//! Client certificates over real sockets, with the TLS of `tonic-tls-reload`. Each test is a rule.

use std::path::PathBuf;

use rcgen::{BasicConstraints, DnType, IsCa, date_time_ymd};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tonic::Code;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint, Server};
use tonic_auth_layer::{
    AuthLayer, Authenticate, Identity, Incoming, Mtls, all_of, any_of, authenticate_fn,
};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KINDS, KindsService, call, listen};
use tonic_tls_reload::{ClientCa, HandshakeFailure, ServerTls};

use crate::mtls_support::{Ca, Certificate, dns, uri};

/// A server with mutual TLS.
struct Mutual {
    address: String,
    server_ca: Ca,
    /// Subject of a passed call, or the failed check; and whether the identity was cached.
    decisions: UnboundedReceiver<(String, bool)>,
    failures: UnboundedReceiver<HandshakeFailure>,
    _files: TempDir,
}

/// The bundle of one CA, which each client must have a certificate of.
fn bundle(ca: &Ca) -> impl FnOnce(&Files) -> ClientCa + use<> {
    let pem = ca.pem.clone();
    move |files| ClientCa::bundle(files.write("ca.pem", &pem))
}

/// A folder of files.
struct Files(PathBuf);

impl Files {
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Mutual {
    fn serve(clients: impl FnOnce(&Files) -> ClientCa, callers: impl Authenticate) -> Self {
        let folder = TempDir::new().unwrap();
        let files = Files(folder.path().to_owned());
        let server_ca = Ca::new("server ca");
        let own = server_ca.named(&[dns("localhost")]);
        let certificate = files.write("tls.crt", &own.pem);
        let key = files.write("tls.key", &own.key.serialize_pem());
        let tls = ServerTls::from_files(certificate, key);
        let tls = tls.client_ca(clients(&files)).build().unwrap();
        let (decided, decisions) = unbounded_channel();
        let layer = AuthLayer::new(callers).on_decision(move |decision| {
            let subject = decision.identity().and_then(Identity::subject);
            let what = decision.failure().map_or(subject, |failure| Some(failure.check()));
            let _ = decided.send((what.unwrap_or_default().to_owned(), decision.is_cached()));
        });
        let (incoming, endpoint) = listen();
        let (failed, failures) = unbounded_channel();
        let incoming = tls.incoming(incoming).on_failure(move |error| {
            let _ = failed.send(error.failure());
        });
        let server = Server::builder()
            .layer(layer.build().unwrap())
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming);
        tokio::spawn(server);
        let address = endpoint.uri().to_string().replace("http:", "https:");
        Self { address, server_ca, decisions, failures, _files: folder }
    }

    fn client(&self, certificate: Option<&Certificate>) -> KindsClient<Channel> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(tonic::transport::Certificate::from_pem(&self.server_ca.pem))
            .domain_name("localhost");
        if let Some(one) = certificate {
            let key = one.key.serialize_pem();
            tls = tls.identity(tonic::transport::Identity::from_pem(&one.pem, key));
        }
        let endpoint = Endpoint::from_shared(self.address.clone()).unwrap();
        KindsClient::new(endpoint.tls_config(tls).unwrap().connect_lazy())
    }

    /// The code of a call on a new connection, and the layer's decision.
    async fn decides(&mut self, certificate: Option<&Certificate>) -> (Code, String) {
        let mut client = self.client(certificate);
        let code = call(&mut client, KINDS[0], Ask::default(), &[]).await.code;
        (code, self.decisions.recv().await.unwrap().0)
    }

    /// Asserts that the handshake fails because of the certificate.
    async fn shuts_out(&mut self, certificate: Option<&Certificate>) {
        let mut client = self.client(certificate);
        let code = call(&mut client, KINDS[0], Ask::default(), &[]).await.code;
        // With TLS 1.3 the client learns it during its first call: `UNAVAILABLE`, or `UNKNOWN` from tonic's channel.
        assert_ne!(code, Code::Ok);
        assert_eq!(self.failures.recv().await, Some(HandshakeFailure::Certificate));
        assert!(self.decisions.try_recv().is_err(), "it reached the layer");
    }
}

const BILLING: &str = "spiffe://prod.example/billing/api";

fn billing() -> Mtls {
    Mtls::builder().path_prefix("spiffe://prod.example/billing").build().unwrap()
}

#[tokio::test]
async fn a_workload_is_known_by_its_certificate_which_is_read_once() {
    let ca = Ca::new("ca");
    let mut server = Mutual::serve(bundle(&ca), billing());
    let certificate = ca.named(&[uri(BILLING)]);
    let mut client = server.client(Some(&certificate));
    for cached in [false, true, true, true] {
        let kind = KINDS[usize::from(cached)];
        assert_eq!(call(&mut client, kind, Ask::default(), &[]).await.code, Code::Ok);
        assert_eq!(server.decisions.recv().await, Some((BILLING.to_owned(), cached)));
    }
}

#[tokio::test]
async fn a_verified_certificate_with_another_name_is_refused_with_the_reason_for_the_operator() {
    let ca = Ca::new("ca");
    let mut server = Mutual::serve(bundle(&ca), billing());
    let common_name = ca.issue(|params| {
        params.distinguished_name.push(DnType::CommonName, BILLING);
    });
    for (certificate, code, check) in [
        (ca.named(&[uri("spiffe://dev.example/billing")]), Code::Unauthenticated, "trust_domain"),
        (ca.named(&[uri("spiffe://prod.example/x")]), Code::PermissionDenied, "spiffe_id"),
        (ca.named(&[uri(BILLING), uri(BILLING)]), Code::Unauthenticated, "uri_san"),
        (ca.named(&[dns("billing.example")]), Code::PermissionDenied, "dns_name"),
        (common_name, Code::Unauthenticated, "san"),
    ] {
        assert_eq!(server.decides(Some(&certificate)).await, (code, check.to_owned()));
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_good_does_not_reach_the_layer() {
    let (ca, other) = (Ca::new("ca"), Ca::new("other"));
    let mut server = Mutual::serve(bundle(&ca), billing());
    let between = |from: i32, to: i32| {
        ca.issue(|params| {
            params.subject_alt_names = vec![uri(BILLING)];
            params.not_before = date_time_ymd(from, 1, 1);
            params.not_after = date_time_ymd(to, 1, 1);
        })
    };
    let as_ca = ca.issue(|params| {
        params.subject_alt_names = vec![uri(BILLING)];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    for certificate in
        [between(2000, 2001), between(3000, 3001), other.named(&[uri(BILLING)]), as_ca]
    {
        server.shuts_out(Some(&certificate)).await;
    }
    server.shuts_out(None).await;
    let good = ca.named(&[uri(BILLING)]);
    assert_eq!(server.decides(Some(&good)).await, (Code::Ok, BILLING.to_owned()));
}

/// Guards against: the CA of a partner that issues a certificate of our own trust domain.
#[tokio::test]
async fn a_ca_vouches_only_for_its_own_trust_domain() {
    let (prod, partner) = (Ca::new("prod"), Ca::new("partner"));
    let pems = [("prod.example", prod.pem.clone()), ("partner.example", partner.pem.clone())];
    let clients = move |files: &Files| {
        ClientCa::trust_domains(pems.map(|(name, pem)| (name, files.write(name, &pem))))
    };
    let callers = Mtls::builder().trust_domain("prod.example").trust_domain("partner.example");
    let mut server = Mutual::serve(clients, callers.build().unwrap());
    let (ours, theirs) = (uri(BILLING), uri("spiffe://partner.example/x"));
    for (ca, name, other) in [(&prod, &ours, &theirs), (&partner, &theirs, &ours)] {
        let passed = server.decides(Some(&ca.named(std::slice::from_ref(name)))).await;
        assert_eq!(passed.0, Code::Ok);
        server.shuts_out(Some(&ca.named(std::slice::from_ref(other)))).await;
    }
}

#[tokio::test]
async fn a_token_and_a_certificate_are_required_together_or_either_is_enough() {
    let tokens = || {
        authenticate_fn(|call: &Incoming<'_>| {
            call.bearer().map(|token| token.map(|name| Identity::new("token").with_subject(name)))
        })
    };
    let ca = Ca::new("ca");
    let certificate = ca.named(&[uri(BILLING)]);
    let optional = |ca: &Ca| {
        let clients = bundle(ca);
        move |files: &Files| clients(files).optional()
    };
    let bearer = &[("authorization", "Bearer ann")][..];
    let mut both = Mutual::serve(optional(&ca), all_of(tokens()).and(billing()));
    let mut either = Mutual::serve(optional(&ca), any_of(tokens()).or(billing()));
    for (has_certificate, has_token, both_say, either_says) in [
        (true, true, (Code::Ok, "ann"), (Code::Ok, "ann")),
        (true, false, (Code::Unauthenticated, "all_of"), (Code::Ok, BILLING)),
        (false, true, (Code::Unauthenticated, "all_of"), (Code::Ok, "ann")),
        (
            false,
            false,
            (Code::Unauthenticated, "credentials"),
            (Code::Unauthenticated, "credentials"),
        ),
    ] {
        for (server, (code, what)) in [(&mut both, both_say), (&mut either, either_says)] {
            let mut client = server.client(has_certificate.then_some(&certificate));
            let headers = if has_token { bearer } else { &[] };
            let called = call(&mut client, KINDS[0], Ask::default(), headers).await;
            assert_eq!(called.code, code);
            assert_eq!(server.decisions.recv().await.unwrap().0, what);
        }
    }
}
