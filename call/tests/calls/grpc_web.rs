//! gRPC-Web calls, observed from outside tonic-web's layer: the status is in the body.

use std::pin::pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_call::{AnswerBody, AnswerFuture, Cut, EndedBy, ObserveLayer, Protocol};
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::v1::{Act, Ask};
use tonic_call_test_kit::{
    Ended, KindsService, Recorded, Recorder, Script, ask, frame_of, listen, poll_once,
};
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::{Layer as _, Service as _, ServiceBuilder, service_fn};

/// Content types, and values of `accept`.
const FORMS: [(&str, Option<&str>, Protocol); 6] = [
    ("application/grpc-web", None, Protocol::GrpcWeb),
    ("application/grpc-web+proto", Some("*/*"), Protocol::GrpcWeb),
    ("application/grpc-web", Some("application/grpc-web-text"), Protocol::GrpcWebText),
    ("application/grpc-web-text", Some("application/grpc-web-text"), Protocol::GrpcWebText),
    (
        "application/grpc-web-text+proto",
        Some("application/grpc-web-text+proto"),
        Protocol::GrpcWebText,
    ),
    ("application/grpc-web-text", None, Protocol::GrpcWeb),
];

fn request(
    method: &str,
    form: (&str, Option<&str>, Protocol),
    asks: &[Ask],
) -> Request<Full<Bytes>> {
    let (kind, accept, _) = form;
    let mut request =
        Request::post(format!("/test.v1.Kinds/{method}")).header("content-type", kind);
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let frames = asks.iter().map(|ask| frame_of(&ask.encode_to_vec()));
    let body = frames.collect::<Vec<_>>().concat();
    // In one piece: tonic-web does not support padding in the middle of a request.
    let body = if kind.contains("text") { STANDARD.encode(body).into_bytes() } else { body };
    request.body(Full::from(body)).unwrap()
}

/// Calls tonic's service through tonic-web, and returns what an observer outside has recorded.
async fn call(request: Request<Full<Bytes>>) -> Recorded {
    let recorder = Recorder::new();
    let routes = Routes::new(KindsServer::new(KindsService::default()));
    let service = GrpcWebLayer::new().layer(routes);
    let mut service = ObserveLayer::server(recorder.clone()).layer(service);
    let response = service.call(request).await.unwrap();
    let mut body = pin!(response.into_body());
    // As in hyper: a body that reports its end is not polled again.
    while !http_body::Body::is_end_stream(&*body) {
        if body.frame().await.is_none() {
            break;
        }
    }
    recorder.only()
}

#[tokio::test]
async fn a_good_call_of_each_kind_is_ok_with_its_messages_counted() {
    let one = [ask(Act::Unspecified, 3)];
    let three = [ask(Act::Unspecified, 2), ask(Act::Unspecified, 2), ask(Act::Unspecified, 2)];
    for form in FORMS {
        for (method, asks, responses) in [
            ("Unary", &one[..], 1),
            ("ClientStream", &three, 1),
            ("ServerStream", &one, 3),
            ("BidiStream", &three, 6),
        ] {
            let call = call(request(method, form, asks)).await;
            assert_eq!((call.ended, call.code), (Ended::Status, Code::Ok), "{form:?} {method}");
            assert_eq!(call.by, EndedBy::Service);
            let counted = (call.requests.len(), call.responses.len());
            assert_eq!(counted, (asks.len(), responses), "{form:?} {method}");
        }
    }
}

#[tokio::test]
async fn a_failure_is_seen_in_the_head_and_after_messages() {
    for form in FORMS {
        for (method, notes) in [("Unary", 0), ("ServerStream", 0), ("ServerStream", 2)] {
            let fails = Ask { code: Code::DataLoss as i32, ..ask(Act::Fail, notes) };
            let call = call(request(method, form, &[fails])).await;
            assert_eq!((call.ended, call.code), (Ended::Status, Code::DataLoss), "{form:?}");
            assert_eq!(call.responses.len(), notes as usize);
            assert!(call.message.is_some_and(|text| !text.is_empty()));
        }
    }
}

#[tokio::test]
async fn a_request_that_tonic_web_refuses_is_the_callers_mistake() {
    for (method, kind, version, http) in [
        // A content type that tonic-web does not know, and a verb that it does not accept.
        ("POST", "Application/gRPC-Web", http::Version::HTTP_11, 400),
        ("POST", "application/json", http::Version::HTTP_11, 400),
        ("GET", "application/grpc-web", http::Version::HTTP_2, 405),
    ] {
        let recorder = Recorder::new();
        let methods =
            tonic_call::Methods::from_descriptor_set(tonic_call_test_kit::FILE_DESCRIPTOR_SET);
        let layer = ObserveLayer::server(recorder.clone()).methods(&methods.unwrap());
        let routes = Routes::new(KindsServer::new(KindsService::default()));
        let mut service = layer.layer(GrpcWebLayer::new().layer(routes));
        let request = Request::builder().method(method).version(version);
        let request = request.uri("/test.v1.Kinds/Unary").header("content-type", kind);
        let request = request.body(Full::<Bytes>::default()).unwrap();
        let response = service.call(request).await.unwrap();
        assert_eq!(response.status(), http);
        drop(response);
        let call = recorder.only();
        assert_eq!((call.ended, call.code), (Ended::Missing, Code::InvalidArgument), "{kind}");
        assert_eq!(call.by, EndedBy::Caller);
    }
}

