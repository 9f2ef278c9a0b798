//! A span has the name of its method if the service has that method; all other spans share one name.

use std::collections::BTreeSet;
use std::convert::Infallible;

use http::Request;
use opentelemetry_sdk::trace::SpanData;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, GrpcMethod, Status};
use tonic_call::{KnownMethods, MAX_LEARNED_METHODS, MAX_TEXT_BYTES, ObserveLayer, Side};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    KINDS, KindsService, Script, ask, call as call_kind, frame_of, method_of,
};
use tonic_tracing_layer::TracingLayer;
use tower::{Layer as _, service_fn};

use crate::common::*;

const METHOD: &str = "test.v1.Kinds/Unary";

/// The span's name, `rpc.method` and `rpc.method_original`.
#[track_caller]
fn named(span: &SpanData) -> (String, String, Option<String>) {
    let method = text(span, "rpc.method").expect("a method");
    (span.name.to_string(), method, text(span, "rpc.method_original"))
}

fn known(method: &str) -> (String, String, Option<String>) {
    (method.to_owned(), method.to_owned(), None)
}

fn other(original: &str) -> (String, String, Option<String>) {
    ("grpc".to_owned(), "_OTHER".to_owned(), Some(original.to_owned()))
}

/// Responds without reading the request, like a router or a layer that refuses calls.
fn refusal() -> Answer {
    Ok(trailers_only(&Status::unauthenticated("no token")))
}

#[tokio::test]
async fn with_a_descriptor_set_exactly_its_methods_have_names() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces.described(side);
        for kind in KINDS {
            run(layer.layer(refuses(refusal)), to_kind(kind)).await;
            assert_eq!(named(&traces.take_only()), known(method_of(kind)));
        }
        // An unknown method keeps the shared name even if its call is answered with `OK`.
        call_well(&layer, to("/test.v1.Kinds/Unnary")).await;
        assert_eq!(named(&traces.take_only()), other("test.v1.Kinds/Unnary"));
        call_well(&layer, to("/test.v1.Kinds/unary")).await;
        assert_eq!(named(&traces.take_only()), other("test.v1.Kinds/unary"));
    }
}

#[tokio::test]
async fn the_first_call_of_a_method_has_its_name_if_a_service_answered() {
    type Answers = fn() -> Answer;
    let answers_of: [(&str, Answers); 6] = [
        ("OK", || Ok(stream(1, &Status::ok("")))),
        ("OK", || Ok(trailers_only(&Status::ok("")))),
        ("DATA_LOSS", || Ok(stream(1, &Status::data_loss("")))),
        // A trailers-only response, like that of a failed unary call that has read its message.
        ("NOT_FOUND", || Ok(trailers_only(&Status::not_found("")))),
        ("UNIMPLEMENTED", || Ok(trailers_only(&Status::unimplemented("")))),
        ("UNAVAILABLE", || Err(Status::unavailable(""))),
    ];
    for (name, answer) in answers_of {
        let traces = Traces::new();
        let layer = traces.server();
        call(&layer, to("/test.v1.Kinds/Unary"), answer).await;
        let span = traces.take_only();
        assert_eq!(named(&span), known(METHOD), "{name}");
        assert_eq!(code(&span), name);
        // From then on the method is known, however its calls end.
        run(layer.layer(refuses(refusal)), to("/test.v1.Kinds/Unary")).await;
        assert_eq!(named(&traces.take_only()), known(METHOD), "{name}");
    }
}

#[tokio::test]
async fn a_first_call_that_its_caller_leaves_has_its_name_once_a_message_was_read() {
    for (messages, expected) in [(1, known(METHOD)), (0, other(METHOD))] {
        let traces = Traces::new();
        let service = service_fn(async |request: Request<Body>| {
            drain(request.into_body()).await;
            std::future::pending::<Answer>().await
        });
        let mut service = traces.server().layer(service);
        let request = to("/test.v1.Kinds/Unary").map(|_| Script::new().messages(messages));
        let mut future = Box::pin(tower::Service::call(&mut service, request));
        assert!(poll_once(future.as_mut()).is_pending());
        drop(future);
        let span = traces.only();
        assert_eq!(named(&span), expected);
        assert_eq!(code(&span), "CANCELLED");
    }
}

