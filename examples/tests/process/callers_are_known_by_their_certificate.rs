//! `orders serve --allow-spiffe` and `--trust-xfcc`: callers by the SPIFFE ID in their client certificate.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::certificates::{Certificates, texts, uri};
use crate::common::issuer::{ISSUER, Issuer};
use crate::common::process::{Ran, Served, orders, run};

const BILLING: &str = "spiffe://orders.test/billing/api";
const OTHER_PATH: &str = "spiffe://orders.test/reports";
const OTHER_DOMAIN: &str = "spiffe://elsewhere.test/billing/api";
const ALLOW: [&str; 2] = ["--allow-spiffe", "spiffe://orders.test/billing/*"];

/// Certificates named after what is in them.
fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue_named("billing", &[uri(BILLING)]);
    certificates.issue_named("billing 2", &[uri(BILLING)]);
    certificates.issue_named("other path", &[uri(OTHER_PATH)]);
    certificates.issue_named("other domain", &[uri(OTHER_DOMAIN)]);
    certificates.issue_named("two", &[uri(BILLING), uri(OTHER_PATH)]);
    certificates.issue_named("no SAN", &[]);
    certificates.issue_named("gateway", &[uri("spiffe://orders.test/gateway")]);
    certificates
}

/// A server without tokens.
async fn start(certificates: &Certificates, more: &[&str]) -> Served {
    let tls = certificates.serve_mutual();
    Served::start(&[&texts(&tls)[..], &["--client-cert=optional", "--log=json"], more].concat())
        .await
}

/// A server that also needs a token of the issuer, whose keys are written beside the certificates.
async fn start_with_tokens(certificates: &Certificates, issuer: &Issuer, more: &[&str]) -> Served {
    certificates.write("keys.json", &issuer.keys());
    let (tls, keys) = (certificates.serve_mutual(), certificates.path("keys.json"));
    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--metrics", "off"];
    let tokens = ["--issuer", ISSUER, "--audience", "orders", "--jwks", &keys, "--log", "json"];
    let optional = ["--client-cert", "optional"];
    let all = [&serve[..], &tokens, &texts(&tls), &optional, more].concat();
    Served::spawn(orders(&all)).await
}

/// A call over TLS with the certificate of this name, if it is not empty, and these flags.
async fn call(served: &Served, certificates: &Certificates, name: &str, flags: &[&str]) -> Ran {
    let tls = match name {
        "" => certificates.call(),
        _ => certificates.call_with(name),
    };
    let to = served.https();
    run(&[&["call", "--to", &to, "--timeout", "20s"], &texts(&tls)[..], flags, &["list-orders"]]
        .concat())
    .await
}

/// A call in plain text with this metadata.
async fn plain(served: &Served, metadata: &[String]) -> Ran {
    let metadata = metadata.iter().flat_map(|one| ["-H", one]);
    let to = served.url();
    let flags = metadata.collect::<Vec<_>>();
    run(&[&["call", "--to", &to, "--timeout", "20s"], &flags[..], &["list-orders"]].concat()).await
}

fn xfcc(element: &str) -> String {
    format!("x-forwarded-client-cert={element}")
}

/// The log lines of calls: code, failed check, name in the certificate, and where it comes from.
async fn decisions(served: Served) -> Vec<[String; 4]> {
    let lines = finished(served).await;
    let fields = ["rpc.response.status_code", "auth.check", "mtls.caller", "mtls.source"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lines.iter().map(|line| fields.map(|field| text(&line[field]))).collect()
}

async fn finished(served: Served) -> Vec<Value> {
    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0), "{log}");
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    lines.filter(|line| line["message"] == "finished call").collect()
}

const PASSED: [&str; 4] = ["OK", "", BILLING, "connection"];
const ABSENT: [&str; 4] = ["UNAUTHENTICATED", "credentials", "", ""];

fn refused(code: &'static str, check: &'static str) -> [&'static str; 4] {
    [code, check, "", ""]
}

