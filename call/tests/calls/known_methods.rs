//! What makes a method known, and that arbitrary requests do not.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tonic::{Code, GrpcMethod, Status};
use tonic_call::{
    AnswerBody, KnownMethods, MAX_LEARNED_METHODS, MethodKind, Methods, ObserveLayer, Refusal,
    Rejection, Side,
};
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Recorder, Script};
use tower::{Layer as _, Service, service_fn};

type Answer = Response<AnswerBody<Script>>;

fn layer(side: Side, recorder: &Recorder, known: &Arc<KnownMethods>) -> ObserveLayer<Recorder> {
    let layer = match side {
        Side::Server => ObserveLayer::server(recorder.clone()),
        Side::Client => ObserveLayer::client(recorder.clone()),
    };
    layer.known(Arc::clone(known))
}

fn request(path: &str) -> Request<Script> {
    Request::post(path).body(Script::new()).unwrap()
}

/// Calls a path through the layer, with `answer` as the inner service.
async fn call(
    side: Side,
    known: &Arc<KnownMethods>,
    request: Request<Script>,
    answer: impl Fn() -> Answer,
) -> bool {
    let recorder = Recorder::new();
    let mut service =
        layer(side, &recorder, known).layer(service_fn(async |_| Ok::<_, Infallible>(answer())));
    let mut body = service.call(request).await.unwrap().into_body();
    while let Some(Ok(_)) = body.frame().await {}
    recorder.only().known
}

fn answered(code: Code) -> Answer {
    Script::new().messages(1).trailers(code).respond().map(AnswerBody::inner)
}

fn refused() -> Answer {
    let refusal = Refusal::new("auth", "CREDENTIALS_MISSING");
    let request = Request::new(());
    Rejection::new(refusal, Status::unauthenticated("")).into_response(request.extensions())
}

#[tokio::test]
async fn an_answer_whose_head_is_not_the_whole_answer_makes_its_method_known() {
    let known = Arc::new(KnownMethods::learning());
    let first = call(Side::Server, &known, request("/a.B/C"), || answered(Code::Internal)).await;
    assert!(!first, "a call keeps what it began with");
    assert!(call(Side::Server, &known, request("/a.B/C"), refused).await);
    assert!(!call(Side::Server, &known, request("/a.B/D"), refused).await);
}

#[tokio::test]
async fn an_ok_in_the_head_makes_its_method_known() {
    let known = Arc::new(KnownMethods::learning());
    call(Side::Server, &known, request("/a.B/C"), || Status::ok("").into_http()).await;
    assert_eq!(known.len(), 1);
}

#[tokio::test]
async fn a_head_is_enough_even_if_the_call_is_then_dropped() {
    let known = Arc::new(KnownMethods::learning());
    let recorder = Recorder::new();
    let mut service = layer(Side::Server, &recorder, &known)
        .layer(service_fn(async |_| Ok::<_, Infallible>(Script::new().stall().respond())));
    drop(service.call(request("/a.B/C")).await.unwrap());
    assert_eq!(known.len(), 1);
}

#[tokio::test]
async fn a_hundred_thousand_paths_that_are_refused_make_none_known() {
    let known = Arc::new(KnownMethods::learning());
    let recorder = Recorder::new();
    let mut service = layer(Side::Server, &recorder, &known)
        .layer(service_fn(async |_| Ok::<_, Infallible>(refused())));
    for number in 0..100_000 {
        let path = format!("/scan.{number}/{}", number * 7);
        service.call(request(&path)).await.unwrap();
    }
    assert_eq!((known.len(), recorder.begun()), (0, 100_000));
    assert!(recorder.ended().iter().all(|call| !call.known));
}

