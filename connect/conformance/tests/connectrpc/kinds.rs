//! Calls of every kind, in every way, get the answers that gRPC gets.

use crate::answer::{Answer, Metadata};
use crate::call::{self, Call, every_byte, leading, trailing};
use crate::grpc;
use crate::proto::grpc::unary_response_definition::Response as Outcome;
use crate::proto::grpc::{
    IdempotentUnaryRequest, StreamResponseDefinition, UnaryResponseDefinition,
};
use crate::server::Server;
use crate::way::Way;

/// The answer over gRPC, which each way over Connect gives too.
pub(crate) async fn same_answer(server: &Server, call: &Call) -> Answer {
    let expected = grpc::answer(server, call).await;
    for way in Way::all(call) {
        let answer = way.answer(server, call).await;
        if call.has_many_responses() {
            assert_eq!(answer, expected, "{way:?}");
        } else {
            assert_eq!(answer.joined(), expected.clone().joined(), "{way:?}");
        }
    }
    expected
}

fn unary() -> UnaryResponseDefinition {
    UnaryResponseDefinition {
        response_headers: leading(),
        response: Some(Outcome::ResponseData(every_byte())),
        response_trailers: trailing(),
        ..UnaryResponseDefinition::default()
    }
}

fn stream() -> StreamResponseDefinition {
    StreamResponseDefinition {
        response_headers: leading(),
        response_data: vec![every_byte(), Vec::new(), b"last".to_vec()],
        response_trailers: trailing(),
        ..StreamResponseDefinition::default()
    }
}

/// One response, with what the service saw of so many requests.
fn check_one(answer: &Answer, requests: usize) {
    assert_eq!((answer.data(), &answer.failure), (vec![&*every_byte()], &None));
    check_request(answer, requests);
    assert_eq!(answer.clone().joined().leading, metadata());
}

fn check_request(answer: &Answer, requests: usize) {
    let info = answer.messages[0].request_info.as_ref().unwrap();
    assert_eq!(info.requests.len(), requests);
    let seen: Vec<_> =
        info.request_headers.iter().map(|it| (it.name.as_str(), it.value.len())).collect();
    assert_eq!(seen, [("x-ask", 2), ("x-ask-bin", 2)]);
}

/// What `leading` and `trailing` are, decoded.
fn metadata() -> Metadata {
    let all: [(&str, [&[u8]; 2]); 3] = [
        ("x-lead", [b"1", b"2"]),
        ("x-lead-bin", [&[0, 255], &[255, 239]]),
        ("x-trail-bin", [&[0, 1, 2], &[3]]),
    ];
    let two = all.map(|(name, values)| (name.to_owned(), values.map(<[u8]>::to_vec).to_vec()));
    two.into_iter().chain([("x-trail".to_owned(), vec![b"end".to_vec()])]).collect()
}

#[tokio::test]
async fn a_unary_call_is_answered_as_over_grpc() {
    let server = Server::start().await;
    let answer = same_answer(&server, &call::unary_call(unary())).await;
    check_one(&answer, 1);
}

#[tokio::test]
async fn a_call_by_get_is_answered_as_over_grpc() {
    let server = Server::start().await;
    let request =
        IdempotentUnaryRequest { response_definition: Some(unary()), request_data: every_byte() };
    let answer = same_answer(&server, &Call::Idempotent(request)).await;
    check_one(&answer, 1);
}

#[tokio::test]
async fn a_client_stream_is_answered_as_over_grpc() {
    let server = Server::start().await;
    let answer = same_answer(&server, &call::client_stream(unary())).await;
    check_one(&answer, 3);
}

#[tokio::test]
async fn a_server_stream_is_answered_as_over_grpc() {
    let server = Server::start().await;
    let answer = same_answer(&server, &call::server_stream(stream())).await;
    assert_eq!(answer.data(), [&*every_byte(), b"", b"last"]);
    check_request(&answer, 1);
    assert_eq!(answer.joined().leading, metadata());
}

#[tokio::test]
async fn a_bidi_stream_gets_a_response_after_each_request_as_over_grpc() {
    let server = Server::start().await;
    let answer = same_answer(&server, &call::bidi(stream(), true)).await;
    assert_eq!(answer.data(), [&*every_byte(), b"", b"last"]);
    check_request(&answer, 1);
    assert_eq!(answer.joined().leading, metadata());
}

#[tokio::test]
async fn a_bidi_stream_gets_responses_after_the_last_request_as_over_grpc() {
    let server = Server::start().await;
    let answer = same_answer(&server, &call::bidi(stream(), false)).await;
    assert_eq!(answer.data(), [&*every_byte(), b"", b"last"]);
    check_request(&answer, 3);
    assert_eq!(answer.joined().leading, metadata());
}

#[tokio::test]
async fn an_empty_answer_is_empty_as_over_grpc() {
    let server = Server::start().await;
    let one = UnaryResponseDefinition::default;
    let calls = [call::unary_call(one()), call::client_stream(one())];
    for call in calls {
        let answer = same_answer(&server, &call).await;
        assert_eq!((answer.data(), answer.leading.len()), (vec![&b""[..]], 0));
    }
    let none = StreamResponseDefinition::default;
    for call in [call::server_stream(none()), call::bidi(none(), true), call::bidi(none(), false)] {
        assert_eq!(same_answer(&server, &call).await, Answer::default());
    }
}

#[tokio::test]
async fn large_messages_arrive_whole_as_over_grpc() {
    let server = Server::start().await;
    let large: Vec<u8> =
        (0..200_000_u32).map(|number| (number.wrapping_mul(number) >> 7) as u8).collect();
    let one = UnaryResponseDefinition {
        response: Some(Outcome::ResponseData(large.clone())),
        ..UnaryResponseDefinition::default()
    };
    let several = StreamResponseDefinition {
        response_data: vec![large.clone(), large.clone()],
        ..StreamResponseDefinition::default()
    };
    for call in [
        call::unary_call(one.clone()),
        call::client_stream(one),
        call::server_stream(several.clone()),
        call::bidi(several, true),
    ] {
        let answer = same_answer(&server, &call).await;
        assert!(answer.data().iter().all(|&data| data == large));
        assert_eq!(answer.data().len(), if call.has_many_responses() { 2 } else { 1 });
    }
}

#[tokio::test]
async fn metadata_of_a_unary_call_comes_before_and_after_the_message() {
    let server = Server::start().await;
    for call in [call::unary_call(unary()), call::client_stream(unary())] {
        for way in Way::all(&call) {
            let answer = way.answer(&server, &call).await;
            let names = |metadata: &Metadata| metadata.keys().cloned().collect();
            let (before, after): (Vec<_>, Vec<_>) =
                (names(&answer.leading), names(&answer.trailing));
            assert_eq!(before, ["x-lead", "x-lead-bin"], "{way:?}");
            assert_eq!(after, ["x-trail", "x-trail-bin"], "{way:?}");
        }
    }
}
