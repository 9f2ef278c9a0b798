//! Calls of all four kinds over a real socket. Each test is a rule.

use std::time::{Duration, SystemTime};

use tonic::transport::{Channel, Server};
use tonic::{Code, Request};
use tonic_auth_layer::{
    AuthLayer, BearerToken, Credentials, CredentialsLayer, Identity, Incoming, authenticate_fn,
};
use tonic_call::{EndedBy, MethodKind, Methods, ObserveLayer};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{KINDS, KindsService, Outcome, Recorder, ask, call, listen, method_of};
use tonic_recovery_layer::RecoveryLayer;
use tower::Layer as _;

use crate::common::{builder, by_token};

async fn serve(layer: AuthLayer) -> (Channel, KindsService) {
    let (incoming, endpoint) = listen();
    let service = KindsService::default();
    let server = Server::builder()
        .layer(layer)
        .add_service(KindsServer::new(service.clone()))
        .serve_with_incoming(incoming);
    tokio::spawn(server);
    (endpoint.connect().await.unwrap(), service)
}

fn with_token(channel: Channel, token: &str) -> KindsClient<Credentials<Channel>> {
    let token = BearerToken::new(token).unwrap();
    KindsClient::new(CredentialsLayer::bearer(token).allow_unencrypted().layer(channel))
}

#[tokio::test]
async fn g01_every_kind_of_call_passes_with_credentials_and_is_refused_without() {
    let methods = Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET).unwrap();
    let layer = builder().methods(&methods).end_streams_at_expiry().build().unwrap();
    let (channel, _) = serve(layer).await;
    for kind in KINDS {
        let good = Ask { notes: 3, ..Ask::default() };
        let passed = call(&mut with_token(channel.clone(), "ann"), kind, good.clone(), &[]).await;
        assert_eq!(passed.code, Code::Ok, "{}", method_of(kind));
        let bad = call(&mut with_token(channel.clone(), "bad"), kind, good.clone(), &[]).await;
        assert_eq!((bad.code, bad.notes), (Code::Unauthenticated, 0));
        let none = call(&mut KindsClient::new(channel.clone()), kind, good, &[]).await;
        assert_eq!((none.code, &*none.message), (Code::Unauthenticated, "credentials are missing"));
    }
}

#[tokio::test]
async fn g02_a_stream_is_refused_before_a_byte_of_it_comes() {
    let (channel, service) = serve(builder().build().unwrap()).await;
    let mut client = KindsClient::new(channel);
    let nothing = || Request::new(tokio_stream::pending::<Ask>());
    let status = client.client_stream(nothing()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let status = client.bidi_stream(nothing()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    service.until_alive(0).await;
}

#[tokio::test]
async fn g03_a_stream_ends_at_expiry_though_its_caller_reads_nothing() {
    let soon = SystemTime::now() + Duration::from_millis(300);
    let known = authenticate_fn(move |call: &Incoming<'_>| {
        Ok::<_, tonic_auth_layer::Failure>(by_token(call)?.map(|who| who.with_expires_at(soon)))
    });
    let layer = AuthLayer::new(known).end_streams_at_expiry().build().unwrap();
    let (channel, service) = serve(layer).await;
    let mut client = with_token(channel, "ann");
    // More than any window holds: the server stops sending, and is not polled.
    let flood = Ask { notes: u32::MAX, text: "x".repeat(10_000), ..ask(Act::Hang, 0) };
    let mut notes = client.server_stream(flood).await.unwrap().into_inner();
    service.until_alive(1).await;
    service.until_alive(0).await;
    let status = loop {
        match notes.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended well"),
            Err(status) => break status,
        }
    };
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "the credentials have expired")
    );
}

#[tokio::test]
async fn g04_other_calls_of_a_connection_go_on_when_one_is_refused() {
    let (channel, service) = serve(builder().build().unwrap()).await;
    let mut good = with_token(channel.clone(), "ann");
    let hangs = good.server_stream(ask(Act::Hang, 1)).await.unwrap();
    service.until_alive(1).await;
    for _ in 0..100 {
        let mut bad = with_token(channel.clone(), "bad");
        let refused = call(&mut bad, KINDS[0], Ask::default(), &[]).await;
        assert_eq!(refused.code, Code::Unauthenticated);
    }
    assert_eq!(call(&mut good, KINDS[0], Ask::default(), &[]).await, Outcome::ok(1));
    drop(hangs);
    service.until_alive(0).await;
}

#[tokio::test]
async fn g05_the_peer_is_known_to_authenticators() {
    let loopback = authenticate_fn(|call: &Incoming<'_>| {
        let peer = call.peer()?;
        peer.ip()
            .is_some_and(|ip| ip.is_loopback())
            .then(|| Identity::new("loopback").with_subject("local"))
    });
    let (channel, _) = serve(AuthLayer::new(loopback).build().unwrap()).await;
    let outcome = call(&mut KindsClient::new(channel), KINDS[0], Ask::default(), &[]).await;
    assert_eq!(outcome, Outcome::ok(1));
}