/// On a client, the transport reads the request even if the call is refused.
#[tokio::test]
async fn on_a_client_a_message_that_was_read_says_nothing_of_its_method() {
    let traces = Traces::new();
    for _ in 0..2 {
        call(&traces.client(), to("/test.v1.Kinds/Unary"), refusal).await;
        assert_eq!(named(&traces.take_only()), other(METHOD));
    }
}

#[tokio::test]
async fn a_refused_call_of_a_method_that_nobody_answered_for_yet_is_other() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces.layer(side);
        for _ in 0..2 {
            run(layer.layer(refuses(refusal)), to("/test.v1.Kinds/Unary")).await;
            assert_eq!(named(&traces.take_only()), other(METHOD), "{side:?}");
        }
        // After half a message or an empty frame, no message has been read.
        for data in [&b""[..], &frame_of(b"whole")[..7]] {
            let data = bytes::Bytes::copy_from_slice(data);
            let request = to("/test.v1.Kinds/Unary").map(|_| Script::new().data(data));
            call(&layer, request, refusal).await;
            assert_eq!(named(&traces.take_only()), other(METHOD), "{side:?}");
        }
        // The method is still learned when a call is answered.
        run(layer.layer(refuses(|| Ok(stream(1, &Status::ok(""))))), to("/test.v1.Kinds/Unary"))
            .await;
        assert_eq!(named(&traces.take_only()), known(METHOD), "{side:?}");
    }
}

fn routes() -> Routes {
    Routes::new(KindsServer::new(KindsService::default())).prepare()
}

#[tokio::test]
async fn what_tonics_router_does_not_know_is_other() {
    for learning in [true, false] {
        let traces = Traces::new();
        let layer = if learning { traces.server() } else { traces.described(Side::Server) };
        for (path, original) in [
            ("/test.v1.Kinds/Unnary", "test.v1.Kinds/Unnary"),
            ("/test.v1.Unkind/Unary", "test.v1.Unkind/Unary"),
            ("/test.v1.Unkind/Unary?query", "test.v1.Unkind/Unary"),
            // A path that does not have the form of a method is recorded as sent.
            ("/", "/"),
            ("/a", "/a"),
            ("/test.v1.Kinds/", "/test.v1.Kinds/"),
            ("/test.v1.Kinds/Unary/", "/test.v1.Kinds/Unary/"),
            ("//Unary", "//Unary"),
            ("/prefix/test.v1.Kinds/Unary", "/prefix/test.v1.Kinds/Unary"),
            ("/.env", "/.env"),
        ] {
            run(layer.layer(routes()), to(path)).await;
            let span = traces.take_only();
            assert_eq!(named(&span), other(original), "{path}");
            assert_eq!(code(&span), "UNIMPLEMENTED", "{path}");
        }
    }
}

#[tokio::test]
async fn methods_behind_tonics_router_have_their_names_from_their_first_call_on() {
    for code_sent in [Code::Ok, Code::NotFound, Code::Unimplemented] {
        for kind in KINDS {
            let traces = Traces::new();
            let mut kinds = KindsClient::new(traces.server().layer(routes()));
            let act = if code_sent == Code::Ok { Act::Unspecified } else { Act::Fail };
            let asked = Ask { code: code_sent as i32, ..ask(act, 0) };
            let outcome = call_kind(&mut kinds, kind, asked, &[]).await;
            assert_eq!(outcome.code, code_sent);
            // A generated client sets its method in the extensions; a server ignores that.
            assert_eq!(named(&traces.only()), known(method_of(kind)), "{code_sent:?}");
        }
    }
}

#[tokio::test]
async fn what_a_stranger_sends_is_bounded_and_shows_what_is_not_printable() {
    let traces = Traces::new();
    let long = format!("/test.v1.Kinds/{}", "x".repeat(6_000));
    run(traces.server().layer(routes()), to(&long)).await;
    let span = traces.take_only();
    let (name, method, original) = named(&span);
    assert_eq!((&*name, &*method), ("grpc", "_OTHER"));
    let original = original.unwrap();
    assert!(original.starts_with("test.v1.Kinds/xxx"), "{original}");
    assert!(original.len() <= MAX_TEXT_BYTES, "{}", original.len());
}

