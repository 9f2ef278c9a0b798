//! A credentials layer on a server would add its credentials to incoming calls.

use http::Request;
use tonic::GrpcMethod;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic_auth_layer::{BearerToken, CredentialsLayer};
use tower::{Layer as _, Service as _, service_fn};

use crate::common::{Lines, UNARY};

/// Five calls with the remote address that a server inserts.
async fn calls(of_a_generated_client: bool) -> String {
    let lines = Lines::default();
    let _collecting = lines.collect();
    let token = BearerToken::new("a-token").unwrap();
    let layer = CredentialsLayer::bearer(token).allow_unencrypted();
    for _ in 0..5 {
        let mut service = layer.layer(service_fn(async |_: Request<Body>| {
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::empty()))
        }));
        let mut request = Request::post(UNARY).body(Body::empty()).unwrap();
        let remote_addr = Some("192.0.2.1:7".parse().unwrap());
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        if of_a_generated_client {
            request.extensions_mut().insert(GrpcMethod::new("test.v1.Kinds", "Unary"));
        }
        service.call(request).await.unwrap();
    }
    lines.text()
}

#[tokio::test]
async fn credentials_on_a_server_say_so_once_as_a_guess() {
    let text = calls(false).await;
    assert_eq!(text.matches("seems to be on a server").count(), 1, "{text}");
    assert!(text.contains("WARN") && text.contains("CredentialsLayer"), "{text}");
    assert!(text.contains("This is a guess"), "{text}");
    assert!(!text.contains("a-token"), "{text}");
    assert_eq!(calls(true).await, "", "a handler that sends its request on");
}
