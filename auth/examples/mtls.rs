//! A server that knows its callers by their client certificates.
//!
//! ```sh
//! cargo run -p tonic-auth-layer --example auth-mtls --features mtls
//! ```
//!
//! Prints what callers with several certificates see, and who each of them is to the operator.
#![allow(clippy::print_stdout)]

use std::error::Error;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Server, ServerTlsConfig};
use tonic_auth_layer::{AuthLayer, Mtls};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

/// In production SPIRE, cert-manager or a mesh issues the certificates.
struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn new() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key) })
    }

    fn issue(&self, name: SanType) -> Result<Identity, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity::from_pem(certificate.pem(), key.serialize_pem()))
    }

    fn root(&self) -> Certificate {
        Certificate::from_pem(&self.pem)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Needed only if features compile two providers into the program.
    let _ = default_provider().install_default();
    let ca = Ca::new()?;
    let callers = Mtls::builder().path_prefix("spiffe://prod.example/billing").build()?;
    let auth = AuthLayer::new(callers)
        .on_decision(|decision| match (decision.identity(), decision.failure()) {
            (Some(caller), _) => println!("  operator: {}", caller.subject().unwrap_or_default()),
            (None, Some(failure)) => println!("  operator: {failure}"),
            (None, None) => {}
        })
        .build()?;
    // Without `client_auth_optional`, a client without a certificate fails in the handshake.
    let tls = ServerTlsConfig::new()
        .identity(ca.issue(SanType::DnsName("localhost".try_into()?))?)
        .client_ca_root(ca.root())
        .client_auth_optional(true);
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .tls_config(tls)?
        .layer(auth)
        .add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let address = endpoint.uri().to_string().replace("http:", "https:");
    for name in [
        Some("spiffe://prod.example/billing/api"),
        Some("spiffe://prod.example/reports"),
        Some("spiffe://dev.example/billing"),
        None,
    ] {
        let mut tls = ClientTlsConfig::new().ca_certificate(ca.root()).domain_name("localhost");
        if let Some(name) = name {
            tls = tls.identity(ca.issue(SanType::URI(name.try_into()?))?);
        }
        let endpoint = tonic::transport::Endpoint::from_shared(address.clone())?.tls_config(tls)?;
        println!("{}", name.unwrap_or("without a certificate"));
        match OrderServiceClient::new(endpoint.connect_lazy()).unary(Ask::default()).await {
            Ok(_) => println!("  caller: OK"),
            Err(status) => println!("  caller: {:?}: {}", status.code(), status.message()),
        }
    }
    Ok(())
}
