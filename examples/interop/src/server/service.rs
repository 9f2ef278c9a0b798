//! `grpc.testing.TestService`.

use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{TryStreamExt as _, stream};
use tonic::codegen::BoxStream;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::{Request, Response, Status, Streaming};
use tonic_auth_layer::Identity;

use super::streams::{echo, responses, size};
use super::trailers::Trailers;
use crate::compression::Flags;
use crate::proto::test_service_server::TestService;
use crate::proto::{
    BoolValue, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest,
    StreamingOutputCallResponse, zeros,
};

const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";

/// The service. `UnimplementedCall` has the response that tonic generates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tests;

type Responses = BoxStream<StreamingOutputCallResponse>;

#[tonic::async_trait]
impl TestService for Tests {
    async fn empty_call(&self, request: Request<Empty>) -> Result<Response<Empty>, Status> {
        Ok(echo_metadata(request.metadata(), Empty {}))
    }

    async fn unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        let (metadata, extensions, request) = request.into_parts();
        expect_compressed(request.expect_compressed.as_ref(), &Flags::of(&extensions))?;
        echo(request.response_status)?;
        let identity = extensions.get::<Identity>();
        let subject = identity.and_then(Identity::subject).filter(|_| request.fill_username);
        let scopes = identity.filter(|_| request.fill_oauth_scope).map(scopes);
        let response = SimpleResponse {
            payload: Some(zeros(size(request.response_size)?)),
            username: subject.unwrap_or_default().to_owned(),
            oauth_scope: scopes.unwrap_or_default(),
            server_id: match request.fill_server_id {
                true => format!("interop-{}", process::id()),
                false => String::new(),
            },
            ..SimpleResponse::default()
        };
        let mut response = echo_metadata(&metadata, response);
        if !is_true(request.response_compressed.as_ref()) {
            response.disable_compression();
        }
        Ok(response)
    }

    async fn cacheable_unary_call(
        &self,
        request: Request<SimpleRequest>,
    ) -> Result<Response<SimpleResponse>, Status> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let payload = Payload { body: now.as_nanos().to_string().into(), ..Payload::default() };
        let response = SimpleResponse { payload: Some(payload), ..SimpleResponse::default() };
        let mut response = echo_metadata(request.metadata(), response);
        let max_age = MetadataValue::from_static("max-age=60, public");
        response.metadata_mut().insert("cache-control", max_age);
        response.disable_compression();
        Ok(response)
    }

    async fn streaming_output_call(
        &self,
        request: Request<StreamingOutputCallRequest>,
    ) -> Result<Response<Responses>, Status> {
        let (metadata, _, request) = request.into_parts();
        expect_streamable(&metadata, &request.response_parameters)?;
        let responses = responses(stream::iter([Ok(request)]));
        Ok(echo_metadata(&metadata, Box::pin(responses)))
    }

    async fn streaming_input_call(
        &self,
        request: Request<Streaming<StreamingInputCallRequest>>,
    ) -> Result<Response<StreamingInputCallResponse>, Status> {
        let (metadata, extensions, mut requests) = request.into_parts();
        let flags = Flags::of(&extensions);
        let mut bytes = 0;
        while let Some(request) = requests.try_next().await? {
            expect_compressed(request.expect_compressed.as_ref(), &flags)?;
            bytes += request.payload.map_or(0, |payload| payload.body.len());
        }
        let aggregated_payload_size = i32::try_from(bytes)
            .map_err(|_| Status::out_of_range("the payloads have too many bytes"))?;
        let response = StreamingInputCallResponse { aggregated_payload_size };
        let mut response = echo_metadata(&metadata, response);
        response.disable_compression();
        Ok(response)
    }

    async fn full_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let (metadata, _, requests) = request.into_parts();
        Ok(echo_metadata(&metadata, Box::pin(responses(requests))))
    }

    async fn half_duplex_call(
        &self,
        request: Request<Streaming<StreamingOutputCallRequest>>,
    ) -> Result<Response<Responses>, Status> {
        let (metadata, _, requests) = request.into_parts();
        let requests: Vec<_> = requests.try_collect().await?;
        let responses = responses(stream::iter(requests.into_iter().map(Ok)));
        Ok(echo_metadata(&metadata, Box::pin(responses)))
    }
}

/// The response, with the metadata of the request that the caller wants back.
fn echo_metadata<T>(request: &MetadataMap, response: T) -> Response<T> {
    let mut response = Response::new(response);
    if let Some(value) = request.get(ECHO_INITIAL) {
        let value: MetadataValue<Ascii> = value.clone();
        response.metadata_mut().insert(ECHO_INITIAL, value);
    }
    if let Some(value) = request.get_bin(ECHO_TRAILING) {
        let mut trailers = MetadataMap::new();
        trailers.insert_bin(ECHO_TRAILING, value.clone());
        response.extensions_mut().insert(Trailers(trailers));
    }
    response
}

fn is_true(value: Option<&BoolValue>) -> bool {
    value.is_some_and(|value| value.value)
}

/// An error if the next message must be compressed and is not.
fn expect_compressed(expected: Option<&BoolValue>, flags: &Flags) -> Result<(), Status> {
    let compressed = flags.next().unwrap_or(false);
    if is_true(expected) && !compressed {
        return Err(Status::invalid_argument("the message is not compressed"));
    }
    Ok(())
}

/// An error if a response must not be compressed and will be: tonic compresses each message of a stream if the caller
/// accepts it.
fn expect_streamable(caller: &MetadataMap, asked: &[ResponseParameters]) -> Result<(), Status> {
    let plain =
        |response: &ResponseParameters| response.compressed.is_some_and(|asked| !asked.value);
    let accepted = caller.get("grpc-accept-encoding").and_then(|names| names.to_str().ok());
    let gzip = accepted.is_some_and(|names| names.split(',').any(|name| name.trim() == "gzip"));
    if gzip && asked.iter().any(plain) {
        return Err(Status::unimplemented("tonic compresses all messages of a stream"));
    }
    Ok(())
}

fn scopes(identity: &Identity) -> String {
    identity.scopes().collect::<Vec<_>>().join(" ")
}
