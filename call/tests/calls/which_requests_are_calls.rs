//! Every request to a gRPC method is observed, and no other request counts as a call: each verb and content
//! type, with each kind of response, on a server.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::time::Duration;

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{
    CallInfo, EarlyMessages, End, Methods, ObserveLayer, Observer, Refusal, Rejection, Side,
};
use tonic_call_test_kit::{
    Ended, FILE_DESCRIPTOR_SET, Recorded, Recorder, Script, drain, frame_of, poll_once,
    silence_panics,
};
use tower::{Layer as _, Service as _, service_fn};

const VERBS: [&str; 8] = ["POST", "GET", "OPTIONS", "PUT", "HEAD", "DELETE", "PATCH", "BREW"];
const TYPES: [Option<&str>; 8] = [
    None,
    Some(""),
    Some("application/grpc"),
    Some("APPLICATION/GRPC+Proto"),
    Some("application/grpc-web"),
    Some("application/json"),
    Some("text/plain"),
    Some("\u{e9}"),
];

/// The response of a service or of what replaces it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Messages, and `OK` in the trailers.
    Streams,
    /// A trailers-only failure.
    Fails,
    /// The response of tonic's router to an unknown path.
    Unimplemented,
    /// A page, as from another route of an axum router.
    Page,
    /// HTTP's 404, likewise.
    NotFound,
    /// Never answers, and is dropped.
    Hangs,
    /// Panics, without an inner recovery layer.
    Panics,
    /// Returns a service error.
    Errors,
    /// An inner layer refuses the request as unimplemented.
    Refused,
    /// An inner layer recovers a panic before the head, and answers with a page.
    Recovered,
}

const FATES: [Fate; 10] = [
    Fate::Streams,
    Fate::Fails,
    Fate::Unimplemented,
    Fate::Page,
    Fate::NotFound,
    Fate::Hangs,
    Fate::Panics,
    Fate::Errors,
    Fate::Refused,
    Fate::Recovered,
];

async fn meet(fate: Fate, request: Request<Body>) -> Result<Response<Script>, Status> {
    let page = |status: u16| {
        let page = Response::builder().status(status).header("content-type", "text/html");
        page.body(Script::new().data("<html>".into())).unwrap()
    };
    let head = |status: Status| status.into_http::<()>().map(|()| Script::new().says_end());
    let extensions = request.extensions().clone();
    drain(request.into_body()).await;
    match fate {
        Fate::Streams => Ok(Script::new().messages(3).trailers(Code::Ok).respond()),
        Fate::Fails => Ok(head(Status::not_found(""))),
        Fate::Unimplemented => Ok(head(Status::unimplemented(""))),
        Fate::Page => Ok(page(200)),
        Fate::NotFound => Ok(page(404)),
        Fate::Hangs => std::future::pending().await,
        Fate::Panics => panic!("as asked"),
        Fate::Errors => Err(Status::internal("")),
        Fate::Refused => {
            let refusal = Refusal::new("auth", "METHOD_UNKNOWN");
            Ok(head(Rejection::new(refusal, Status::unimplemented("")).into_status(&extensions)))
        }
        Fate::Recovered => {
            CallInfo::of(&extensions).unwrap().set_panic("recovered");
            Ok(page(500))
        }
    }
}

/// Sends one request with two messages, and returns what the observer recorded.
fn send(layer: &ObserveLayer<Recorder>, recorder: &Recorder, request: &Sent) -> Option<Recorded> {
    let &Sent { verb, kind, path, fate } = request;
    let mut builder = Request::builder().method(verb).uri(path);
    if let Some(kind) = kind {
        builder = builder.header("content-type", kind);
    }
    let request = builder.body(Script::new().messages(2)).unwrap();
    let mut service = layer.layer(service_fn(move |request| meet(fate, request)));
    let before = recorder.ended().len();
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let mut response = pin!(service.call(request));
        if let std::task::Poll::Ready(Ok(response)) = poll_once(response.as_mut()) {
            let mut body = pin!(drain(response.into_body()));
            assert!(poll_once(body.as_mut()).is_ready());
        }
    }));
    let mut ended = recorder.ended().split_off(before);
    assert!(ended.len() <= 1, "an ending is reported once");
    assert_eq!(recorder.begun(), recorder.ended().len(), "what begins ends");
    ended.pop()
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    verb: &'static str,
    kind: Option<&'static str>,
    path: &'static str,
    fate: Fate,
}

