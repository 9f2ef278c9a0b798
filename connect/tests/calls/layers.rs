//! What the layers of this workspace do with a Connect call, inside the layer.

use std::time::Duration;

use http::Request;
use serde_json::json;
use tonic::Status;
use tonic_auth_layer::jwt::{Algorithm, Jwt, Key};
use tonic_auth_layer::mtls::MeshProxies;
use tonic_auth_layer::{AuthLayer, Mtls};
use tonic_call::{Protocol, TrustedProxies};
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{Script, ask, silence_panics, trailers_only};
use tonic_deadline_layer::DeadlineLayer;
use tonic_ratelimit_layer::{Quota, RateLimitLayer};
use tonic_recovery_layer::RecoveryLayer;
use tonic_web::GrpcWebLayer;
use tower::layer::util::Stack;

use crate::common::{Answer, envelope, layer, post, proto, through};

const JSON: &str = "application/json";
const STREAM: &str = "application/connect+json";

/// A request whose body never ends.
fn endless(method: &str, kind: &str) -> Request<Script> {
    Request::post(format!("/test.v1.Kinds/{method}"))
        .header("content-type", kind)
        .body(Script::new().data("{".into()).stall())
        .unwrap()
}

#[tokio::test]
async fn a_call_is_refused_before_its_body_is_read() {
    let key = Key::secret(Algorithm::HS256, [7; 32]).unwrap();
    let jwt = Jwt::keys("https://id.example", [key]).audience("orders").build().unwrap();
    let server = serve_inside!(layer(), AuthLayer::new(jwt).build().unwrap());
    let response = server.http1(endless("Unary", JSON)).await;
    assert_eq!(response.headers()["connection"], "close");
    let answer = Answer::of(response).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["code"], "unauthenticated");
    assert!(answer.header("www-authenticate").contains("realm"));

    let answer = Answer::of(server.http1(endless("ClientStream", STREAM)).await).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.end()["error"]["code"]),
        (200, &json!("unauthenticated"))
    );
}

#[tokio::test]
async fn a_body_that_never_ends_is_ended_by_the_deadline() {
    let deadlines = DeadlineLayer::server().default(Duration::from_millis(50));
    let server = serve_inside!(layer(), deadlines);
    let answer = Answer::of(server.http1(endless("Unary", JSON)).await).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["code"]),
        (504, &json!("deadline_exceeded"))
    );

    let mut request = endless("ClientStream", STREAM);
    request.headers_mut().insert("connect-timeout-ms", "50".parse().unwrap());
    let answer = Answer::of(server.http1(request).await).await;
    assert_eq!(answer.end()["error"]["code"], "deadline_exceeded");
}

#[tokio::test]
async fn the_callers_timeout_is_obeyed_in_the_middle_of_a_stream() {
    let server = serve_inside!(layer(), DeadlineLayer::server());
    let mut request = post("ServerStream", STREAM, envelope(0, br#"{"notes":2,"act":"ACT_HANG"}"#));
    request.headers_mut().insert("connect-timeout-ms", "50".parse().unwrap());
    let answer = server.send(request).await;
    assert_eq!(answer.envelopes().len(), 3);
    assert_eq!(answer.end()["error"]["code"], "deadline_exceeded");
    server.service.until_alive(0).await;
}

#[tokio::test]
async fn a_limited_call_can_be_retried_after_a_time() {
    let limits = RateLimitLayer::server(Quota::per_minute(1)).build().unwrap();
    let server = serve_inside!(layer(), limits);
    assert_eq!(server.post("Unary", JSON, "{}").await.status, 200);
    for (kind, body) in [(JSON, "{}"), ("application/xml", "<a/>")] {
        let answer = server.post("Unary", kind, body).await;
        assert_eq!(answer.status, 429, "{kind}");
        let after: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&after), "{after}");
        assert_eq!(answer.json()["details"][0]["type"], "google.rpc.RetryInfo");
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error() {
    silence_panics();
    let server = serve_inside!(layer(), RecoveryLayer::server());
    let unary = post("Unary", "application/proto", proto(&ask(Act::Panic, 0)));
    let answer = server.send(unary).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json(), json!({"code": "internal", "message": "internal error"}));

    let body = envelope(0, &proto(&ask(Act::Panic, 2)));
    let answer = server.post("ServerStream", "application/connect+proto", body).await;
    assert_eq!(answer.end()["error"]["code"], "internal");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_a_whole_message() {
    let body = Script::new().data("{}".into()).error(Status::internal("reset"));
    let request = Request::post("/test.v1.Kinds/Unary").header("content-type", JSON);
    let (_, seen) =
        through(layer(), request.body(body).unwrap(), trailers_only(&Status::ok(""))).await;
    assert_eq!(seen.body.unwrap_err().message(), "reset");
}

/// Both are `Ask`s: the same request in both forms.
#[tokio::test]
async fn answers_are_the_same_in_both_codecs() {
    let server = serve_inside!(layer(), RecoveryLayer::server());
    let ask = Ask { act: Act::Fail.into(), code: 9, ..Ask::default() };
    let binary = server.post("Unary", "application/proto", proto(&ask)).await;
    let text = server.post("Unary", JSON, r#"{"act":1,"code":9}"#).await;
    assert_eq!((binary.status, binary.json()), (text.status, text.json()));
}

#[tokio::test]
async fn layers_inside_see_the_protocol_of_the_call() {
    for (kind, protocol) in [
        (JSON, Some(Protocol::Connect)),
        ("application/grpc-web+proto", Some(Protocol::GrpcWeb)),
        ("application/grpc-web-text", Some(Protocol::GrpcWebText)),
        ("application/grpc", None),
    ] {
        let request = Request::post("/test.v1.Kinds/Unary").header("content-type", kind);
        let request = request.body(Script::new().data("{}".into())).unwrap();
        let (_, seen) = through(layer(), request, trailers_only(&Status::ok(""))).await;
        assert_eq!(seen.head.extensions.get(), protocol.as_ref(), "{kind}");
    }
}

/// The layer, then tonic-web, then auth that trusts this proxy.
fn behind(proxy: TrustedProxies) -> Stack<AuthLayer, GrpcWebLayer> {
    let mesh = MeshProxies::xfcc().networks(proxy);
    let callers = Mtls::builder().trust_domain("prod.example").behind(mesh).build().unwrap();
    Stack::new(AuthLayer::new(callers).build().unwrap(), GrpcWebLayer::new())
}

#[tokio::test]
async fn a_mesh_header_counts_on_every_way_in_only_from_a_trusted_proxy() {
    let elsewhere = TrustedProxies::new(["192.0.2.0/24"]).unwrap();
    let frame = envelope(0, b"");
    for (proxy, is_trusted) in [(TrustedProxies::loopback(), true), (elsewhere, false)] {
        let server = serve_inside!(layer(), behind(proxy));
        for (kind, body) in
            [(JSON, &b"{}"[..]), ("application/proto", b""), ("application/grpc-web+proto", &frame)]
        {
            let mut request = post("Unary", kind, body.to_vec());
            let header = "URI=spiffe://prod.example/billing".parse().unwrap();
            request.headers_mut().insert("x-forwarded-client-cert", header);
            for answer in [server.send(request.clone()).await, server.send2(request).await] {
                let failed = answer.status == 401 || answer.header("grpc-status") == "16";
                assert_eq!(failed, !is_trusted, "{kind}: {answer:?}");
            }
        }
    }
}
