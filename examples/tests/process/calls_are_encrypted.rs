use std::time::Duration;

use orders::v1::GetOrderRequest;
use orders::v1::order_service_client::OrderServiceClient;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::time_provider::TimeProvider;
use tonic::Code;
use tonic_tls_reload::{ClientTls, ServerTls};

use crate::common::certificates::{Certificates, texts};
use crate::common::process::{Ran, Served, get, orders, run};
use crate::common::soon;

async fn list(to: &str, flags: &[String]) -> Ran {
    let call = ["call", "--to", to, "--timeout", "20s"];
    run(&[&call[..], &texts(flags), &["list-orders"]].concat()).await
}

fn fails(ran: &Ran, parts: &[&str]) {
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    for part in parts {
        assert!(ran.err.contains(part), "{part:?} is not in {:?}", ran.err);
    }
}

#[tokio::test]
async fn over_tls_and_over_nothing_else() {
    let certificates = Certificates::new();
    let served = Served::start(&texts(&certificates.serve())).await;
    list(&served.https(), &certificates.call()).await.json();
    list(&served.https().replace("127.0.0.1", "localhost"), &certificates.call()).await.json();

    let plain = list(&served.url(), &[]).await;
    assert!(plain.code == Some(1) && plain.err.contains("use an https URL"), "{plain:?}");
    let mut socket = TcpStream::connect(&served.address).await.unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    soon(socket.read_to_end(&mut heard)).await.unwrap();
    // A TLS alert.
    assert_eq!(heard[0], 21, "{heard:?}");

    served.signal(Signal::INT);
    let (status, _, log) = served.ended().await;
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("a TLS handshake failed") && log.contains("protocol"), "{log}");
}

#[tokio::test]
async fn several_servers_are_called_in_turn() {
    let certificates = Certificates::new();
    let serve = certificates.serve();
    let flags = texts(&serve);
    let served = [Served::start(&flags).await, Served::start(&flags).await];
    let to = served.each_ref().map(Served::https);
    let call = ["call", "--repeat", "10", "--to", &to[0], "--to", &to[1], "list-orders"];
    let ran = run(&[&call[..], &texts(&certificates.call())].concat()).await;
    for served in &served {
        assert!(ran.err.contains(&format!("{}: 5 OK", served.address)), "{ran:?}");
    }
}

#[tokio::test]
async fn with_a_client_ca_clients_need_a_certificate_unless_it_is_optional() {
    let certificates = Certificates::new();
    let others = Certificates::new();
    let mut stranger = certificates.call();
    stranger.extend(others.call_mutual().split_off(2));

    let served = Served::start(&texts(&certificates.serve_mutual())).await;
    list(&served.https(), &certificates.call_mutual()).await.json();
    let refused = list(&served.https(), &certificates.call()).await;
    fails(&refused, &["UNAVAILABLE", &served.address, "requires a client certificate"]);
    let refused = list(&served.https(), &stranger).await;
    fails(&refused, &["UNAVAILABLE", &served.address, "refused the client certificate"]);
    served.signal(Signal::INT);
    let (_, _, log) = served.ended().await;
    let line = log.lines().find(|line| line.contains("a TLS handshake failed"));
    let line: serde_json::Value = serde_json::from_str(line.expect(&log)).unwrap();
    assert_eq!((&line["level"], &line["reason"]), (&"WARN".into(), &"certificate".into()));

    let optional = [certificates.serve_mutual(), vec!["--client-cert=optional".to_owned()]];
    let served = Served::start(&texts(&optional.concat())).await;
    list(&served.https(), &certificates.call_mutual()).await.json();
    list(&served.https(), &certificates.call()).await.json();
    fails(&list(&served.https(), &stranger).await, &["refused the client certificate"]);
}

