//! How answers of gRPC are translated.

use std::time::Duration;

use http::{HeaderMap, Response};
use serde_json::json;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_call::Protocol;
use tonic_call_test_kit::{Script, trailers_only, with};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::common::{Answer, envelope, layer, post, through};

const JSON: &str = "application/json";
const STREAM: &str = "application/connect+json";

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

async fn unary(respond: Response<Script>) -> Answer {
    through(layer(), post("Unary", JSON, "{}"), respond).await.0
}

async fn stream(respond: Response<Script>) -> Answer {
    through(layer(), post("ServerStream", STREAM, envelope(0, b"{}")), respond).await.0
}

#[tokio::test]
async fn the_service_sees_a_grpc_request() {
    let request = with(
        post("Unary", JSON, r#"{"text":"hi"}"#),
        &[
            ("connect-protocol-version", "1"),
            ("connect-timeout-ms", "2500"),
            ("x-text", "a"),
            ("x-text", "b"),
            ("x-bytes-bin", "AAE"),
            ("grpc-timeout", "1n"),
            ("grpc-encoding", "gzip"),
        ],
    );
    let (_, seen) = through(layer(), request, trailers_only(&Status::ok(""))).await;
    assert_eq!((seen.head.method.as_str(), seen.head.uri.path()), ("POST", "/test.v1.Kinds/Unary"));
    assert_eq!(seen.head.version, http::Version::HTTP_2);
    let expected = headers(&[
        ("x-text", "a"),
        ("x-text", "b"),
        ("x-bytes-bin", "AAE"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "2500000u"),
    ]);
    assert_eq!(seen.head.headers, expected);
    assert!(matches!(seen.head.extensions.get(), Some(Protocol::Connect)));
    assert_eq!(seen.body.unwrap(), tonic_call_test_kit::frame_of(b"\x22\x02hi"));
}

#[tokio::test]
async fn metadata_of_a_unary_answer_are_headers() {
    let mut respond = Script::new()
        .message(b"")
        .trailers_of(headers(&[("grpc-status", "0"), ("x-last", "1"), ("x-bytes-bin", "AAE")]))
        .respond();
    respond.headers_mut().extend(headers(&[("x-first", "a"), ("x-first", "b")]));
    let answer = unary(respond).await;
    assert_eq!(answer.status, 200);
    let expected = headers(&[
        ("x-first", "a"),
        ("x-first", "b"),
        ("trailer-x-last", "1"),
        ("trailer-x-bytes-bin", "AAE"),
        ("content-type", JSON),
        ("accept-encoding", "gzip"),
        ("content-length", "2"),
    ]);
    assert_eq!(answer.headers, expected);
}

#[tokio::test]
async fn metadata_of_a_stream_are_headers_and_in_its_end() {
    let trailers =
        headers(&[("grpc-status", "0"), ("x-last", "1"), ("x-last", "2"), ("x-bytes-bin", "AAE")]);
    let mut respond = Script::new().message(b"").trailers_of(trailers).respond();
    respond.headers_mut().extend(headers(&[("x-first", "a")]));
    let answer = stream(respond).await;
    assert_eq!(answer.header("x-first"), "a");
    assert_eq!(answer.end(), json!({"metadata": {"x-last": ["1", "2"], "x-bytes-bin": ["AAE"]}}));
}

#[tokio::test]
async fn error_details_have_their_type_and_value() {
    let mut details = ErrorDetails::with_error_info("REASON", "example.org", []);
    details.set_retry_info(Some(Duration::from_millis(1_200)));
    let mut metadata = MetadataMap::new();
    metadata.insert("x-own", "1".parse().unwrap());
    let status = Status::with_error_details_and_metadata(
        Code::ResourceExhausted,
        "too much: ü%",
        details,
        metadata,
    );
    let expected = json!({
        "code": "resource_exhausted",
        "message": "too much: ü%",
        "details": [
            {"type": "google.rpc.RetryInfo", "value": "CgcIARCAhK9f"},
            {"type": "google.rpc.ErrorInfo", "value": "CgZSRUFTT04SC2V4YW1wbGUub3Jn"},
        ],
    });

    let answer = unary(trailers_only(&status)).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (429, JSON));
    assert_eq!((answer.header("retry-after"), answer.header("x-own")), ("2", "1"));
    assert_eq!(answer.json(), expected);

    let answer = stream(trailers_only(&status)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.end(), json!({"error": expected, "metadata": {"x-own": ["1"]}}));
}