#[tokio::test]
async fn a_path_without_a_route_stays_unknown() {
    let known = Arc::new(KnownMethods::learning());
    let recorder = Recorder::new();
    let routes =
        tonic::service::Routes::new(tonic_call_test_kit::v1::kinds_server::KindsServer::new(
            tonic_call_test_kit::KindsService::default(),
        ))
        .prepare();
    let mut service = layer(Side::Server, &recorder, &known).layer(routes);
    for path in ["/a.B/C", "/test.v1.Kinds/Nothing", "/", "/test.v1.Kinds", "//", "/a/b/c"] {
        service.call(request(path)).await.unwrap();
    }
    assert_eq!((known.len(), recorder.ended().len()), (0, 6));
    assert!(recorder.ended().iter().all(|call| call.code == Code::Unimplemented));
}

#[tokio::test]
async fn an_answer_without_grpcs_content_type_makes_nothing_known() {
    let known = Arc::new(KnownMethods::learning());
    for content_type in ["text/html", ""] {
        for path in ["/index.html/a", "/a.B/C"] {
            call(Side::Server, &known, request(path), || {
                let mut response = Script::new().data("<html>".into()).respond();
                response.headers_mut().remove("content-type");
                if !content_type.is_empty() {
                    response.headers_mut().insert("content-type", content_type.parse().unwrap());
                }
                response.map(AnswerBody::inner)
            })
            .await;
        }
    }
    assert_eq!(known.len(), 0);
}

#[tokio::test]
async fn a_malformed_path_is_never_known() {
    let known = Arc::new(KnownMethods::learning());
    for path in ["/", "/a", "/a/b/c", "//a"] {
        call(Side::Server, &known, request(path), || answered(Code::Ok)).await;
    }
    assert_eq!(known.len(), 0);
}

#[tokio::test]
async fn at_most_a_thousand_methods_are_learned() {
    let known = Arc::new(KnownMethods::learning());
    for number in 0..MAX_LEARNED_METHODS + 50 {
        let path = format!("/a.B/M{number}");
        call(Side::Server, &known, request(&path), || answered(Code::Ok)).await;
    }
    assert_eq!((known.len(), known.capacity()), (1_000, 1_000));
    assert!(call(Side::Server, &known, request("/a.B/M999"), refused).await);
    assert!(!call(Side::Server, &known, request("/a.B/M1000"), refused).await);
}

#[tokio::test]
async fn a_method_that_a_generated_client_calls_is_known_from_the_first_call() {
    let known = Arc::new(KnownMethods::learning());
    let generated = || {
        let mut request = request("/a.B/C");
        request.extensions_mut().insert(GrpcMethod::new("a.B", "C"));
        request
    };
    assert!(!call(Side::Server, &known, generated(), refused).await, "a server does not ask");
    assert!(call(Side::Client, &known, generated(), refused).await);
}

#[tokio::test]
async fn with_a_descriptor_set_exactly_its_methods_are_known() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let known = Arc::new(KnownMethods::from(&methods));
    assert_eq!((known.len(), known.capacity()), (5, 10), "with the standard ones");
    for (path, is_known) in
        [("/test.v1.Kinds/Unary", true), ("/test.v1.Kinds/Other", false), ("/a.B/C", false)]
    {
        for _ in 0..2 {
            let answer = || answered(Code::Ok);
            assert_eq!(call(Side::Server, &known, request(path), answer).await, is_known, "{path}");
            assert_eq!(call(Side::Client, &known, request(path), answer).await, is_known, "{path}");
        }
    }
}

#[test]
fn a_descriptor_set_gives_kind_and_idempotency() {
    use tonic_call::Idempotency;

    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let kinds: Vec<_> = methods.iter().map(|method| (method.name(), method.kind())).collect();
    assert_eq!(
        kinds,
        [
            ("Unary", MethodKind::Unary),
            ("ClientStream", MethodKind::ClientStream),
            ("ServerStream", MethodKind::ServerStream),
            ("BidiStream", MethodKind::BidiStream),
            ("Peek", MethodKind::Unary),
        ]
    );
    let idempotency = |name| methods.get("test.v1.Kinds", name).unwrap().idempotency();
    assert_eq!(idempotency("Unary"), Idempotency::Unknown);
    assert_eq!(idempotency("Peek"), Idempotency::NoSideEffects);
    assert!(methods.has_service("test.v1.Kinds") && !methods.has_service("test.v1"));
}

