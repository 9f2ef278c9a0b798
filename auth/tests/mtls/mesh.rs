//! Callers behind the proxies of a service mesh, and headers that others forge. Each test is a rule.

use std::net::SocketAddr;

use http::Extensions;
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;
use tonic_auth_layer::mtls::{MeshProxies, MtlsCaller};
use tonic_auth_layer::{
    Access, AuthLayer, Authenticate, Head, Identity, Incoming, Mtls, MtlsError, Outcome, all_of,
    any_of, authenticate_async, authenticate_fn,
};
use tonic_call::TrustedProxies;

use crate::common::{Called, UNARY, request, send};
use crate::mtls_support::{Ca, connection, dns, uri};

const XFCC: &str = "x-forwarded-client-cert";
const LINKERD: &str = "l5d-client-id";
const A: &str = "spiffe://prod.example/a";
const GATEWAY: &str = "spiffe://prod.example/gateway";

fn from(address: &str) -> Extensions {
    let remote_addr = Some(address.parse::<SocketAddr>().unwrap());
    let mut extensions = Extensions::new();
    extensions.insert(TcpConnectInfo { local_addr: None, remote_addr });
    extensions
}

fn sidecar() -> MeshProxies {
    MeshProxies::xfcc().networks(TrustedProxies::loopback())
}

fn mtls(mesh: MeshProxies) -> Mtls {
    let callers = Mtls::builder().trust_domain("prod.example").dns_name("a.serviceaccount.example");
    callers.behind(mesh).build().unwrap()
}

fn layer(mesh: MeshProxies) -> AuthLayer {
    AuthLayer::new(mtls(mesh)).build().unwrap()
}

