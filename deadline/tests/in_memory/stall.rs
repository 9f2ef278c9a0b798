//! A caller that reads nothing is ended, and one that is slow is not. Time is paused.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tonic_call::{EndedBy, ObserveLayer};
use tonic_call_test_kit::{Recorder, Script, frame, frame_of, methods, to};
use tonic_deadline_layer::{DeadlineLayer, MethodTable};
use tower::{Layer as _, Service as _, service_fn};

const LIMIT: Duration = Duration::from_secs(10);
/// Longer than a piece that HTTP gets at once.
const LONG: usize = 100_000;

fn long_message() -> Bytes {
    frame_of(&vec![7; LONG])
}

/// The response to a call of a server with this layer, whose handler sends this body; and the observer outside.
async fn respond(
    layer: &DeadlineLayer,
    script: Script,
    request: Request<Script>,
) -> (Response<impl Body<Data = Bytes, Error = Status> + Unpin + use<>>, Recorder) {
    let script = Arc::new(std::sync::Mutex::new(Some(script)));
    let handler = service_fn(move |_: Request<tonic::body::Body>| {
        let script = script.lock().unwrap().take().unwrap();
        async move { Ok::<_, Infallible>(script.respond()) }
    });
    let recorder = Recorder::new();
    let mut service = ObserveLayer::server(recorder.clone()).layer(layer.layer(handler));
    (service.call(request).await.unwrap(), recorder)
}

fn request() -> Request<Script> {
    to("/test.v1.Kinds/ServerStream")
}

fn code(trailers: &http::HeaderMap) -> Code {
    Code::from_bytes(trailers["grpc-status"].as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_reads_nothing_is_ended() {
    let layer = DeadlineLayer::server().stall(LIMIT);
    let script = Script::new().message(b"1").message(b"2").stall();
    let (response, recorder) = respond(&layer, script, request()).await;
    let mut body = response.into_body();
    assert!(frame(&mut body).await.is_data());
    sleep(LIMIT + Duration::from_millis(2)).await;
    let trailers = frame(&mut body).await.into_trailers().unwrap();
    assert_eq!(code(&trailers), Code::DeadlineExceeded);
    let message = Status::from_header_map(&trailers).unwrap().message().to_owned();
    assert_eq!(message, "the caller has read nothing for 10s");
    assert_eq!(recorder.only().by, EndedBy::Deadline);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_does_not_even_begin_to_read_is_ended() {
    // HTTP polls a body only when there is room to send: here never.
    let layer = DeadlineLayer::server().stall(LIMIT);
    let (response, recorder) = respond(&layer, Script::new().messages(9), request()).await;
    sleep(2 * LIMIT).await;
    let mut body = response.into_body();
    assert_eq!(code(&frame(&mut body).await.into_trailers().unwrap()), Code::DeadlineExceeded);
    assert!(recorder.only().responses.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_slow_caller_is_not_ended_even_within_one_long_message() {
    let layer = DeadlineLayer::server().stall(LIMIT);
    let script = Script::new().data(long_message()).data(long_message()).trailers(Code::Ok);
    let (response, recorder) = respond(&layer, script, request()).await;
    let mut body = response.into_body();
    let (mut read, began) = (Vec::new(), Instant::now());
    let trailers = loop {
        match frame(&mut body).await.into_data() {
            Ok(piece) => read.extend_from_slice(&piece),
            Err(last) => break last.into_trailers().unwrap(),
        }
        sleep(LIMIT - Duration::from_secs(1)).await;
    };
    assert_eq!(code(&trailers), Code::Ok);
    assert_eq!(read, [long_message(), long_message()].concat());
    assert!(began.elapsed() > 10 * LIMIT, "{:?}", began.elapsed());
    assert_eq!(recorder.only().responses, [LONG as u32; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_waits_for_the_handler_is_not_ended() {
    let layer = DeadlineLayer::server().stall(LIMIT);
    let script = Script::new().messages(1).stall().messages(1).trailers(Code::Ok);
    let (response, recorder) = respond(&layer, script, request()).await;
    let mut body = response.into_body();
    frame(&mut body).await;
    let rest = tokio::spawn(async move {
        frame(&mut body).await;
        body
    });
    sleep(50 * LIMIT).await;
    assert!(recorder.ended().is_empty());
    rest.abort();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_comes_first_if_it_is_earlier() {
    let layer = DeadlineLayer::server().stall(LIMIT);
    let mut request = request();
    request.headers_mut().insert("grpc-timeout", "2S".parse().unwrap());
    let (response, recorder) = respond(&layer, Script::new().messages(1).stall(), request).await;
    let mut body = response.into_body();
    frame(&mut body).await;
    sleep(LIMIT / 2).await;
    let trailers = frame(&mut body).await.into_trailers().unwrap();
    let status = Status::from_header_map(&trailers).unwrap();
    assert_eq!(status.message(), "the caller's deadline has passed");
    assert_eq!(recorder.only().by, EndedBy::Deadline);
}

#[tokio::test(start_paused = true)]
async fn a_method_has_a_limit_of_its_own_or_none() {
    let limits = MethodTable::new(Some(LIMIT))
        .method("test.v1.Kinds", "ServerStream", None)
        .checked(&methods())
        .unwrap();
    let layer = DeadlineLayer::server().stall(limits);
    let (response, recorder) =
        respond(&layer, Script::new().messages(2).trailers(Code::Ok), request()).await;
    let mut body = response.into_body();
    frame(&mut body).await;
    sleep(9 * LIMIT).await;
    assert!(frame(&mut body).await.is_data());
    assert!(recorder.ended().is_empty());
}
