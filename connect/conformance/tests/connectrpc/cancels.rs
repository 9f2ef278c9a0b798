//! A call that its client cancels ends at the server too.

use crate::call::{self, Call};
use crate::connect::Client;
use crate::proto::grpc::{
    IdempotentUnaryRequest, StreamResponseDefinition, UnaryResponseDefinition,
};
use crate::proto::to_connect;
use crate::server::Server;
use crate::way::Way;

/// A stream of responses that does not end by itself before the test does.
fn endless() -> StreamResponseDefinition {
    StreamResponseDefinition {
        response_data: vec![b"one of many".to_vec(); 5_000],
        response_delay_ms: 20,
        ..StreamResponseDefinition::default()
    }
}

#[tokio::test]
async fn a_server_stream_that_is_canceled_ends_at_the_server() {
    let mut server = Server::start().await;
    let call = call::server_stream(endless());
    let Call::ServerStream(request) = &call else { unreachable!("a server stream") };
    for way in Way::all(&call) {
        let client = Client::new(&server, way);
        let mut responses = client.inner.server_stream(to_connect(request)).await.unwrap();
        assert!(responses.message().await.unwrap().is_some());
        drop(responses);
        assert_eq!(server.ending_of("ServerStream").await, "canceled", "{way:?}");
    }
}

#[tokio::test]
async fn a_bidi_stream_that_is_canceled_ends_at_the_server() {
    let mut server = Server::start().await;
    let call = call::bidi(endless(), true);
    let Call::Bidi(requests) = &call else { unreachable!("a bidi stream") };
    for way in Way::all(&call) {
        let client = Client::new(&server, way);
        let mut stream = client.inner.bidi_stream().await.unwrap();
        stream.send(to_connect(&requests[0])).await.unwrap();
        assert!(stream.message().await.unwrap().is_some());
        drop(stream);
        assert_eq!(server.ending_of("BidiStream").await, "canceled", "{way:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_canceled_before_its_response_ends_at_the_server() {
    let mut server = Server::start().await;
    let slow =
        UnaryResponseDefinition { response_delay_ms: 50_000, ..UnaryResponseDefinition::default() };
    for (method, call) in [
        ("Unary", call::unary_call(slow.clone())),
        ("ClientStream", call::client_stream(slow.clone())),
        ("IdempotentUnary", idempotent(slow)),
    ] {
        for way in Way::all(&call) {
            let client = Client::new(&server, way);
            tokio::select! {
                answer = client.answer(&call) => panic!("{answer:?}"),
                () = server.start_of(method) => {}
            }
            assert_eq!(server.ending_of(method).await, "canceled", "{way:?}");
        }
    }
}

fn idempotent(definition: UnaryResponseDefinition) -> Call {
    let response_definition = Some(definition);
    Call::Idempotent(IdempotentUnaryRequest { response_definition, request_data: Vec::new() })
}
