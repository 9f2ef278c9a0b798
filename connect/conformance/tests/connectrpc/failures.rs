//! Errors, with their messages, details and metadata, are those that gRPC gets.

use connectrpc::ConnectError;
use prost_types::Any;
use serde_json::json;
use tonic::Code;

use crate::answer::Answer;
use crate::call::{self, Call, any, header, leading, trailing};
use crate::connect::Client;
use crate::kinds::same_answer;
use crate::proto::grpc::unary_response_definition::Response as Outcome;
use crate::proto::grpc::{
    ConformancePayload, Error, StreamResponseDefinition, UnaryRequest, UnaryResponseDefinition,
};
use crate::proto::to_connect;
use crate::server::Server;
use crate::way::Way;

/// Characters that the percent-encoding of gRPC and the strings of JSON must escape.
const MESSAGE: &str = "5 % of \"naïve\" \\ ☃\n";

fn error(code: Code, details: Vec<Any>) -> Error {
    Error { code: code.into(), message: Some(MESSAGE.to_owned()), details }
}

/// JSON requests contain them, so the server must know their types.
fn details() -> Vec<Any> {
    let payload = ConformancePayload { data: vec![0, 255], request_info: None };
    vec![any(&header("name", &["value"])), any(&payload)]
}

fn unary(error: Error) -> UnaryResponseDefinition {
    UnaryResponseDefinition {
        response_headers: leading(),
        response: Some(Outcome::Error(error)),
        response_trailers: trailing(),
        ..UnaryResponseDefinition::default()
    }
}

fn stream(error: Error, responses: &[&[u8]]) -> StreamResponseDefinition {
    StreamResponseDefinition {
        response_headers: leading(),
        response_data: responses.iter().map(|data| data.to_vec()).collect(),
        error: Some(error),
        response_trailers: trailing(),
        ..StreamResponseDefinition::default()
    }
}

/// The answer is this error, with metadata on both sides of it.
fn check(answer: Answer, code: Code) {
    let failure = answer.failure.clone().unwrap();
    assert_eq!((failure.code, failure.message.as_str()), (code, MESSAGE));
    for (sent, got) in details().iter().zip(&failure.details) {
        assert_eq!(sent.type_url.split_once('/').unwrap().1, got.type_url);
        assert_eq!(sent.value, got.value);
    }
    assert!(failure.details.len() >= details().len());
    let names: Vec<_> = answer.joined().leading.into_keys().collect();
    assert_eq!(names, ["x-lead", "x-lead-bin", "x-trail", "x-trail-bin"]);
}

#[tokio::test]
async fn every_code_is_that_of_grpc() {
    let server = Server::start().await;
    for code in (1..=16).map(Code::from_i32) {
        let call = call::unary_call(unary(error(code, details())));
        check(same_answer(&server, &call).await, code);
    }
}

#[tokio::test]
async fn calls_of_every_kind_fail_as_over_grpc() {
    let server = Server::start().await;
    let error = || error(Code::FailedPrecondition, details());
    for call in Call::kinds(unary(error()), stream(error(), &[b"first", b""])) {
        let answer = same_answer(&server, &call).await;
        let responses = if call.has_many_responses() { 2 } else { 0 };
        assert_eq!(answer.messages.len(), responses);
        check(answer, Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn streams_fail_before_their_first_message_as_over_grpc() {
    let server = Server::start().await;
    let failing = || stream(error(Code::NotFound, details()), &[]);
    for call in
        [call::server_stream(failing()), call::bidi(failing(), true), call::bidi(failing(), false)]
    {
        let answer = same_answer(&server, &call).await;
        assert!(answer.messages.is_empty());
        check(answer, Code::NotFound);
    }
}

#[tokio::test]
async fn an_error_without_message_and_details_has_none() {
    let server = Server::start().await;
    let bare = Error { code: Code::Aborted.into(), message: None, details: Vec::new() };
    let answer = same_answer(&server, &call::server_stream(stream(bare, &[b"first"]))).await;
    let failure = answer.failure.unwrap();
    assert_eq!((failure.code, failure.message.as_str()), (Code::Aborted, ""));
    assert!(failure.details.is_empty());
}

#[tokio::test]
async fn a_method_that_the_service_does_not_implement_fails_as_over_grpc() {
    let server = Server::start().await;
    let answer = same_answer(&server, &Call::Unimplemented).await;
    assert_eq!(answer.failure.unwrap().code, Code::Unimplemented);
}

/// The error over Connect, of a call with these details.
async fn error_with(details: Vec<Any>, way: Way) -> ConnectError {
    let server = Server::start().await;
    let definition = unary(error(Code::Internal, details));
    let request = UnaryRequest { response_definition: Some(definition), ..UnaryRequest::default() };
    let client = Client::new(&server, way);
    client.inner.unary(to_connect(&request)).await.unwrap_err()
}

#[tokio::test]
async fn a_detail_is_there_as_json_too() {
    for way in [Way::BINARY, Way::JSON] {
        let error = error_with(details(), way).await;
        let [header, payload, _] = &error.details[..] else { panic!("{error:?}") };
        assert_eq!(header.debug, Some(json!({"name": "name", "value": ["value"]})));
        assert_eq!(payload.debug, Some(json!({"data": "AP8="})));
    }
}

#[tokio::test]
async fn a_detail_of_a_type_that_the_server_does_not_know_is_there_in_binary() {
    let type_url = "type.googleapis.com/other.v1.Unknown".to_owned();
    let details = vec![Any { type_url, value: vec![0, 255] }];
    let error = error_with(details, Way::BINARY).await;
    let detail = &error.details[0];
    assert_eq!(detail.type_url, "other.v1.Unknown");
    assert_eq!((detail.value.as_deref(), &detail.debug), (Some("AP8"), &None));
}
