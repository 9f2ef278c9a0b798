//! Calls that the layer refuses, and the errors that the client reports.

use connectrpc::client::{CallOptions, call_unary, call_unary_get};
use connectrpc::{CodecFormat, ErrorCode, Spec, SpecOrigin, StreamType};
use http::Version;
use tonic::Code;

use crate::answer::Failure;
use crate::call::{self, Call};
use crate::connect::Client;
use crate::proto::connect::__buffa::view::UnaryResponseView;
use crate::proto::connect::{CONFORMANCE_SERVICE_UNARY_SPEC, UnaryRequest};
use crate::proto::grpc::{
    self, ServerCompatRequest, StreamResponseDefinition, UnaryResponseDefinition,
};
use crate::server::Server;
use crate::way::Way;

async fn failure_with_header(name: &str, value: &str, call: &Call, way: Way) -> Failure {
    let server = Server::start().await;
    let options = CallOptions::default().try_with_header(name, value).unwrap();
    let answer = Client::new(&server, way).answer_with(call, options).await;
    answer.failure.expect("a refusal")
}

fn unary() -> Call {
    call::unary_call(UnaryResponseDefinition::default())
}

#[tokio::test]
async fn a_request_above_the_limit_is_refused() {
    let limit =
        ServerCompatRequest { message_receive_limit: 200, ..ServerCompatRequest::default() };
    let server = Server::start_with(&limit).await;
    for call in Call::kinds(UnaryResponseDefinition::default(), StreamResponseDefinition::default())
    {
        for way in Way::all(&call) {
            let answer = Client::new(&server, way).answer(&call).await;
            let failure = answer.failure.expect("a refusal");
            assert_eq!(failure.code, Code::ResourceExhausted, "{way:?}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn the_refusal_of_a_larger_request_arrives() {
    let limit =
        ServerCompatRequest { message_receive_limit: 200, ..ServerCompatRequest::default() };
    let server = Server::start_with(&limit).await;
    // Over HTTP/1.1 the layer reads 256 KiB after its refusal. A larger request can get a reset instead of the answer.
    let request_data = vec![b'x'; 100_000];
    let call = Call::Unary(grpc::UnaryRequest { response_definition: None, request_data });
    for way in Way::all(&call) {
        let answer = Client::new(&server, way).answer(&call).await;
        let failure = answer.failure.expect("a refusal");
        assert_eq!(failure.code, Code::ResourceExhausted, "{way:?}: {failure:?}");
    }
}

#[tokio::test]
async fn a_deadline_that_is_no_number_is_refused() {
    for way in [Way::BINARY, Way::JSON] {
        let failure = failure_with_header("connect-timeout-ms", "soon", &unary(), way).await;
        assert_eq!(failure.code, Code::InvalidArgument);
        assert!(failure.message.contains("connect-timeout-ms"), "{}", failure.message);
    }
}

#[tokio::test]
async fn an_unknown_compression_is_refused() {
    for way in [Way::BINARY, Way::JSON] {
        let failure = failure_with_header("content-encoding", "br", &unary(), way).await;
        assert_eq!(failure.code, Code::Unimplemented);
        assert!(failure.message.contains("gzip"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_bidi_stream_over_http_1_is_refused() {
    let server = Server::start().await;
    let call = call::bidi(StreamResponseDefinition::default(), false);
    let way = Way { format: CodecFormat::Proto, version: Version::HTTP_11, gzip: false };
    let client = Client::new(&server, way);
    let failure = client.answer(&call).await.failure.expect("a refusal");
    assert_eq!((failure.code, failure.message.as_str()), (Code::Unknown, "HTTP error 505"));
    assert_eq!(client.transport.last().response["connection"], "close");
}

#[tokio::test]
async fn a_get_of_a_method_with_side_effects_is_refused() {
    let server = Server::start().await;
    let Client { transport, config, .. } = Client::new(&server, Way::JSON);
    let spec = CONFORMANCE_SERVICE_UNARY_SPEC.with_origin(SpecOrigin::Client);
    let (request, options) = (UnaryRequest::default(), CallOptions::default());
    let error = call_unary_get::<_, _, UnaryResponseView<'static>>(
        &transport, &config, spec, request, options,
    );
    let error = error.await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unknown);
    assert_eq!(error.response_headers()["allow"], "POST");
    assert!(error.message.as_ref().unwrap().contains("405"), "{error}");
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_unimplemented() {
    let server = Server::start().await;
    for way in [Way::BINARY, Way::JSON] {
        let Client { transport, config, .. } = Client::new(&server, way);
        let spec = Spec::client("/none.v1.None/Call", StreamType::Unary);
        let (request, options) = (UnaryRequest::default(), CallOptions::default());
        let error = call_unary::<_, _, UnaryResponseView<'static>>(
            &transport, &config, spec, request, options,
        );
        let error = error.await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Unimplemented, "{error}");
    }
}
