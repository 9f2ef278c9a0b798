//! A server that accepts tokens of one issuer and requires a scope for one method.
//!
//! ```sh
//! cargo run -p tonic-auth-layer --example auth-server
//! ```
//!
//! Prints what callers see without a token, without the scope, and with both, and the events that the operator sees.
#![allow(clippy::print_stdout)]

use std::error::Error;

use tonic::transport::Server;
use tonic_auth_layer::jwt::{Algorithm, Jwt, Key};
use tonic_auth_layer::{Access, AuthLayer};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::{Orders, listen, orders};

use orders::order_service_client::OrderServiceClient;
use orders::order_service_server::OrderServiceServer;

/// In production the issuer has the private key, and the server finds the public one: `Jwt::discover`.
const SECRET: [u8; 32] = [7; 32];

/// Signs a token, as an issuer does.
fn token(scope: &str) -> Result<String, Box<dyn Error>> {
    let claims = serde_json::json!({
        "iss": "https://id.example", "sub": "ann", "aud": "orders", "scope": scope,
        "exp": 4_102_444_800_u64, // the year 2100: real tokens live for minutes
    });
    let key = jsonwebtoken::EncodingKey::from_secret(&SECRET);
    Ok(jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter("tonic_auth_layer=debug").init();

    let key = Key::secret(Algorithm::HS256, SECRET)?;
    let jwt = Jwt::keys("https://id.example", [key]).audience("orders").build()?;
    let write = Access::scope("orders.write");
    // The example service is `Kinds` of the test kit, under another name in Rust.
    let auth = AuthLayer::new(jwt).method("test.v1.Kinds", "Unary", write).build()?;
    let (incoming, endpoint) = listen();
    let server =
        Server::builder().layer(auth).add_service(OrderServiceServer::new(Orders::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let mut client = OrderServiceClient::new(endpoint.connect_lazy());
    for scope in [None, Some("orders.read"), Some("orders.write")] {
        let mut request = tonic::Request::new(Ask::default());
        if let Some(scope) = scope {
            let value = format!("Bearer {}", token(scope)?).parse()?;
            request.metadata_mut().insert("authorization", value);
        }
        match client.unary(request).await {
            Ok(_) => println!("{scope:?}: OK"),
            Err(status) => println!("{scope:?}: {:?}: {}", status.code(), status.message()),
        }
    }
    Ok(())
}