#[tokio::test]
async fn details_of_known_types_are_shown_as_json_too() {
    let note = tonic_call_test_kit::v1::Note { number: 7, text: "why".to_owned() };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/test.v1.Note".to_owned(),
        value: prost::Message::encode_to_vec(&note),
    };
    let mut details = vec![0x1A, u8::try_from(prost::Message::encoded_len(&any)).unwrap()];
    details.extend(prost::Message::encode_to_vec(&any));
    let status = Status::with_details(Code::Aborted, "", details.into());
    let answer = unary(trailers_only(&status)).await;
    assert_eq!(
        answer.json()["details"][0],
        json!({
            "type": "test.v1.Note",
            "value": "CAcSA3doeQ",
            "debug": {"number": 7, "text": "why"},
        })
    );
}

#[tokio::test]
async fn a_challenge_is_a_header_wherever_the_status_was() {
    let challenge =
        headers(&[("grpc-status", "16"), ("www-authenticate", "Bearer"), ("x-own", "1")]);
    let answer = unary(Script::new().trailers_of(challenge.clone()).respond()).await;
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(answer.header("trailer-x-own"), "1");

    let mut respond = Script::new().says_end().respond();
    respond.headers_mut().extend(challenge);
    let answer = unary(respond).await;
    assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, "Bearer"));
}

#[tokio::test]
async fn an_answer_that_breaks_grpcs_rules_is_an_error() {
    let data = |bytes: &'static [u8]| Script::new().data(bytes.into());
    for (respond, code) in [
        (Script::new().respond(), "unknown"),
        (Script::new().says_end().respond(), "unknown"),
        (Script::new().message(b"").respond(), "unknown"),
        (Script::new().trailers(Code::Ok).respond(), "internal"),
        (Script::new().messages(2).trailers(Code::Ok).respond(), "internal"),
        (data(&[1, 0, 0, 0, 0]).trailers(Code::Ok).respond(), "internal"),
        (data(&[0, 0, 0, 0, 0, 0]).trailers(Code::Ok).respond(), "internal"),
        (Script::new().error(Status::data_loss("gone")).respond(), "data_loss"),
        (Response::new(Script::new().data("<html>".into())), "unknown"),
        (Script::new().message(b"\xFF").trailers(Code::Ok).respond(), "internal"),
    ] {
        let what = format!("{respond:?}");
        let answer = unary(respond).await;
        assert_eq!(answer.json()["code"], code, "{what}");
        assert_eq!(answer.header("content-type"), JSON);
    }
    let mut unavailable = Response::new(Script::new().says_end());
    *unavailable.status_mut() = http::StatusCode::BAD_GATEWAY;
    assert_eq!(unary(unavailable).await.status, 503);
}

#[tokio::test]
async fn a_stream_that_breaks_grpcs_rules_ends_with_an_error() {
    let data = |bytes: &'static [u8]| Script::new().data(bytes.into());
    for (respond, messages, code) in [
        (Script::new().respond(), 0, "unknown"),
        (Script::new().message(b"").respond(), 1, "unknown"),
        (data(&[1, 0, 0, 0, 0]).trailers(Code::Ok).respond(), 0, "internal"),
        (data(&[0, 0, 0, 0, 3, 1]).trailers(Code::Ok).respond(), 0, "internal"),
        (Script::new().message(b"").error(Status::data_loss("gone")).respond(), 1, "data_loss"),
        (Script::new().message(b"\xFF").trailers(Code::Ok).respond(), 0, "internal"),
    ] {
        let what = format!("{respond:?}");
        let answer = stream(respond).await;
        assert_eq!(answer.envelopes().len(), messages + 1, "{what}");
        assert_eq!(answer.end()["error"]["code"], code, "{what}");
    }
}

#[tokio::test]
async fn malformed_error_headers_cost_only_themselves() {
    let answer = unary(
        Script::new()
            .trailers_of(headers(&[
                ("grpc-status", "7"),
                ("grpc-message", "100%zz"),
                ("grpc-status-details-bin", "!!!"),
            ]))
            .respond(),
    )
    .await;
    assert_eq!(answer.json(), json!({"code": "permission_denied", "message": "100%zz"}));
}

#[tokio::test]
async fn an_ok_without_messages_ends_a_stream() {
    let answer = stream(trailers_only(&Status::ok(""))).await;
    assert_eq!(answer.envelopes(), [(2, "{}".into())]);
}
