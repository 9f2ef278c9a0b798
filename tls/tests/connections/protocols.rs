//! Which protocols are spoken.

use std::sync::Arc;

use tonic_tls_reload::{HandshakeFailure, ServerTls};

use crate::support::{Ca, Secret, client_config, connect, server, versions};

/// The protocol that a client agrees on with the server.
async fn agreed(
    tls: &ServerTls,
    ca: &Ca,
    offered: &[&str],
) -> Result<Option<String>, HandshakeFailure> {
    let mut config = client_config(ca, None, &versions());
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let connection = connect(tls, &Arc::new(config)).await?;
    let agreed = connection.server.get_ref().1.alpn_protocol();
    Ok(agreed.map(|name| String::from_utf8(name.to_vec()).unwrap()))
}

#[tokio::test]
async fn http_1_is_offered_exactly_when_asked_for_and_after_http_2() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let only = server(&secret).build().unwrap();
    let both = server(&secret).accept_http1(true).build().unwrap();
    let (h2, h1) = (Ok(Some("h2".to_owned())), Ok(Some("http/1.1".to_owned())));
    for tls in [&only, &both] {
        assert_eq!(agreed(tls, &ca, &["h2"]).await, h2);
        assert_eq!(agreed(tls, &ca, &["http/1.1", "h2"]).await, h2);
        // As with tonic's own TLS: HTTP/2 without an agreement.
        assert_eq!(agreed(tls, &ca, &[]).await, Ok(None));
    }
    assert_eq!(agreed(&only, &ca, &["http/1.1"]).await, Err(HandshakeFailure::Protocol));
    assert_eq!(agreed(&both, &ca, &["http/1.1"]).await, h1);
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken() {
    let ca = Ca::new("ca");
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).build().unwrap();
    for version in versions() {
        let config = Arc::new(client_config(&ca, None, &[version]));
        let connection = connect(&tls, &config).await.map_err(HandshakeFailure::as_str).unwrap();
        let agreed = connection.server.get_ref().1.protocol_version();
        assert_eq!(agreed, Some(version.version));
    }
}