#[tokio::test]
async fn g06_a_call_that_is_given_up_while_it_is_asked_about_is_forgotten() {
    use std::sync::Arc;
    use tokio::sync::Notify;

    struct Tells(Arc<Notify>);

    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    let (asked, forgotten) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, over) = (asked.clone(), forgotten.clone());
    let never = tonic_auth_layer::authenticate_async(move |_| {
        let tells = Tells(over.clone());
        begun.notify_one();
        async move {
            let _tells = tells;
            std::future::pending::<Option<Identity>>().await
        }
    });
    let (channel, _) = serve(AuthLayer::new(never).build().unwrap()).await;
    let calling = tokio::spawn(async move {
        let _ = KindsClient::new(channel).unary(Ask::default()).await;
    });
    asked.notified().await;
    calling.abort();
    forgotten.notified().await;
}

#[tokio::test]
async fn g07_a_handler_asks_for_the_caller_in_one_call() {
    #[allow(clippy::result_large_err)]
    fn asks(request: Request<()>) -> Result<Request<()>, tonic::Status> {
        let caller = Identity::of(&request)?;
        assert_eq!(caller.subject(), Some("ann"));
        Ok(request)
    }

    let service = || KindsServer::with_interceptor(KindsService::default(), asks);
    let (incoming, with) = listen();
    let layer = builder().build().unwrap();
    let server = Server::builder().layer(layer).add_service(service());
    tokio::spawn(server.serve_with_incoming(incoming));
    let (incoming, without) = listen();
    tokio::spawn(Server::builder().add_service(service()).serve_with_incoming(incoming));

    let mut client = with_token(with.connect().await.unwrap(), "ann");
    assert_eq!(call(&mut client, KINDS[0], Ask::default(), &[]).await, Outcome::ok(1));
    let mut client = with_token(without.connect().await.unwrap(), "ann");
    let status = client.unary(Ask::default()).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "the caller is not authenticated")
    );
}

#[tokio::test]
async fn g08_a_panic_inside_is_recovered_on_either_side() {
    tonic_call_test_kit::silence_panics();
    let soon = SystemTime::now() + Duration::from_secs(3_600);
    let known = || {
        let known = authenticate_fn(move |_| Identity::new("test").with_expires_at(soon));
        AuthLayer::new(known).end_streams_at_expiry().build().unwrap()
    };
    let recovery = RecoveryLayer::server;
    let (incoming, endpoint) = listen();
    let service = KindsServer::new(KindsService::default());
    let layers = tower::ServiceBuilder::new().layer(recovery()).layer(known());
    let server = Server::builder().layer(layers.into_inner()).add_service(service.clone());
    tokio::spawn(server.serve_with_incoming(incoming));
    let outside = endpoint.connect().await.unwrap();

    let (incoming, endpoint) = listen();
    let layers = tower::ServiceBuilder::new().layer(known()).layer(recovery());
    let server = Server::builder().layer(layers.into_inner()).add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    let inside = endpoint.connect().await.unwrap();

    for channel in [outside, inside] {
        let mut client = KindsClient::new(channel);
        for kind in KINDS {
            for act in [Act::Panic, Act::PanicInHandler] {
                let outcome = call(&mut client, kind, ask(act, 0), &[]).await;
                assert_eq!(outcome, Outcome::internal(0), "{}", method_of(kind));
            }
        }
    }
}

#[tokio::test]
async fn g09_who_watches_outside_is_told_that_it_was_a_refusal() {
    let soon = SystemTime::now() + Duration::from_millis(200);
    let known = authenticate_fn(move |call: &Incoming<'_>| {
        Ok::<_, tonic_auth_layer::Failure>(by_token(call)?.map(|who| who.with_expires_at(soon)))
    });
    let recorder = Recorder::new();
    let layers = tower::ServiceBuilder::new()
        .layer(ObserveLayer::server(recorder.clone()))
        .layer(AuthLayer::new(known).end_streams_at_expiry().build().unwrap());
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .layer(layers.into_inner())
        .add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(server.serve_with_incoming(incoming));
    let channel = endpoint.connect().await.unwrap();

    // It passes, and is then ended.
    let mut client = with_token(channel.clone(), "ann");
    let ended = call(&mut client, MethodKind::ServerStream, ask(Act::Hang, 1), &[]).await;
    assert_eq!((ended.code, ended.notes), (Code::Unauthenticated, 1));
    // It is refused.
    call(&mut with_token(channel, "bad"), MethodKind::Unary, Ask::default(), &[]).await;
    for call in recorder.until_ended(2).await {
        assert_eq!(call.code, Code::Unauthenticated);
        assert_eq!(call.by, EndedBy::Refusal { by: "auth" });
    }
}