fn every_request(path: &'static str) -> impl Iterator<Item = Sent> {
    VERBS.into_iter().flat_map(move |verb| {
        TYPES.into_iter().flat_map(move |kind| {
            FATES.into_iter().map(move |fate| Sent { verb, kind, path, fate })
        })
    })
}

fn asks_as_grpc(sent: &Sent) -> bool {
    let grpc = |kind: &str| kind.to_ascii_lowercase().starts_with("application/grpc");
    sent.verb == "POST" && sent.kind.is_none_or(|kind| kind.is_empty() || grpc(kind))
}

#[test]
fn a_request_is_a_call_by_its_head_its_known_method_or_its_answer() {
    silence_panics();
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    for (described, path) in [
        (true, "/test.v1.Kinds/Unary"),
        (true, "/test.v1.Kinds/Nothing"),
        (false, "/test.v1.Kinds/Unary"),
        (false, "/"),
        (false, "/favicon.ico"),
    ] {
        for sent in every_request(path) {
            let recorder = Recorder::new();
            let layer = ObserveLayer::server(recorder.clone());
            let layer = if described { layer.methods(&methods) } else { layer };
            let call = send(&layer, &recorder, &sent);

            let is_known = described && path == "/test.v1.Kinds/Unary";
            let is_certain = asks_as_grpc(&sent) || is_known;
            let is_shown = matches!(
                sent.fate,
                Fate::Streams | Fate::Fails | Fate::Panics | Fate::Refused | Fate::Recovered
            );
            assert_eq!(call.is_some(), is_certain || is_shown, "{sent:?}");
            let Some(call) = call else { continue };
            assert_eq!(call.side, Side::Server);
            assert_eq!(call.requests, [1, 1], "the messages before the head too: {sent:?}");
            let (ended, code) = match sent.fate {
                Fate::Streams => (Ended::Status, Code::Ok),
                Fate::Fails => (Ended::Status, Code::NotFound),
                Fate::Unimplemented | Fate::Refused => (Ended::Status, Code::Unimplemented),
                Fate::Page if asks_as_grpc(&sent) => (Ended::Missing, Code::Unknown),
                Fate::Page | Fate::NotFound => (Ended::Missing, Code::InvalidArgument),
                Fate::Hangs => (Ended::Dropped { responded: false }, Code::Cancelled),
                Fate::Panics => (Ended::Dropped { responded: false }, Code::Internal),
                Fate::Errors => (Ended::Error, Code::Internal),
                Fate::Recovered => (Ended::Missing, Code::Unknown),
            };
            assert_eq!((call.ended, call.code), (ended, code), "{sent:?}");
            assert_eq!(call.unwound, usize::from(sent.fate == Fate::Panics), "{sent:?}");
        }
    }
}

#[test]
fn a_method_that_was_answered_once_is_a_call_from_its_beginning() {
    silence_panics();
    for sent in every_request("/a.B/C") {
        let recorder = Recorder::new();
        let layer = ObserveLayer::server(recorder.clone());
        let first = Sent { verb: "GET", kind: Some("text/plain"), fate: Fate::Streams, ..sent };
        let call = send(&layer, &recorder, &first).unwrap();
        assert!(call.known, "its own answer makes it known before it begins");
        assert!(send(&layer, &recorder, &sent).unwrap().known, "{sent:?}");
    }
}

#[test]
fn on_a_client_every_request_is_a_call() {
    silence_panics();
    for sent in every_request("/a.B/C") {
        let recorder = Recorder::new();
        let layer = ObserveLayer::client(recorder.clone());
        assert!(send(&layer, &recorder, &sent).is_some(), "{sent:?}");
    }
}

