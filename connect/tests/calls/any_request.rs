//! No request panics or hangs.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use proptest::sample::select;
use tonic::{Code, Status};
use tonic_call_test_kit::{Script, trailers_only};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::common::{Answer, layer};

const METHODS: [&str; 6] =
    ["Unary", "ClientStream", "ServerStream", "BidiStream", "Peek?encoding=json&message=", "Nope"];

const TYPES: [&str; 6] = [
    "application/json",
    "application/proto",
    "application/connect+json",
    "application/connect+proto",
    "application/xml",
    "",
];

async fn answer(
    method: &str,
    kind: &str,
    encoding: &str,
    frames: Vec<Vec<u8>>,
    is_get: bool,
) -> Answer {
    let verb = if is_get { "GET" } else { "POST" };
    let body = frames
        .into_iter()
        .fold(Script::new().says_end(), |script, frame| script.data(Bytes::from(frame)).pending());
    let request = Request::builder()
        .method(verb)
        .uri(format!("/test.v1.Kinds/{method}"))
        .version(http::Version::HTTP_2)
        .header("content-type", kind)
        .header("content-encoding", encoding)
        .header("connect-content-encoding", encoding)
        .header("connect-accept-encoding", "gzip")
        .body(body)
        .unwrap();
    let service = layer().compress_from(0).layer(service_fn(echo));
    Answer::of(service.oneshot(request).await.unwrap()).await
}

/// Answers with the messages of the request, or with the status that its body fails with.
async fn echo(request: Request<tonic::body::Body>) -> Result<Response<Script>, Status> {
    Ok(match request.into_body().collect().await {
        Ok(body) => Script::new().data(body.to_bytes()).trailers(Code::Ok).respond(),
        Err(status) => trailers_only(&status),
    })
}

proptest! {
    #[test]
    fn every_request_is_answered(
        method in select(&METHODS[..]),
        kind in select(&TYPES[..]),
        encoding in select(&["", "gzip"][..]),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5),
        is_get: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(answer(method, kind, encoding, frames, is_get));
        if let 404 | 405 | 415 = answer.status.as_u16() {
            prop_assert!(!answer.text().is_empty());
        } else if answer.status != 200 {
            prop_assert!(answer.json()["code"].is_string());
        } else if answer.header("content-type").starts_with("application/connect+") {
            prop_assert!(answer.end().is_object());
        }
    }

    #[test]
    fn every_envelope_is_answered(
        kind in select(&TYPES[2..4]),
        flags in select(&[0_u8, 1, 2, 3][..]),
        len in 0_u32..40,
        data in prop::collection::vec(any::<u8>(), 0..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let body = [&[flags][..], &len.to_be_bytes(), &data].concat();
        let (first, second) = body.split_at(cut.index(body.len()));
        let frames = vec![first.to_vec(), second.to_vec()];
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let answer = runtime.block_on(answer("ClientStream", kind, "gzip", frames, false));
        prop_assert!(answer.end().is_object());
    }
}