#[tokio::test]
async fn the_server_serves_the_workloads_that_it_allows_and_no_others() {
    let certificates = certificates();
    let served = start(&certificates, &ALLOW).await;
    let cases = [
        ("billing", PASSED),
        ("other domain", refused("UNAUTHENTICATED", "trust_domain")),
        ("other path", refused("PERMISSION_DENIED", "spiffe_id")),
        ("two", refused("UNAUTHENTICATED", "uri_san")),
        // Only a common name.
        ("no SAN", refused("UNAUTHENTICATED", "san")),
        // A DNS name.
        ("client", refused("PERMISSION_DENIED", "dns_name")),
        ("", ABSENT),
    ];
    for (name, [code, ..]) in cases {
        let ran = call(&served, &certificates, name, &[]).await;
        assert_eq!(ran.code, Some(i32::from(code != "OK")), "{name}: {ran:?}");
        assert!(code == "OK" || ran.err.starts_with(code), "{name}: {ran:?}");
        assert!(!ran.err.contains("spiffe://"), "the caller does not learn the list: {ran:?}");
    }
    assert_eq!(decisions(served).await, cases.map(|(_, expected)| expected));
}

#[tokio::test]
async fn a_caller_needs_both_the_certificate_and_a_token_with_the_scope() {
    let (certificates, issuer) = (certificates(), Issuer::new());
    let served = start_with_tokens(&certificates, &issuer, &ALLOW).await;
    let (reads, writes) =
        (issuer.token("orders", "orders.read"), issuer.token("orders", "orders.write"));
    let of_another = Issuer::new().token("orders", "orders.read");
    for (name, token, expected) in [
        ("billing", Some(&reads), None),
        (
            "billing",
            Some(&writes),
            Some("PERMISSION_DENIED: permission denied: needs the scope orders.read"),
        ),
        ("billing", Some(&of_another), Some("UNAUTHENTICATED: the credentials are not valid")),
        ("billing", None, Some("UNAUTHENTICATED")),
        ("other path", Some(&reads), Some("PERMISSION_DENIED: permission denied")),
        ("other domain", Some(&reads), Some("UNAUTHENTICATED")),
        ("", Some(&reads), Some("--tls-cert FILE")),
        ("", None, Some("UNAUTHENTICATED")),
    ] {
        let flags = token.map(|token| ["--token", token]);
        let flags = flags.as_ref().map(|flags| &flags[..]).unwrap_or_default();
        let ran = call(&served, &certificates, name, flags).await;
        match expected {
            None => assert_eq!(ran.code, Some(0), "{name}: {ran:?}"),
            Some(part) => assert!(ran.code == Some(1) && ran.err.contains(part), "{ran:?}"),
        }
    }
    let lines = finished(served).await;
    assert_eq!(lines.len(), 8);
    let both = json!([format!("{ISSUER}#ann"), BILLING, "connection"]);
    let line = &lines[0];
    assert_eq!(json!([line["enduser.id"], line["mtls.caller"], line["mtls.source"]]), both);
    let checks = lines[1..].iter().map(|line| line["auth.check"].as_str().unwrap());
    assert_eq!(
        checks.collect::<Vec<_>>(),
        ["scope", "signature", "all_of", "spiffe_id", "trust_domain", "all_of", "credentials"]
    );
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_refused_with_another_one() {
    let (certificates, issuer) = (certificates(), Issuer::new());
    let served = start_with_tokens(&certificates, &issuer, &ALLOW).await;
    let token = issuer.token_bound_to(&certificates.der("billing.crt"));
    // Twice: the second time the token is cached.
    let cases = ["billing", "billing 2", "", "billing", "billing 2", ""];
    for name in cases {
        let ran = call(&served, &certificates, name, &["--token", &token]).await;
        assert_eq!(ran.code, Some(i32::from(name != "billing")), "{name}: {ran:?}");
    }
    let [passed, refused] = [PASSED, refused("UNAUTHENTICATED", "cnf")];
    assert_eq!(decisions(served).await, [passed, refused, refused, passed, refused, refused]);

    // Without --client-ca there are no certificates that it can be bound to.
    let served = {
        let keys = certificates.path("keys.json");
        let serve = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--metrics", "off"];
        let tokens = ["--issuer", ISSUER, "--audience", "orders", "--jwks", &keys, "--log=json"];
        Served::spawn(orders(&[&serve[..], &tokens].concat())).await
    };
    plain(&served, &[format!("authorization=Bearer {token}")]).await;
    assert_eq!(decisions(served).await, [refused]);
}

#[tokio::test]
async fn a_forged_header_names_nobody_over_tls_and_in_plain_text() {
    let certificates = certificates();
    // Of Envoy and Istio, and of Linkerd.
    let forged = [xfcc(&format!("URI={BILLING}")), format!("l5d-client-id={BILLING}")];
    let flags = ["-H", &forged[0], "-H", &forged[1]];

    // No proxy is trusted, or one that is elsewhere.
    for more in [&[][..], &["--trust-xfcc", "192.0.2.0/24"]] {
        let served = start(&certificates, &[&ALLOW[..], more].concat()).await;
        for name in ["", "other path", "other domain", "billing"] {
            call(&served, &certificates, name, &flags).await;
        }
        let [path, domain] =
            [refused("PERMISSION_DENIED", "spiffe_id"), refused("UNAUTHENTICATED", "trust_domain")];
        assert_eq!(decisions(served).await, [ABSENT, path, domain, PASSED], "{more:?}");
    }

    let flags = [&ALLOW[..], &["--trust-xfcc", "192.0.2.0/24", "--log=json"]].concat();
    let served = Served::start(&flags).await;
    for headers in [&forged[..1], &forged[1..], &forged[..]] {
        assert_eq!(plain(&served, headers).await.code, Some(1));
    }
    assert_eq!(decisions(served).await, [ABSENT; 3]);
}

#[tokio::test]
async fn a_trusted_proxy_names_the_caller_by_the_last_element_of_its_header() {
    let flags = [&ALLOW[..], &["--trust-xfcc", "loopback", "--log=json"]].concat();
    let served = Served::start(&flags).await;
    let by_header = ["OK", "", BILLING, "x-forwarded-client-cert"];
    let malformed = refused("UNAUTHENTICATED", "xfcc");
    let cases = [
        (
            vec![xfcc(&format!("By=spiffe://orders.test/me;Subject=\"a,b\";URI={BILLING}"))],
            by_header,
        ),
        (vec![xfcc(&format!("URI={OTHER_PATH},URI={BILLING}"))], by_header),
        (
            vec![xfcc(&format!("URI={BILLING},URI={OTHER_PATH}"))],
            refused("PERMISSION_DENIED", "spiffe_id"),
        ),
        (vec![xfcc(&format!("URI={OTHER_DOMAIN}"))], refused("UNAUTHENTICATED", "trust_domain")),
        (vec![xfcc(&format!("URI={BILLING};URI={BILLING}"))], malformed),
        (vec![xfcc(&format!("Subject=\"a;URI={BILLING}"))], malformed),
        // Which of two was the proxy's is not known.
        (vec![xfcc(&format!("URI={BILLING}")), xfcc(&format!("URI={BILLING}"))], malformed),
        // The header of another mesh.
        (vec![format!("l5d-client-id={BILLING}")], ABSENT),
        (Vec::new(), ABSENT),
    ];
    for (headers, _) in &cases {
        plain(&served, headers).await;
    }
    assert_eq!(decisions(served).await, cases.map(|(_, expected)| expected));
}

#[tokio::test]
async fn a_proxy_is_trusted_by_its_own_certificate_which_never_names_the_caller() {
    let certificates = certificates();
    let trust = ["--trust-xfcc", "spiffe://orders.test/gateway"];
    let gateway = ["--allow-spiffe", "spiffe://orders.test/gateway"];
    let served = start(&certificates, &[&ALLOW[..], &gateway, &trust].concat()).await;
    let header = xfcc(&format!("URI={BILLING}"));
    for (name, flags) in [
        ("gateway", &["-H", &header][..]),
        ("gateway", &[]),
        ("other path", &["-H", &header]),
        ("billing", &["-H", "x-forwarded-client-cert=URI=spiffe://orders.test/forged"]),
    ] {
        call(&served, &certificates, name, flags).await;
    }
    let by_header = ["OK", "", BILLING, "x-forwarded-client-cert"];
    let path = refused("PERMISSION_DENIED", "spiffe_id");
    assert_eq!(decisions(served).await, [by_header, ABSENT, path, PASSED]);
}

#[tokio::test]
async fn a_token_can_be_bound_to_the_certificate_that_a_trusted_proxy_names() {
    let (certificates, issuer) = (certificates(), Issuer::new());
    certificates.write("keys.json", &issuer.keys());
    let keys = certificates.path("keys.json");
    let serve = ["serve", "--listen", "127.0.0.1:0", "--db", ":memory:", "--metrics", "off"];
    let tokens = ["--issuer", ISSUER, "--audience", "orders", "--jwks", &keys, "--log=json"];
    let trust = ["--trust-xfcc", "loopback"];
    let served = Served::spawn(orders(&[&serve[..], &tokens, &ALLOW, &trust].concat())).await;
    let token = issuer.token_bound_to(&certificates.der("billing.crt"));
    for name in ["billing", "billing 2"] {
        let hash = aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            &certificates.der(&format!("{name}.crt")),
        );
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let header = xfcc(&format!("Hash={hash};URI={BILLING}"));
        plain(&served, &[format!("authorization=Bearer {token}"), header]).await;
    }
    let by_header = ["OK", "", BILLING, "x-forwarded-client-cert"];
    assert_eq!(decisions(served).await, [by_header, refused("UNAUTHENTICATED", "cnf")]);
}