#[tokio::test]
async fn what_a_generated_client_calls_has_its_name_at_once() {
    let (traces, sampler) = asking();
    let layer = traces.client();
    let mut kinds = KindsClient::new(layer.layer(refuses(refusal)));
    kinds.unary(Ask::default()).await.unwrap_err();
    assert_eq!(named(&traces.take_only()), known(METHOD));
    let asked = sampler.take_only();
    assert_eq!(asked.name, METHOD);
    assert_eq!(asked.attributes["rpc.method"], METHOD.into());

    // The same with a path prefix in the origin.
    let origin = "http://orders.svc:8080/prefix".parse().unwrap();
    let mut kinds = KindsClient::with_origin(layer.layer(refuses(refusal)), origin);
    kinds.unary(Ask::default()).await.unwrap_err();
    assert_eq!(named(&traces.take_only()), known(METHOD));
}

#[tokio::test]
async fn a_server_does_not_take_a_callers_word_for_a_method() {
    let traces = Traces::new();
    let mut request = to("/test.v1.Kinds/Unnary");
    request.extensions_mut().insert(GrpcMethod::new("test.v1.Kinds", "Unnary"));
    run(traces.server().layer(routes()), request).await;
    assert_eq!(named(&traces.only()), other("test.v1.Kinds/Unnary"));
}

fn asking() -> (Traces, Asking) {
    asking_for(true)
}

fn asking_for(samples: bool) -> (Traces, Asking) {
    let sampler = Asking::samples(samples);
    (Traces::sampled_by(sampler.clone()), sampler)
}

#[tokio::test]
async fn once_it_is_learnt_a_sampler_is_given_the_method() {
    // Learned from a response, and from a request message that was read before a failure.
    type Answers = fn() -> Answer;
    let learnt_from: [Answers; 2] =
        [|| Ok(stream(1, &Status::ok(""))), || Ok(trailers_only(&Status::not_found("")))];
    for answer in learnt_from {
        let (traces, sampler) = asking();
        let layer = traces.server();
        call(&layer, to("/test.v1.Kinds/Unary"), answer).await;
        let first = sampler.take_only();
        assert_eq!(first.name, METHOD);
        assert!(!first.attributes.contains_key("rpc.method"), "{first:?}");
        call(&layer, to("/test.v1.Kinds/Unary"), answer).await;
        let second = sampler.take_only();
        assert_eq!(second.attributes["rpc.method"], METHOD.into());
        // All clones of the layer know the method.
        call(&layer.clone().filter(|_, _| true), to("/test.v1.Kinds/Unary"), answer).await;
        assert_eq!(sampler.take_only().attributes["rpc.method"], METHOD.into());
        assert!(traces.spans().iter().all(|span| named(span) == known(METHOD)));
    }
}

#[tokio::test]
async fn a_sampler_is_given_other_where_that_is_certain() {
    for side in SIDES {
        let (traces, sampler) = asking();
        for (layer, path, original) in [
            (traces.described(side), "/test.v1.Kinds/Unnary", "test.v1.Kinds/Unnary"),
            (traces.layer(side), "/a/b/c", "/a/b/c"),
        ] {
            run(layer.layer(refuses(refusal)), to(path)).await;
            let asked = sampler.take_only();
            assert_eq!(asked.name, "grpc");
            assert_eq!(asked.attributes["rpc.method"], "_OTHER".into());
            // Only the span has the original path.
            assert!(!asked.attributes.contains_key("rpc.method_original"), "{asked:?}");
            assert_eq!(named(&traces.take_only()), other(original));
        }
    }
}

#[tokio::test]
async fn methods_can_be_known_to_several_layers() {
    let (server, client) = (Traces::new(), Traces::new());
    let known_methods = std::sync::Arc::new(KnownMethods::learning());
    let client_layer = client.client().known(known_methods.clone());
    let server_layer = server.server().known(known_methods.clone());
    let inner = server_layer.layer(refuses(refusal));
    let mut kinds = KindsClient::new(client_layer.layer(inner));
    kinds.unary(Ask::default()).await.unwrap_err();
    // The client has called the server.
    assert_eq!(named(&server.only()), known(METHOD));
    assert_eq!(known_methods.len(), 1);
    assert!(std::sync::Arc::ptr_eq(&server_layer.known_methods(), &known_methods));
}

#[tokio::test]
async fn an_observer_alone_names_as_the_layer_does() {
    let traces = Traces::new();
    let layer = traces.server();
    // With the layer's known methods, and without.
    for observe in [
        ObserveLayer::server(layer.observer()).known(layer.known_methods()),
        ObserveLayer::server(traces.server().observer()),
    ] {
        run(observe.layer(routes()), to("/test.v1.Kinds/Unnary")).await;
        assert_eq!(named(&traces.take_only()), other("test.v1.Kinds/Unnary"));
        run(observe.layer(answers(|| Ok(stream(1, &Status::ok(""))))), to("/test.v1.Kinds/Unary"))
            .await;
        assert_eq!(named(&traces.take_only()), known(METHOD));
    }
}

