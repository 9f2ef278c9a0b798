//! Callers with an API key, with a client certificate, behind the proxy of a mesh, and with a token that is bound to a
//! certificate.

use http::{HeaderName, HeaderValue};
use tokio::runtime::Builder;
use tonic_auth_layer::mtls::MeshProxies;
use tonic_auth_layer::{ApiKeys, AuthLayer, Authenticate, Identity, Mtls};
use tonic_call::TrustedProxies;

use crate::subject::Subject;
use crate::tls::{Certificates, WORKLOAD};
use crate::tokens::Issuer;

const SECRET: &str = "2f1e6cb6a9f44dd2a1b95f47a0a7ce5d";

/// As a sidecar of Istio writes it.
const XFCC: &str = "By=spiffe://prod.example/orders;\
    Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;Subject=\"\";\
    URI=spiffe://prod.example/billing/api";

/// Subjects that identify the caller of each call.
pub(crate) fn identified() -> Vec<Subject> {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let connection = runtime.block_on(async { Certificates::issue().accept_workload().await });
    let certificates = connection.peer_certs().expect("the client has a certificate");
    let issuer = Issuer::hs256();
    let bound = issuer.bound_authorization("ann", &certificates[0]);

    let keys = ApiKeys::new();
    let keys = keys.key(SECRET, Identity::new("api_key").with_subject(WORKLOAD)).expect("a key");
    let allowed = || Mtls::builder().path_prefix("spiffe://prod.example/billing");
    let behind = |proxies: MeshProxies| {
        let proxies = proxies.networks(cluster());
        layer(allowed().behind(proxies).build().expect("a list"))
    };
    let header = |subject: Subject, name, value| {
        subject.with_header(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let xfcc = Subject::new("auth XFCC", behind(MeshProxies::xfcc()));
    let linkerd = Subject::new("auth l5d-client-id", behind(MeshProxies::linkerd()));
    let mtls = Subject::new("auth mTLS", layer(allowed().build().expect("a list")));
    let bound_token = Subject::new("auth bound HS256, warm", issuer.bound_layer());
    vec![
        header(Subject::new("auth API key", layer(keys)), "x-api-key", SECRET),
        mtls.over_tls(connection.clone()),
        header(xfcc, "x-forwarded-client-cert", XFCC),
        header(linkerd, "l5d-client-id", WORKLOAD),
        bound_token.authorized(bound).over_tls(connection),
    ]
}

/// The peer's network in all calls.
fn cluster() -> TrustedProxies {
    TrustedProxies::new(["10.0.0.0/8"]).expect("a network")
}

fn layer(callers: impl Authenticate) -> AuthLayer {
    AuthLayer::new(callers).build().expect("a layer")
}