#[tokio::test]
async fn health_needs_no_certificate_of_an_allowed_workload() {
    let certificates = certificates();
    let served = start(&certificates, &ALLOW).await;
    let tls = tonic_tls_reload::ClientTls::from_files(certificates.path("ca.crt"));
    let channel = tls.build().unwrap().endpoint(served.https()).unwrap().connect_lazy();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
    let answer = crate::common::soon(health.check(request)).await.unwrap();
    assert_eq!(answer.into_inner().status, 1);
}

#[tokio::test]
async fn flags_that_allow_nobody_or_everybody_are_2_and_say_what_is_missing() {
    let allow = ["serve", "--allow-spiffe", BILLING];
    for (wrong, part) in [
        (allow.to_vec(), "--allow-spiffe needs --client-ca FILE"),
        ([&allow[..], &["--tls-cert", "c", "--tls-key", "k"]].concat(), "--client-ca FILE"),
        (vec!["serve", "--trust-xfcc", "loopback"], "--allow-spiffe"),
        (vec!["serve", "--allow-spiffe", "spiffe://orders.test"], "spiffe://orders.test/* allows"),
        (vec!["serve", "--allow-spiffe", "orders.test/billing"], "must be a SPIFFE ID"),
        ([&allow[..], &["--trust-xfcc", "0.0.0.0/0"]].concat(), "every peer could then name"),
        ([&allow[..], &["--trust-xfcc", "sidecar"]].concat(), "must be loopback, a network"),
        (
            [&allow[..], &["--trust-xfcc", "spiffe://orders.test/gateway"]].concat(),
            "needs --client-ca FILE",
        ),
    ] {
        let ran = run(&wrong).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(ran.err.contains(part), "{wrong:?}: {}", ran.err);
    }
}