#[tokio::test]
async fn a_server_of_another_ca_or_host_is_named_with_the_reason() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let served = Served::start(&texts(&certificates.serve())).await;
    let refused = list(&served.https(), &others.call()).await;
    fails(&refused, &["UNAVAILABLE", &served.address, "not issued by a CA in", "--tls-ca"]);
    certificates.issue_for("server", "elsewhere.test");
    let elsewhere = Served::start(&texts(&certificates.serve())).await;
    let refused = list(&elsewhere.https(), &certificates.call()).await;
    fails(&refused, &["not for the host of this URL"]);
    let plain = Served::start(&[]).await;
    let refused = list(&plain.https(), &certificates.call()).await;
    fails(&refused, &[&plain.address, "does not speak TLS"]);
    served.signal(Signal::INT);
    let (_, _, log) = served.ended().await;
    assert!(log.contains("a TLS handshake failed") && log.contains("UnknownCA"), "{log}");
}

/// A clock that stands at the beginning of 2021.
#[derive(Debug)]
struct In2021;

impl TimeProvider for In2021 {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_609_459_200)))
    }
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_an_error_that_says_so() {
    let certificates = Certificates::new();
    certificates.issue_until("server", 2022);
    certificates.issue_until("client", 2022);

    // At the start, on both sides.
    let flags = certificates.serve();
    let expired = [&["serve", "--db", ":memory:"], &texts(&flags)[..]].concat();
    fails(
        &run(&expired).await,
        &["cannot serve TLS", "server.crt", "expired at 2022-01-01T00:00:00Z"],
    );
    let own = list("https://localhost:1", &certificates.call_mutual()).await;
    fails(&own, &["client.crt", "expired at 2022-01-01T00:00:00Z"]);

    // A server that has not noticed.
    let tls =
        ServerTls::from_files(certificates.path("server.crt"), certificates.path("server.key"));
    let tls = tls.with_time_provider(std::sync::Arc::new(In2021)).build().unwrap();
    let (incoming, endpoint) = tonic_call_test_kit::listen();
    let routes = tonic::transport::Server::builder().add_routes(tonic::service::Routes::default());
    tokio::spawn(routes.serve_with_incoming(tls.incoming(incoming)));
    let to = format!("https://localhost:{}", endpoint.uri().port().unwrap());
    fails(&list(&to, &certificates.call()).await, &["the server's certificate has expired"]);

    // A client that has not noticed.
    certificates.issue("server");
    let served = Served::start(&texts(&certificates.serve_mutual())).await;
    let client = ClientTls::from_files(certificates.path("ca.crt"))
        .certificate(certificates.path("client.crt"), certificates.path("client.key"))
        .with_time_provider(std::sync::Arc::new(In2021))
        .build()
        .unwrap();
    let channel = client.endpoint(served.https()).unwrap().connect_lazy();
    let id = "x".to_owned();
    let called = OrderServiceClient::new(channel).get_order(GetOrderRequest { id }).await;
    assert_ne!(called.unwrap_err().code(), Code::NotFound);
    served.signal(Signal::INT);
    let (_, _, log) = served.ended().await;
    assert!(log.contains("a TLS handshake failed") && log.contains("certificate expired"), "{log}");
}

#[tokio::test]
async fn a_token_goes_over_tls_as_it_goes_to_this_machine() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().unwrap();
    let own = ["serve", "--listen", "127.0.0.1:0", "--metrics", "off"];
    let mut command = orders(&[&own[..], &texts(&certificates.serve())].concat());
    command.current_dir(folder.path());
    let served = Served::spawn(command).await;
    let to = served.https();
    let call = ["call", "--to", &to, "list-orders"];
    let mut command = orders(&[&call[..], &texts(&certificates.call())].concat());
    let ran = soon(command.current_dir(folder.path()).output()).await.unwrap();
    Ran::from(ran).json();
}

