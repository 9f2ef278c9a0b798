//! Deadlines of calls.

use std::time::Duration;

use connectrpc::Protocol;
use connectrpc::client::CallOptions;
use http::Version;
use tokio::task::JoinSet;
use tonic::Code;

use crate::call::{self, Call};
use crate::connect::Client;
use crate::proto::grpc::{StreamResponseDefinition, UnaryResponse, UnaryResponseDefinition};
use crate::proto::{to_connect, to_grpc};
use crate::server::Server;
use crate::way::Way;

/// Longer than any test.
const DELAY_MS: u32 = 50_000;

/// Calls whose answers do not come.
fn slow() -> [Call; 5] {
    Call::kinds(
        UnaryResponseDefinition {
            response_delay_ms: DELAY_MS,
            ..UnaryResponseDefinition::default()
        },
        StreamResponseDefinition {
            response_data: vec![b"late".to_vec()],
            response_delay_ms: DELAY_MS,
            ..StreamResponseDefinition::default()
        },
    )
}

fn method(call: &Call) -> &'static str {
    match call {
        Call::Unary(_) => "Unary",
        Call::Idempotent(_) => "IdempotentUnary",
        Call::ClientStream(_) => "ClientStream",
        Call::ServerStream(_) => "ServerStream",
        Call::Bidi(_) => "BidiStream",
        Call::Unimplemented => "Unimplemented",
    }
}

#[tokio::test]
async fn the_service_sees_the_time_that_is_left() {
    let server = Server::start().await;
    let Call::Unary(request) = call::unary_call(UnaryResponseDefinition::default()) else {
        unreachable!("a unary call");
    };
    for way in [Way::BINARY, Way::JSON] {
        let client = Client::new(&server, way);
        let options = CallOptions::default().with_timeout(Duration::from_secs(30));
        let response = client.inner.unary_with_options(to_connect(&request), options).await;
        let response: UnaryResponse = to_grpc(&response.unwrap().into_owned());
        let info = response.payload.unwrap().request_info.unwrap();
        let left = info.timeout_ms.expect("a deadline");
        assert!((1..=30_000).contains(&left), "{left} ms over {way:?}");
    }
}

#[tokio::test]
async fn the_server_ends_a_call_at_its_deadline_as_over_grpc() {
    let mut server = Server::start().await;
    for call in slow() {
        // Only the header has the deadline: the client itself waits for the server.
        let options = CallOptions::default().with_header("grpc-timeout", "100m");
        let config = Way::BINARY.config(&server).with_protocol(Protocol::Grpc);
        let client = Client::with_config(config, Version::HTTP_2);
        let expected = client.answer_with(&call, options).await;
        assert_eq!(expected.failure.as_ref().unwrap().code, Code::DeadlineExceeded);
        assert_eq!(server.ending_of(method(&call)).await, "DEADLINE_EXCEEDED");
        for way in Way::all(&call) {
            let options = CallOptions::default().with_header("connect-timeout-ms", "100");
            let answer = Client::new(&server, way).answer_with(&call, options).await;
            assert_eq!(answer, expected, "{way:?}");
            // The log has the name of the code in Connect.
            assert_eq!(server.ending_of(method(&call)).await, "deadline_exceeded", "{way:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_ends_a_call_at_its_deadline_ends_it_at_the_server_too() {
    let mut tests = JoinSet::new();
    for call in slow() {
        tests.spawn(async move {
            let mut server = Server::start().await;
            for way in Way::all(&call) {
                let client = Client::new(&server, way);
                // The deadline is not that of making a connection.
                client.answer(&Call::Unimplemented).await;
                let options = CallOptions::default().with_timeout(Duration::from_millis(500));
                let answer = client.answer_with(&call, options).await;
                assert_eq!(answer.failure.unwrap().code, Code::DeadlineExceeded, "{way:?}");
                // Either of the two sees the deadline first.
                let ending = server.ending_of(method(&call)).await;
                assert!(["canceled", "deadline_exceeded"].contains(&ending.as_str()), "{ending}");
            }
        });
    }
    tests.join_all().await;
}