#[tokio::test]
async fn g10_over_tls_credentials_are_sent_to_the_endpoint_and_to_no_other() {
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, ServerTlsConfig};

    // With all features there are two providers, and tonic's server does not select one.
    let _ = aws_lc_rs::default_provider().install_default();
    let known = authenticate_fn(|call: &Incoming<'_>| {
        // Failed attempts are limited by address: it must be known with TLS, too.
        assert!(call.peer().unwrap().ip().unwrap().is_loopback());
        by_token(call)
    });
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let (incoming, plain) = listen();
    let identity = tonic::transport::Identity::from_pem(&certificate, key);
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .unwrap()
        .layer(AuthLayer::new(known).build().unwrap())
        .add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let port = plain.uri().port().unwrap();
    let trusted = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&certificate));
    let endpoint = Endpoint::from_shared(format!("https://localhost:{port}")).unwrap();
    let endpoint = endpoint.tls_config(trusted).unwrap();
    let ann = || CredentialsLayer::bearer(BearerToken::new("ann").unwrap());
    let channel = ann().to(&endpoint).unwrap().layer(endpoint.connect().await.unwrap());
    let outcome = call(&mut KindsClient::new(channel), KINDS[0], Ask::default(), &[]).await;
    assert_eq!(outcome, Outcome::ok(1));
    assert!(ann().to(&plain).is_err());
}

/// Guards against: credentials that need `allow_unencrypted` because tonic refuses a connector for `https`.
#[tokio::test]
async fn g10b_over_a_connector_that_encrypts_credentials_are_sent() {
    use tokio_rustls::rustls::crypto::aws_lc_rs;
    use tonic_auth_layer::NotEncrypted;
    use tonic_tls_reload::{ClientTls, ServerTls};

    let _ = aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();

    let tls = ServerTls::from_files(&certificate, &key).build().unwrap();
    let (incoming, plain) = listen();
    let server = Server::builder()
        .layer(AuthLayer::new(authenticate_fn(by_token)).build().unwrap())
        .add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(server.serve_with_incoming(tls.incoming(incoming)));

    let port = plain.uri().port().unwrap();
    let client = ClientTls::from_files(&certificate).build().unwrap();
    let endpoint = client.endpoint(format!("https://localhost:{port}")).unwrap();
    let ann = || CredentialsLayer::bearer(BearerToken::new("ann").unwrap());
    let layers = [ann().to(&endpoint).unwrap(), ann().to(&endpoint.connector()).unwrap()];
    for layer in layers {
        let channel = layer.layer(endpoint.connect_lazy());
        let outcome = call(&mut KindsClient::new(channel), KINDS[0], Ask::default(), &[]).await;
        assert_eq!(outcome, Outcome::ok(1));
    }
    // By itself it is an `http` endpoint.
    let refused = ann().to(endpoint.endpoint()).unwrap_err();
    assert_eq!(refused, NotEncrypted::Endpoint);
}

/// The head of the response to a gRPC request, without the fields that change over time.
async fn head_of(mut channel: Channel, path: &str) -> http::HeaderMap {
    use tower::{Service as _, ServiceExt as _};

    let request = http::Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", "Bearer ann")
        .body(tonic::body::Body::empty())
        .unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    assert_eq!(response.status(), http::StatusCode::OK, "{path}");
    assert!(http_body::Body::is_end_stream(response.body()), "{path}");
    let mut headers = response.headers().clone();
    headers.remove("date");
    // tonic's router sends it for an unknown service; tonic's generated code does not for an unknown method.
    headers.remove("content-length");
    headers
}

/// Guards against: a client that falls back to an older method if the new one is missing, and cannot because the call
/// is refused as unauthorized.
#[tokio::test]
async fn g11_a_method_that_is_not_there_is_answered_as_by_tonic_but_for_the_details() {
    let methods = Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET).unwrap();
    let (with_auth, _) = serve(builder().methods(&methods).build().unwrap()).await;
    let (incoming, endpoint) = listen();
    let bare = Server::builder().add_service(KindsServer::new(KindsService::default()));
    tokio::spawn(bare.serve_with_incoming(incoming));
    let bare = endpoint.connect().await.unwrap();
    for path in ["/test.v1.Kinds/Newer", "/test.v2.Kinds/Unary", "/test.v1.Kinds", "/a/b/c"] {
        let by_tonic = head_of(bare.clone(), path).await;
        let mut by_auth = head_of(with_auth.clone(), path).await;
        assert_eq!(by_tonic["grpc-status"], "12", "{path}");
        assert!(by_auth.remove("grpc-status-details-bin").is_some(), "{path}");
        assert_eq!(by_auth, by_tonic, "{path}");
    }
    // A method that is served, but not in the descriptor set, stays closed.
    let (closed, _) = serve(builder().methods(&Methods::default()).build().unwrap()).await;
    assert_eq!(head_of(closed, "/test.v1.Kinds/Unary").await["grpc-status"], "12");
}