#[tokio::test]
async fn metrics_show_when_the_certificate_expires_over_tls_if_that_is_asked_for() {
    let certificates = Certificates::new();
    certificates.issue_until("server", 2999);
    let flags = certificates.serve();
    let mut plain =
        Served::start(&[&texts(&flags)[..], &["--metrics", "127.0.0.1:0"]].concat()).await;
    let address = plain.metrics_address().await;
    // They are there soon after the server listens.
    let (seconds, metrics) = soon(async {
        loop {
            let (_, metrics) = get(&address, "/metrics").await;
            let aged = sample(&metrics, "connections_closed_total{reason=\"aged\"}");
            match sample(&metrics, "tls_certificate_not_after_timestamp_seconds") {
                Some(seconds) if aged == Some(0.0) => break (seconds, metrics),
                _ => {}
            }
        }
    })
    .await;
    // The new year of 2999.
    assert_eq!(seconds, 32_472_144_000.0);
    for zero in [
        "tls_reloads_total{result=\"renewed\"}",
        "tls_reloads_total{result=\"refused\"}",
        "tls_handshake_failures_total{reason=\"certificate\"}",
    ] {
        assert_eq!(sample(&metrics, zero), Some(0.0), "{zero}\n{metrics}");
    }

    let secret = [&texts(&flags)[..], &["--metrics", "127.0.0.1:0", "--metrics-tls"]].concat();
    let mut served = Served::start(&secret).await;
    let line = served.next_line().await;
    let url = line.strip_prefix("metrics on ").unwrap().trim_end();
    assert!(url.starts_with("https://127.0.0.1:") && url.ends_with("/metrics"), "{url}");
    let address = url.trim_start_matches("https://").trim_end_matches("/metrics");
    let socket = TcpStream::connect(address).await.unwrap();
    let config = client_config(&certificates);
    let name = "localhost".try_into().unwrap();
    let mut stream =
        soon(tokio_rustls::TlsConnector::from(config).connect(name, socket)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\n# TYPE "), "{answer}");
    // In plain text there is nothing.
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    _ = soon(socket.read_to_end(&mut heard)).await;
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
}

/// As Prometheus and curl: both protocols are offered.
fn client_config(
    certificates: &Certificates,
) -> std::sync::Arc<tokio_rustls::rustls::ClientConfig> {
    let tls = ClientTls::from_files(certificates.path("ca.crt")).build().unwrap();
    let mut config = tokio_rustls::rustls::ClientConfig::clone(&tls.config());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    std::sync::Arc::new(config)
}

fn sample(metrics: &str, name: &str) -> Option<f64> {
    let lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
    let mut values = lines.filter(|(series, _)| *series == name);
    values.next().and_then(|(_, value)| value.parse().ok())
}

#[tokio::test]
async fn flags_that_contradict_each_other_are_2_and_name_the_other() {
    let to = "https://localhost:1";
    for (wrong, part) in [
        (&["serve", "--tls-cert", "c"][..], "--tls-key"),
        (&["serve", "--tls-key", "k"], "--tls-cert"),
        (&["serve", "--client-ca", "a"], "--tls-cert"),
        (
            &["serve", "--tls-cert", "c", "--tls-key", "k", "--client-cert", "optional"],
            "--client-ca",
        ),
        (&["serve", "--metrics-tls"], "--tls-cert"),
        (&["serve", "--connection-age", "0"], "or off"),
        (&["serve", "--health", "here"], "host and a port"),
        (&["call", "--to", to, "list-orders"], "--tls-ca FILE"),
        (&["call", "--to", "http://localhost:1", "--tls-ca", "a", "list-orders"], "https"),
        (&["call", "--to", to, "--tls-ca", "a", "--tls-cert", "c", "list-orders"], "--tls-key"),
        (&["call", "--to", to, "list-orders", "--tls-ca", "a", "--tls-key", "k"], "--tls-cert"),
        (&["certs"], "<DIR>"),
    ] {
        let ran = run(wrong).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(ran.err.contains(part), "{wrong:?}: {}", ran.err);
    }
}