#[tokio::test]
async fn both_sides_see_the_same_calls_of_tonic_webs_client() {
    let (server, client) = (Recorder::new(), Recorder::new());
    let (incoming, endpoint) = listen();
    let serve = tonic::transport::Server::builder()
        .accept_http1(true)
        .layer(ObserveLayer::server(server.clone()))
        .layer(GrpcWebLayer::new())
        .add_service(KindsServer::new(KindsService::default()))
        .serve_with_incoming(incoming);
    tokio::spawn(serve);
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let http = http.build_http::<Body>();
    let channel = ServiceBuilder::new()
        .layer(GrpcWebClientLayer::new())
        .layer(ObserveLayer::client(client.clone()))
        .service(http);
    let mut kinds = KindsClient::with_origin(channel, endpoint.uri().clone());
    kinds.unary(ask(Act::Unspecified, 0)).await.unwrap();
    let mut notes = kinds.server_stream(ask(Act::Unspecified, 3)).await.unwrap().into_inner();
    while notes.message().await.unwrap().is_some() {}
    let fails = Ask { code: Code::Aborted as i32, ..ask(Act::Fail, 0) };
    assert_eq!(kinds.unary(fails).await.unwrap_err().code(), Code::Aborted);
    for ended in [server.until_ended(3).await, client.until_ended(3).await] {
        let seen: Vec<_> = ended.iter().map(|call| (call.code, call.responses.len())).collect();
        assert_eq!(seen, [(Code::Ok, 1), (Code::Ok, 3), (Code::Aborted, 0)]);
    }
}

/// A gRPC-Web request head, without a body.
fn head((kind, accept, _): (&str, Option<&str>, Protocol)) -> Request<Body> {
    let mut request = Request::post("/test.v1.Kinds/Unary").header("content-type", kind);
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    request.body(Body::empty()).unwrap()
}

/// A streaming response in this protocol.
fn streams(protocol: Protocol, body: Script) -> Response<Script> {
    let mut response = protocol.respond::<Script>(Status::ok(""));
    response.headers_mut().remove("grpc-status");
    response.map(|_| body)
}

/// The status at the end of a body, and the number of messages before it.
async fn read<B>(protocol: Protocol, body: B) -> (usize, Option<HeaderMap>)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display + std::fmt::Debug + Into<tonic_call::BoxError> + 'static,
{
    let recorder = Recorder::new();
    let body = std::sync::Mutex::new(Some(body));
    let service = service_fn(move |_: Request<Body>| {
        let body = body.lock().unwrap().take().unwrap();
        let mut response = protocol.respond::<Body>(Status::ok(""));
        response.headers_mut().remove("grpc-status");
        std::future::ready(Ok::<_, Status>(response.map(|_| Body::new(body))))
    });
    let mut service = ObserveLayer::client(recorder.clone()).layer(service);
    let response = service.call(Request::new(Body::empty())).await.unwrap();
    let whole = response.into_body().collect().await.unwrap();
    let call = recorder.only();
    assert!(whole.trailers().is_none(), "a browser does not read them");
    let status = (call.ended == Ended::Status).then(|| {
        let mut status = HeaderMap::new();
        Status::new(call.code, call.message.unwrap_or_default()).add_header(&mut status).unwrap();
        status
    });
    (call.responses.len(), status)
}

fn status_of(status: Option<HeaderMap>) -> (Code, String) {
    let status = Status::from_header_map(&status.unwrap()).unwrap();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn a_layer_answers_in_the_callers_protocol() {
    for form in FORMS {
        type Inner = std::future::Pending<Result<Response<Body>, Status>>;
        let status = Status::unauthenticated("missing");
        let answer = AnswerFuture::<Inner>::answer_to(head(form).headers(), status).await.unwrap();
        let kind = match form.2 {
            Protocol::GrpcWebText => "application/grpc-web-text+proto",
            _ => "application/grpc-web+proto",
        };
        assert_eq!(answer.headers()["content-type"], kind, "{form:?}");
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["grpc-status"]),
            (200, &"16".parse().unwrap())
        );
    }
}

#[tokio::test]
async fn a_call_that_is_cut_ends_in_its_protocol() {
    for form in FORMS {
        // Before the head.
        let mut hangs = service_fn(async |_: Request<Body>| {
            std::future::pending::<Result<Response<Script>, Status>>().await
        });
        let (cut, response) = Cut::call(&mut hangs, head(form));
        assert!(cut.cut(EndedBy::Deadline, Status::deadline_exceeded("too late")));
        let response = response.await.unwrap();
        let kind = response.headers()["content-type"].to_str().unwrap();
        assert!(kind.starts_with("application/grpc-web"), "{form:?} {kind}");
        assert_eq!(kind.contains("text"), form.2 == Protocol::GrpcWebText);
        assert_eq!(response.headers()["grpc-status"], "4");

        // In the stream.
        let protocol = form.2;
        let mut streams = service_fn(move |_: Request<Body>| async move {
            Ok::<_, Status>(streams(protocol, Script::new().stall()))
        });
        let (cut, response) = Cut::call(&mut streams, head(form));
        let body = response.await.unwrap().into_body();
        assert!(cut.cut(EndedBy::Deadline, Status::deadline_exceeded("too late")));
        let (_, status) = read(form.2, body).await;
        assert_eq!(status_of(status), (Code::DeadlineExceeded, "too late".to_owned()), "{form:?}");
    }
}

#[tokio::test]
async fn a_body_that_a_layer_ends_ends_in_its_protocol() {
    for form in FORMS {
        let (parts, script) = streams(form.2, Script::new().stall()).into_parts();
        let protocol = Protocol::of(&parts.headers).unwrap();
        let mut body = Box::pin(AnswerBody::inner(script));
        assert!(poll_once(pin!(body.frame())).is_pending());
        body.as_mut().end_with(protocol, &Status::internal("internal error"));
        let (_, status) = read(form.2, body).await;
        assert_eq!(status_of(status), (Code::Internal, "internal error".to_owned()), "{form:?}");
    }
}