/// The names of all spans after calls of this many invented methods.
async fn names_of_invented<S, B>(
    layer: &TracingLayer,
    traces: &Traces,
    service: S,
) -> BTreeSet<String>
where
    S: tower::Service<Request<Body>, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes, Error = Status> + Send + 'static,
{
    for number in 0..INVENTED {
        run(layer.layer(service.clone()), to(&format!("/scan.V{number}/M{number}"))).await;
    }
    let spans = traces.take();
    assert_eq!(spans.len(), INVENTED);
    spans
        .iter()
        .map(|span| {
            let (name, method, original) = named(span);
            match &*name {
                "grpc" => assert!(method == "_OTHER" && original.unwrap().starts_with("scan.V")),
                _ => assert!(method == name && original.is_none()),
            }
            name
        })
        .collect()
}

const INVENTED: usize = 5_000;

#[tokio::test]
async fn names_that_strangers_invent_add_no_name_of_a_span() {
    for described in [false, true] {
        let traces = Traces::new();
        let layer = if described { traces.described(Side::Server) } else { traces.server() };
        let refusing = service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(trailers_only(&Status::unauthenticated("")))
        });
        let names = names_of_invented(&layer, &traces, refusing).await;
        assert_eq!(names, BTreeSet::from(["grpc".to_owned()]));
        assert!(described || layer.known_methods().is_empty());
        // Methods of the service are still learned.
        call_well(&layer, to("/test.v1.Kinds/Unary")).await;
        assert_eq!(named(&traces.only()), known(METHOD));
    }
}

/// With an inner layer that reads every request before it refuses it, and with a service that answers
/// every request, the number of names stays bounded.
#[tokio::test]
async fn names_that_are_answered_for_are_bounded() {
    let reads_and_refuses = service_fn(async |request: Request<Body>| {
        drain(request.into_body()).await;
        Ok::<_, Infallible>(trailers_only(&Status::unimplemented("")))
    });
    let serves_all =
        service_fn(async |_: Request<Body>| Ok::<_, Infallible>(stream(1, &Status::ok(""))));
    let traces = Traces::new();
    let names = names_of_invented(&traces.server(), &traces, reads_and_refuses).await;
    assert_eq!(names.len(), MAX_LEARNED_METHODS + 1, "and `grpc`");
    let traces = Traces::new();
    let names = names_of_invented(&traces.server(), &traces, serves_all).await;
    assert_eq!(names.len(), MAX_LEARNED_METHODS + 1, "and `grpc`");
}

#[tokio::test]
async fn what_is_not_sampled_teaches_names_too() {
    let (traces, sampler) = asking_for(false);
    let layer = traces.server();
    for has_method in [false, true] {
        call(&layer, to("/test.v1.Kinds/Unary"), || Ok(trailers_only(&Status::not_found(""))))
            .await;
        assert_eq!(sampler.take_only().attributes.contains_key("rpc.method"), has_method);
    }
}

#[tokio::test]
async fn the_standard_services_have_names_though_nobody_describes_them() {
    const CHECK: &str = "grpc.health.v1.Health/Check";
    let traces = Traces::new();
    let layer = traces.described(Side::Server).include_infrastructure();
    for _ in 0..2 {
        call_well(&layer, to(&format!("/{CHECK}"))).await;
        assert_eq!(named(&traces.take_only()), known(CHECK));
    }
    run(layer.layer(refuses(refusal)), to("/grpc.health.v1.Health/Invented")).await;
    assert_eq!(named(&traces.take_only()), other("grpc.health.v1.Health/Invented"));
}

#[tokio::test]
async fn a_name_that_is_too_long_is_none() {
    let traces = Traces::new();
    let long = format!("/test.v1.Kinds/{}", "x".repeat(2_000));
    for _ in 0..2 {
        call_well(&traces.server(), to(&long)).await;
        let (name, method, original) = named(&traces.take_only());
        assert_eq!((name.as_str(), method.as_str()), ("grpc", "_OTHER"));
        assert!(original.is_some_and(|original| original.len() <= MAX_TEXT_BYTES));
    }
}