const STANDARD: [(&str, MethodKind); 5] = [
    ("grpc.health.v1.Health/Check", MethodKind::Unary),
    ("grpc.health.v1.Health/List", MethodKind::Unary),
    ("grpc.health.v1.Health/Watch", MethodKind::ServerStream),
    ("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", MethodKind::BidiStream),
    ("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", MethodKind::BidiStream),
];

#[tokio::test]
async fn with_any_descriptor_set_health_and_reflection_are_known() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let known = Arc::new(KnownMethods::from(&methods));
    for (full, kind) in STANDARD {
        let (service, name) = full.split_once('/').unwrap();
        assert_eq!(methods.get(service, name).unwrap().kind(), kind, "{full}");
        assert!(methods.has_service(service), "{full}");
        let recorder = Recorder::new();
        let mut service = layer(Side::Server, &recorder, &known)
            .layer(service_fn(async |_| Ok::<_, Infallible>(refused())));
        service.call(request(&format!("/{full}"))).await.unwrap();
        assert!(recorder.only().known, "{full}");
    }
    for path in ["/grpc.health.v1.Health/Other", "/grpc.health.v1.Healthy/Check"] {
        assert!(!call(Side::Server, &known, request(path), refused).await, "{path}");
    }
    // They require no rule, and have no series before they are called.
    assert_eq!(methods.len(), 5);
    assert!(methods.iter().all(|method| method.service() == "test.v1.Kinds"));
}

#[test]
fn a_set_may_describe_the_health_service_differently_and_in_any_order() {
    use prost::Message as _;
    use prost_types::method_options::IdempotencyLevel;
    use prost_types::{
        FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, MethodOptions,
        ServiceDescriptorProto,
    };

    let check = MethodDescriptorProto {
        name: Some("Check".to_owned()),
        options: Some(MethodOptions {
            idempotency_level: Some(IdempotencyLevel::NoSideEffects.into()),
            ..MethodOptions::default()
        }),
        ..MethodDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        package: Some("grpc.health.v1".to_owned()),
        service: vec![ServiceDescriptorProto {
            name: Some("Health".to_owned()),
            method: vec![check],
            ..ServiceDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    };
    let health = FileDescriptorSet { file: vec![file] }.encode_to_vec();
    for sets in [[&health, FILE_DESCRIPTOR_SET], [FILE_DESCRIPTOR_SET, &health]] {
        let [first, second] = sets;
        let methods = Methods::from_descriptor_set(first).unwrap();
        let methods = methods.and_descriptor_set(second).unwrap();
        let check = methods.get("grpc.health.v1.Health", "Check").unwrap();
        assert_eq!(check.idempotency(), tonic_call::Idempotency::NoSideEffects);
        assert_eq!((methods.len(), methods.capacity()), (6, 10));
        assert!(methods.iter().any(|method| method.full() == "grpc.health.v1.Health/Check"));
        for (full, kind) in STANDARD {
            let (service, name) = full.split_once('/').unwrap();
            assert_eq!(methods.get(service, name).unwrap().kind(), kind, "{full}");
        }
    }
}

#[test]
fn bytes_that_are_not_a_descriptor_set_are_an_error() {
    let error = Methods::from_descriptor_set(b"\xff not one").unwrap_err();
    assert_eq!(error.to_string(), "not an encoded google.protobuf.FileDescriptorSet");
    // Adding the same set twice has no effect.
    let twice = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET)
        .and_then(|methods| methods.and_descriptor_set(FILE_DESCRIPTOR_SET))
        .unwrap();
    assert_eq!(twice.len(), 5);
}