async fn call(layer: &AuthLayer, on: &Extensions, headers: &[(&'static str, &str)]) -> Called {
    call_of(layer, UNARY, on, headers).await
}

async fn call_of(
    layer: &AuthLayer,
    path: &str,
    on: &Extensions,
    headers: &[(&'static str, &str)],
) -> Called {
    let mut request = request(path, headers);
    request.extensions_mut().extend(on.clone());
    send(layer, request).await
}

#[tokio::test]
async fn a_sidecar_on_loopback_names_the_caller() {
    for peer in ["127.0.0.1:1", "127.0.0.6:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        let header = format!("By=spiffe://prod.example/me;Hash={};URI={A}", "0".repeat(64));
        let called = call(&layer(sidecar()), &from(peer), &[(XFCC, &header)]).await;
        let seen = called.passed();
        assert_eq!(seen.headers[XFCC], header, "a handler can read what the proxy states");
        let identity: Identity = seen.identity.unwrap();
        assert_eq!((identity.method(), identity.subject()), ("mtls", Some(A)));
        let caller = identity.data::<MtlsCaller>().unwrap();
        assert_eq!(caller.source(), XFCC);
    }
}

#[tokio::test]
async fn only_the_last_element_of_one_header_counts() {
    let sidecar = layer(sidecar());
    let peer = from("127.0.0.1:1");
    let dev = "spiffe://dev.example/x";
    let called = call(&sidecar, &peer, &[(XFCC, &format!("URI={A},URI={dev}"))]).await;
    called.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
    assert!(called.field("auth.received").unwrap().contains(dev));
    let called = call(&sidecar, &peer, &[(XFCC, &format!("URI={dev},URI={A}"))]).await;
    assert_eq!(called.passed().identity.unwrap().subject(), Some(A));

    let twice = &[(XFCC, "URI=spiffe://prod.example/a"), (XFCC, "URI=spiffe://prod.example/a")];
    let called = call(&sidecar, &peer, twice).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MALFORMED");
    for (header, reason) in [
        (format!("URI={A};URI={A}"), "TOKEN_INVALID"),
        (format!("URI={A};Subject=\""), "CREDENTIALS_MALFORMED"),
        (format!("URI={A};Subject=\"{}\"", "x".repeat(32 * 1024)), "CREDENTIALS_MALFORMED"),
        (format!("URI={A};Subject=ü"), "CREDENTIALS_MALFORMED"),
        ("Subject=\"CN=a.serviceaccount.example\"".to_owned(), "TOKEN_INVALID"),
    ] {
        let called = call(&sidecar, &peer, &[(XFCC, &header)]).await;
        called.is_refused(Code::Unauthenticated, reason);
    }
}

#[tokio::test]
async fn without_the_header_a_caller_behind_a_proxy_has_no_certificate() {
    let certificate = Ca::new("ca").named(&[uri(A)]);
    // The connection is over loopback, and its certificate would be allowed.
    let on = connection(Some(&certificate)).await;
    let called = call(&layer(sidecar()), &on, &[]).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a_proxy_can_be_named_by_its_own_certificate() {
    let ca = Ca::new("ca");
    let mesh = layer(MeshProxies::xfcc().spiffe_id(GATEWAY));
    let header = format!("URI={A}");
    let gateway = connection(Some(&ca.named(&[uri(GATEWAY)]))).await;
    let called = call(&mesh, &gateway, &[(XFCC, &header)]).await;
    assert_eq!(called.passed().identity.unwrap().subject(), Some(A));

    let other = connection(Some(&ca.named(&[uri("spiffe://prod.example/b")]))).await;
    let seen = call(&mesh, &other, &[(XFCC, &header)]).await.passed();
    assert_eq!(seen.identity.unwrap().subject(), Some("spiffe://prod.example/b"));
    assert!(!seen.headers.contains_key(XFCC), "a forged header");
    let nobody = connection(None).await;
    let called = call(&mesh, &nobody, &[(XFCC, &header)]).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_is_trusted_only_if_that_is_set() {
    let mut on = Extensions::new();
    on.insert(tonic::transport::server::UdsConnectInfo { peer_addr: None, peer_cred: None });
    let header: &[(&'static str, &str)] = &[(XFCC, "URI=spiffe://prod.example/a")];
    call(&layer(MeshProxies::xfcc().unix_socket()), &on, header).await.passed();
    let called = call(&layer(sidecar()), &on, header).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn linkerd_names_a_service_account_or_a_spiffe_id() {
    let linkerd = layer(MeshProxies::linkerd().networks(TrustedProxies::loopback()));
    let peer = from("127.0.0.1:1");
    for (header, subject) in [("a.ServiceAccount.example", "a.serviceaccount.example"), (A, A)] {
        let seen = call(&linkerd, &peer, &[(LINKERD, header)]).await.passed();
        let identity = seen.identity.unwrap();
        assert_eq!(identity.subject(), Some(subject));
        assert_eq!(identity.data::<MtlsCaller>().unwrap().source(), LINKERD);
    }
    for header in ["", "*.example", "a.serviceaccount.example,b", "a b", "spiffe://prod.example"] {
        let called = call(&linkerd, &peer, &[(LINKERD, header)]).await;
        assert_eq!((called.code, called.seen.len()), (Code::Unauthenticated, 0), "{header}");
    }
    let twice = &[(LINKERD, "a.serviceaccount.example"), (LINKERD, "a.serviceaccount.example")];
    let called = call(&linkerd, &peer, twice).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MALFORMED");
    // Linkerd does not remove Envoy's header, so it is the caller's.
    let both = &[(LINKERD, A), (XFCC, "URI=spiffe://prod.example/b")];
    let seen = call(&linkerd, &peer, both).await.passed();
    assert!(seen.headers.contains_key(LINKERD) && !seen.headers.contains_key(XFCC));
}

const FORGED: &[(&str, &str)] = &[
    (XFCC, "URI=spiffe://prod.example/a"),
    (XFCC, "URI=spiffe://prod.example/a"),
    (LINKERD, "spiffe://prod.example/a"),
    ("authorization", "Bearer ann"),
];

fn tokens() -> impl Authenticate {
    authenticate_fn(|call: &Incoming<'_>| {
        call.bearer().map(|token| token.map(|name| Identity::new("token").with_subject(name)))
    })
}

/// Looks at the headers later, as a handler does.
fn tokens_later() -> impl Authenticate {
    authenticate_async(|head: Head| async move {
        tokio::task::yield_now().await;
        let headers = head.as_incoming().headers();
        assert!(!headers.contains_key(XFCC) && !headers.contains_key(LINKERD));
        Outcome::identified(Identity::new("token"))
    })
}

#[tokio::test]
async fn no_handler_sees_a_forged_header_on_any_path_of_a_call() {
    let direct = || Mtls::builder().trust_domain("prod.example").build().unwrap();
    let build = |callers| AuthLayer::new(callers).build().unwrap();
    let everything: Vec<(&str, AuthLayer)> = vec![
        (
            "the first of any_of",
            AuthLayer::new(any_of(tokens()).or(mtls(sidecar()))).build().unwrap(),
        ),
        (
            "the last of any_of",
            AuthLayer::new(any_of(mtls(sidecar())).or(tokens())).build().unwrap(),
        ),
        ("later", AuthLayer::new(any_of(tokens_later()).or(mtls(sidecar()))).build().unwrap()),
        ("no mesh at all", AuthLayer::new(any_of(tokens()).or(direct())).build().unwrap()),
        (
            "public",
            AuthLayer::new(mtls(sidecar())).default_access(Access::public()).build().unwrap(),
        ),
        ("in shadow", AuthLayer::new(mtls(sidecar())).shadow().build().unwrap()),
        (
            "shared",
            AuthLayer::new(std::sync::Arc::new(any_of(tokens()).or(mtls(sidecar()))))
                .build()
                .unwrap(),
        ),
    ];
    for (name, layer) in &everything {
        for peer in [from("10.0.0.1:1"), Extensions::new()] {
            let seen = call(layer, &peer, FORGED).await.passed();
            for header in [XFCC, LINKERD] {
                assert!(!seen.headers.contains_key(header), "{name}: {header}");
            }
            let subject = seen.identity.and_then(|identity| identity.subject().map(str::to_owned));
            assert_ne!(subject.as_deref(), Some(A), "{name}");
        }
    }
    // Not a peer of the mesh, and no other credentials.
    for callers in [mtls(sidecar()), direct()] {
        let called = call(&build(callers), &from("10.0.0.1:1"), &FORGED[..3]).await;
        called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
    }
    let both = AuthLayer::new(all_of(tokens()).and(mtls(sidecar()))).build().unwrap();
    let called = call(&both, &from("10.0.0.1:1"), FORGED).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a_direct_caller_beside_a_mesh_is_named_by_its_certificate_and_not_by_its_header() {
    let mesh = MeshProxies::xfcc().networks(TrustedProxies::new(["10.0.0.0/8"]).unwrap());
    let certificate = Ca::new("ca").named(&[dns("x"), uri("spiffe://prod.example/b")]);
    let on = connection(Some(&certificate)).await;
    let seen = call(&layer(mesh), &on, FORGED).await.passed();
    assert_eq!(seen.identity.unwrap().subject(), Some("spiffe://prod.example/b"));
    assert!(!seen.headers.contains_key(XFCC));
}

/// Two authenticators that trust different proxies: a header passes only if both trust its peer.
#[tokio::test]
async fn of_several_authenticators_the_strictest_removes_the_headers() {
    let direct = || Mtls::builder().trust_domain("prod.example").build().unwrap();
    let network = || MeshProxies::xfcc().networks(TrustedProxies::new(["127.0.0.6"]).unwrap());
    let header: &[(&'static str, &str)] = &[(XFCC, "URI=spiffe://prod.example/a")];
    let peer = from("127.0.0.1:1");
    let all: Vec<(AuthLayer, bool)> = vec![
        (AuthLayer::new(any_of(mtls(sidecar())).or(mtls(sidecar()))).build().unwrap(), true),
        (AuthLayer::new(any_of(mtls(sidecar())).or(direct())).build().unwrap(), false),
        (AuthLayer::new(any_of(direct()).or(mtls(sidecar()))).build().unwrap(), false),
        (AuthLayer::new(any_of(mtls(sidecar())).or(mtls(network()))).build().unwrap(), false),
    ];
    for (at, (layer, is_kept)) in all.iter().enumerate() {
        let called = call(layer, &peer, header).await;
        match is_kept {
            true => assert!(called.passed().headers.contains_key(XFCC), "{at}"),
            false => called.is_refused(Code::Unauthenticated, "CREDENTIALS_MISSING"),
        }
    }
}

#[tokio::test]
async fn a_malformed_header_of_a_trusted_proxy_is_not_skipped_in_favour_of_a_token() {
    let headers: &[(&'static str, &str)] = &[(XFCC, "URI=\"a"), ("authorization", "Bearer ann")];
    let peer = from("127.0.0.1:1");
    let layer = AuthLayer::new(any_of(mtls(sidecar())).or(tokens())).build().unwrap();
    let called = call(&layer, &peer, headers).await;
    called.is_refused(Code::Unauthenticated, "CREDENTIALS_MALFORMED");
    let layer = AuthLayer::new(any_of(tokens()).or(mtls(sidecar()))).build().unwrap();
    assert_eq!(
        call(&layer, &peer, headers).await.passed().identity.unwrap().subject(),
        Some("ann")
    );
}

#[tokio::test]
async fn a_proxy_does_not_name_a_host_beside_a_spiffe_id() {
    let header: &[(&'static str, &str)] =
        &[(XFCC, "URI=spiffe://dev.example/x;DNS=a.serviceaccount.example")];
    let called = call(&layer(sidecar()), &from("127.0.0.1:1"), header).await;
    called.is_refused(Code::Unauthenticated, "TOKEN_INVALID");
}

#[tokio::test]
async fn a_panic_while_headers_are_removed_refuses_even_a_public_call() {
    struct Broken;
    impl Authenticate for Broken {
        fn authenticate(&self, _: &Incoming<'_>) -> tonic_auth_layer::Authenticating {
            Outcome::identified(Identity::new("x")).into()
        }
        fn remove_untrusted(&self, _: &mut http::request::Parts) {
            panic!("broken")
        }
    }
    for access in [Access::public(), Access::authenticated()] {
        let layer = AuthLayer::new(Broken).default_access(access).build().unwrap();
        let called = call(&layer, &Extensions::new(), &[]).await;
        called.is_refused(Code::Unavailable, "VERIFIER_UNAVAILABLE");
    }
}

#[test]
fn a_mesh_without_a_trusted_proxy_is_an_error() {
    let error = |mesh| Mtls::builder().trust_domain("a").behind(mesh).build().unwrap_err();
    assert_eq!(error(MeshProxies::xfcc()), MtlsError::NoProxies);
    assert_eq!(error(MeshProxies::linkerd()), MtlsError::NoProxies);
    let domain = "spiffe://prod.example";
    assert_eq!(error(sidecar().spiffe_id(domain)), MtlsError::NoPath(domain.to_owned()));
    assert!(matches!(error(sidecar().spiffe_id("x")), MtlsError::SpiffeId { .. }));
}