#[test]
fn nested_layers_agree_on_which_requests_are_calls() {
    silence_panics();
    for sent in every_request("/a.B/C") {
        let (outer, inner) = (Recorder::new(), Recorder::new());
        let layer = ObserveLayer::server(inner.clone());
        let service = layer.layer(service_fn(move |request| meet(sent.fate, request)));
        let mut both = ObserveLayer::server(outer.clone()).layer(service);
        let mut request = Request::builder().method(sent.verb).uri(sent.path);
        if let Some(kind) = sent.kind {
            request = request.header("content-type", kind);
        }
        let request = request.body(Script::new().messages(2)).unwrap();
        let _ = catch_unwind(AssertUnwindSafe(|| {
            if let std::task::Poll::Ready(Ok(response)) = poll_once(pin!(both.call(request))) {
                let mut body = pin!(drain(response.into_body()));
                assert!(poll_once(body.as_mut()).is_ready());
            }
        }));
        let facts = |recorder: &Recorder| {
            let seen = |call: Recorded| (call.rpc, call.requests, call.ended, call.code, call.by);
            recorder.ended().into_iter().map(seen).collect::<Vec<_>>()
        };
        assert_eq!(facts(&outer), facts(&inner), "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_call_is_timed_from_the_arrival_of_its_request() {
    let recorder = Recorder::new();
    let service = service_fn(async |request: Request<Body>| {
        tokio::time::advance(Duration::from_secs(3)).await;
        drain(request.into_body()).await;
        Ok::<_, Status>(Script::new().messages(1).trailers(Code::Ok).respond())
    });
    let mut service = ObserveLayer::server(recorder.clone()).layer(service);
    let request = Request::get("/a.B/C").body(Script::new().messages(1)).unwrap();
    drain(service.call(request).await.unwrap().into_body()).await;
    assert_eq!(recorder.only().took, Duration::from_secs(3));
}

#[tokio::test]
async fn a_late_call_gets_its_first_messages_one_by_one_and_the_sum_of_all() {
    let many = 3 * EarlyMessages::MAX_KEPT;
    let recorder = Recorder::new();
    let service = service_fn(async |request: Request<Body>| {
        drain(request.into_body()).await;
        Ok::<_, Status>(Script::new().trailers(Code::Ok).respond())
    });
    let mut service = ObserveLayer::server(recorder.clone()).layer(service);
    let frames = (0..many).fold(Script::new(), |script, _| script.data(frame_of(&[7; 10])));
    let request = Request::put("/a.B/C").body(frames).unwrap();
    drain(service.call(request).await.unwrap().into_body()).await;
    let call = recorder.only();
    assert_eq!(call.requests, vec![10; EarlyMessages::MAX_KEPT]);
    let (_, batch) = call.batches[0];
    assert_eq!((batch.messages, batch.bytes), (many as u64, 10 * many as u64));
}

/// A call that the filter skips stays skipped, whenever it begins.
#[derive(Clone)]
struct Bored;

impl Observer for Bored {
    type Call = Never;

    fn begin(&self, _: Side, _: &tonic_call::Rpc, _: &mut http::request::Parts) -> Option<Never> {
        None
    }
}

enum Never {}

impl tonic_call::Call for Never {
    fn end(&self, _: End<'_>) {
        match *self {}
    }
}

#[test]
fn an_observer_that_skips_calls_gets_no_late_call() {
    for sent in every_request("/a.B/C") {
        if matches!(sent.fate, Fate::Panics | Fate::Recovered) {
            continue;
        }
        let mut request = Request::builder().method(sent.verb).uri(sent.path);
        if let Some(kind) = sent.kind {
            request = request.header("content-type", kind);
        }
        let request = request.body(Script::new().messages(1)).unwrap();
        let service = service_fn(move |request| meet(sent.fate, request));
        let mut service = ObserveLayer::server(Bored).layer(service);
        if let std::task::Poll::Ready(Ok(response)) = poll_once(pin!(service.call(request))) {
            assert!(poll_once(pin!(drain(response.into_body()))).is_ready());
        }
    }
}
