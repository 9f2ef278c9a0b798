//! A server and a client with mutual TLS, whose certificates are renewed while they run.
//!
//! ```sh
//! cargo run -p tonic-tls-reload --features tls-aws-lc --example tls-renewal
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::transport::Server;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};
use tonic_tls_reload::{ClientTls, ConnectionAge, ServerTls};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

/// Writes a certificate and its key, as cert-manager would.
fn issue(ca: &Issuer<'_, KeyPair>, folder: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([name.to_owned()])?.signed_by(&key, ca)?;
    fs::write(folder.join(format!("{name}.crt")), certificate.pem())?;
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem())?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);

    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(file("ca.crt"), params.self_signed(&key)?.pem())?;
    let ca = Issuer::new(params, key);
    issue(&ca, folder.path(), "localhost")?;
    issue(&ca, folder.path(), "client")?;

    let server = ServerTls::from_files(file("localhost.crt"), file("localhost.key"))
        .client_ca(file("ca.crt"))
        .build()?;
    let (incoming, _) = listen();
    let port = incoming.local_addr()?.port();
    let age = ConnectionAge::after(Duration::from_secs(30 * 60));
    let routes = tonic::service::Routes::new(OrderServiceServer::new(Orders::default()));
    let incoming = server.incoming(incoming);
    tokio::spawn(age.serve(Server::builder(), routes, incoming, std::future::pending()));

    let client = ClientTls::from_files(file("ca.crt"))
        .certificate(file("client.crt"), file("client.key"))
        .build()?;
    let endpoint = client.endpoint(format!("https://localhost:{port}"))?;
    let channel = endpoint.connect().await?;
    OrderServiceClient::new(channel.clone()).unary(Ask::default()).await?;
    println!("connected and called");

    issue(&ca, folder.path(), "localhost")?;
    issue(&ca, folder.path(), "client")?;
    // Without these, within ten seconds.
    println!("server renewed: {}", server.reload().await?);
    println!("client renewed: {}", client.reload().await?);

    OrderServiceClient::new(channel).unary(Ask::default()).await?;
    println!("the old connection goes on");
    OrderServiceClient::new(endpoint.connect().await?).unary(Ask::default()).await?;
    println!("a new connection has the new certificates");

    fs::write(file("localhost.key"), "not a key")?;
    if let Err(error) = server.reload().await {
        println!("refused: {error}");
    }
    OrderServiceClient::new(endpoint.connect().await?).unary(Ask::default()).await?;
    println!("the previous certificate stays in use");
    Ok(())
}
