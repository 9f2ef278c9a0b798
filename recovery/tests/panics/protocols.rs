//! How a stream ends in which the service panics: in the protocol that the head of the response names.

use std::convert::Infallible;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request};
use http_body_util::BodyExt as _;
use tonic_call_test_kit::{Script, silence_panics};
use tonic_recovery_layer::RecoveryLayer;
use tower::{Layer as _, Service as _, service_fn};

/// What follows the first message, as text: trailers, or the data of a last frame.
async fn end(asked: &'static str, answered: &'static str) -> String {
    silence_panics();
    let mut service =
        RecoveryLayer::server().layer(service_fn(async |_: Request<tonic::body::Body>| {
            let mut response = Script::new().messages(1).panic().respond();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answered));
            Ok::<_, Infallible>(response)
        }));
    let request = Request::post("/a.B/C").header(CONTENT_TYPE, asked).body(Script::new()).unwrap();
    let mut body = service.call(request).await.unwrap().into_body();
    assert!(body.frame().await.unwrap().unwrap().is_data());
    let last = body.frame().await.unwrap().unwrap();
    assert!(body.frame().await.is_none());
    match last.into_data() {
        Ok(data) => String::from_utf8_lossy(&data).into_owned(),
        Err(trailers) => format!("{:?}", trailers.into_trailers().unwrap()),
    }
}

#[tokio::test]
async fn a_stream_that_panics_ends_in_the_protocol_of_its_head() {
    const GRPC: &str = r#"{"grpc-status": "13", "grpc-message": "internal%20error"}"#;
    const WEB: &str = "\u{fffd}\0\0\0/grpc-status:13\r\ngrpc-message:internal%20error\r\n";
    for (asked, answered, expected) in [
        ("application/grpc", "application/grpc", GRPC),
        ("application/grpc-web", "application/grpc-web+proto", WEB),
        // tonic without tonic-web answers gRPC to all.
        ("application/grpc-web", "application/grpc", GRPC),
        // A gateway that translates answers.
        ("application/grpc", "application/grpc-web", WEB),
    ] {
        assert_eq!(end(asked, answered).await, expected, "{asked} {answered}");
    }
    let text = end("application/grpc-web-text", "application/grpc-web-text+proto").await;
    assert!(text.starts_with("gAAAAC"), "{text}");
}
