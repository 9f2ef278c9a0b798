//! The service that `connectrpc/conformance/v1/service.proto` describes.

use std::time::Duration;

use tokio::time::sleep;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use crate::info;
use crate::proto::conformance_service_server::ConformanceService;
use crate::proto::{
    BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse,
    IdempotentUnaryRequest, IdempotentUnaryResponse, ServerStreamRequest, ServerStreamResponse,
    UnaryRequest, UnaryResponse, UnaryResponseDefinition,
};
use crate::reply;
use crate::streams::{Bidi, Replies};

/// The service. `Unimplemented` is not implemented.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conformance;

#[tonic::async_trait]
impl ConformanceService for Conformance {
    async fn unary(
        &self,
        request: Request<UnaryRequest>,
    ) -> Result<Response<UnaryResponse>, Status> {
        let info = info::of_request(&request);
        let definition = request.into_inner().response_definition;
        delay(definition.as_ref()).await;
        let message = |payload| UnaryResponse { payload: Some(payload) };
        reply::unary(definition, info, message)
    }

    async fn idempotent_unary(
        &self,
        request: Request<IdempotentUnaryRequest>,
    ) -> Result<Response<IdempotentUnaryResponse>, Status> {
        let info = info::of_request(&request);
        let definition = request.into_inner().response_definition;
        delay(definition.as_ref()).await;
        let message = |payload| IdempotentUnaryResponse { payload: Some(payload) };
        reply::unary(definition, info, message)
    }

    async fn client_stream(
        &self,
        request: Request<Streaming<ClientStreamRequest>>,
    ) -> Result<Response<ClientStreamResponse>, Status> {
        let mut info = info::of_head(&request);
        let mut messages = request.into_inner();
        let mut definition = None;
        while let Some(message) = messages.message().await? {
            info.requests.push(info::any(&message));
            if info.requests.len() == 1 {
                definition = message.response_definition;
            }
        }
        delay(definition.as_ref()).await;
        let message = |payload| ClientStreamResponse { payload: Some(payload) };
        reply::unary(definition, info, message)
    }

    async fn server_stream(
        &self,
        request: Request<ServerStreamRequest>,
    ) -> Result<Response<BoxStream<ServerStreamResponse>>, Status> {
        let info = info::of_request(&request);
        let definition = request.into_inner().response_definition.unwrap_or_default();
        let message = |payload| ServerStreamResponse { payload: Some(payload) };
        let (replies, stream) = Replies::new(definition.clone(), info, message);
        tokio::spawn(replies.send_all());
        reply::with_metadata(stream, &definition.response_headers, &definition.response_trailers)
    }

    async fn bidi_stream(
        &self,
        request: Request<Streaming<BidiStreamRequest>>,
    ) -> Result<Response<BoxStream<BidiStreamResponse>>, Status> {
        let info = info::of_head(&request);
        let mut rest = request.into_inner();
        let first = rest.message().await?;
        let definition = first.as_ref().and_then(|first| first.response_definition.clone());
        let definition = definition.unwrap_or_default();
        let message = |payload| BidiStreamResponse { payload: Some(payload) };
        let (replies, stream) = Replies::new(definition.clone(), info, message);
        tokio::spawn(Bidi { first, rest, replies }.run());
        reply::with_metadata(stream, &definition.response_headers, &definition.response_trailers)
    }
}

async fn delay(definition: Option<&UnaryResponseDefinition>) {
    let milliseconds = definition.map_or(0, |definition| definition.response_delay_ms);
    sleep(Duration::from_millis(milliseconds.into())).await;
}
