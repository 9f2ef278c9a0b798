//! What the log says.

use std::sync::Arc;

use tonic_call_test_kit::Lines;
use tonic_tls_reload::ClientCa;

use crate::support::{Ca, Clock, Secret, client_config, connect, server, versions};

/// The lines with this level.
fn at(level: &str, lines: &Lines) -> Vec<String> {
    let text = lines.text();
    let lines = text.lines().filter(|line| line.contains(&format!(" {level} tonic_tls_reload: ")));
    lines.map(|line| line.split_once("tonic_tls_reload: ").unwrap().1.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_problem_that_lasts_is_logged_once() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).build().unwrap();
    secret.write("tls.crt", "");
    for _ in 0..3 {
        tls.reload().await.unwrap_err();
    }
    let path = secret.path("tls.crt");
    let expected = format!(
        "changed TLS files can't be used; the previous ones stay in use error=the certificate file {} contains no \
         certificate in PEM format problem=\"empty\"",
        path.display()
    );
    assert_eq!(at("WARN", &lines), [expected]);
    secret.replace(&ca.server_between(2020, 3000), &[&ca]);
    tls.reload().await.unwrap();
    let expected =
        "TLS files were renewed; new connections use them not_after=\"3000-01-01T00:00:00Z\"";
    assert_eq!(at("INFO", &lines), [expected]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_expires_in_use_is_logged_once() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let ca = Ca::new("ca");
    let clock = Clock::at(2030);
    let secret = Secret::new(&ca.server_between(2029, 2031), &[&ca]);
    let tls = server(&secret).with_time_provider(Arc::new(clock.clone())).build().unwrap();
    tls.reload().await.unwrap();
    assert!(at("ERROR", &lines).is_empty());
    clock.set(2032);
    tls.reload().await.unwrap();
    tls.reload().await.unwrap();
    let expected = "the TLS certificate in use has expired, and the files have no new one \
                    not_after=\"2031-01-01T00:00:00Z\"";
    assert_eq!(at("ERROR", &lines), [expected]);
}

#[tokio::test]
async fn a_failed_handshake_is_logged_at_debug() {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    let config = Arc::new(client_config(&ca, None, &versions()));
    connect(&tls, &config).await.map(|_| ()).unwrap_err();
    let expected = "a TLS handshake failed failure=\"certificate\" error=peer sent no certificates";
    assert_eq!(at("DEBUG", &lines), [expected]);
}

/// Guards against: a name in a certificate that looks like a line of the log.
#[tokio::test]
async fn names_in_certificates_write_no_lines_into_the_log() {
    const NAME: &str = "x\n2026-11-27T00:00:00Z ERROR tonic_tls_reload: forged";
    let lines = Lines::default();
    let _collecting = lines.collect();
    let (ca, unknown) = (Ca::new("ca"), Ca::new(NAME));
    let secret = Secret::new(&ca.server(), &[&ca]);
    let bundle = secret.path("ca.crt");
    let mesh = ClientCa::trust_domains([("prod.example", &bundle)]);
    let uri = format!("spiffe://prod.example/{NAME}");
    for clients in [ClientCa::bundle(&bundle), mesh] {
        let tls = server(&secret).client_ca(clients).build().unwrap();
        let identity = unknown.client(&[&uri]);
        let config = Arc::new(client_config(&ca, Some(&identity), &versions()));
        connect(&tls, &config).await.map(|_| ()).unwrap_err();
    }
    let text = lines.text();
    assert_eq!(at("DEBUG", &lines).len(), 2, "{text}");
    assert!(!text.lines().any(|line| line.starts_with("2026-11-27T00:00:00Z")), "{text}");
}
