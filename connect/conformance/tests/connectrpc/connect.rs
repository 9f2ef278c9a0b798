//! Calls by the client of `connectrpc`.

use std::sync::Once;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use buffa::type_registry::{TypeRegistry, set_type_registry};
use connectrpc::client::{
    CallOptions, ClientConfig, ServerStream, UnaryResponse, call_unary_get, stream_iter,
};
use connectrpc::{ConnectError, Protocol, SpecOrigin};
use http::{HeaderMap, Version};
use prost_types::Any;
use tonic::Code;

use crate::answer::{Answer, Failure, metadata};
use crate::call::{Call, is_answered};
use crate::grpc::request_headers;
use crate::proto::connect::__buffa::view::{IdempotentUnaryResponseView, ServerStreamResponseView};
use crate::proto::connect::{
    self, CONFORMANCE_SERVICE_IDEMPOTENT_UNARY_SPEC, ConformanceServiceClient,
};
use crate::proto::grpc::{BidiStreamRequest, ConformancePayload, UnaryResponse as AnyResponse};
use crate::proto::{to_connect, to_grpc};
use crate::server::Server;
use crate::transport::{Incoming, Transport};
use crate::way::Way;

/// A client that calls in one way.
pub(crate) struct Client {
    pub(crate) transport: Transport,
    pub(crate) config: ClientConfig,
    pub(crate) inner: ConformanceServiceClient<Transport>,
}

impl Client {
    pub(crate) fn new(server: &Server, way: Way) -> Self {
        Self::with_config(way.config(server), way.version)
    }

    pub(crate) fn with_config(config: ClientConfig, version: Version) -> Self {
        register_types();
        let transport = Transport::new(version);
        let inner = ConformanceServiceClient::new(transport.clone(), config.clone());
        Self { transport, config, inner }
    }

    /// Makes the call, with the metadata of every request.
    pub(crate) async fn answer(&self, call: &Call) -> Answer {
        self.answer_with(call, CallOptions::default()).await
    }

    pub(crate) async fn answer_with(&self, call: &Call, options: CallOptions) -> Answer {
        let client = &self.inner;
        let headers = request_headers();
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        let options = options.with_headers(headers);
        match call {
            Call::Unary(request) => {
                let result = client.unary_with_options(to_connect(request), options).await;
                one(result.map(UnaryResponse::into_owned_parts))
            }
            // Only Connect has `GET`.
            Call::Idempotent(request) if self.config.protocol() != Protocol::Connect => {
                let result = client.idempotent_unary_with_options(to_connect(request), options);
                one(result.await.map(UnaryResponse::into_owned_parts))
            }
            Call::Idempotent(request) => {
                let request: connect::IdempotentUnaryRequest = to_connect(request);
                let spec = CONFORMANCE_SERVICE_IDEMPOTENT_UNARY_SPEC;
                let spec = spec.with_origin(SpecOrigin::Client);
                let (transport, config) = (&self.transport, &self.config);
                let result = call_unary_get::<_, _, IdempotentUnaryResponseView<'static>>(
                    transport, config, spec, request, options,
                );
                one(result.await.map(UnaryResponse::into_owned_parts))
            }
            Call::ClientStream(requests) => {
                let requests: Vec<_> = requests.iter().map(to_connect).collect();
                let result = client.client_stream_with_options(stream_iter(requests), options);
                one(result.await.map(UnaryResponse::into_owned_parts))
            }
            Call::ServerStream(request) => {
                match client.server_stream_with_options(to_connect(request), options).await {
                    Ok(responses) => many(responses).await,
                    Err(error) => failed(Answer::default(), &error),
                }
            }
            Call::Bidi(requests) => self.bidi(requests, options).await,
            Call::Unimplemented => {
                let request = connect::UnimplementedRequest::default();
                let result = client.unimplemented_with_options(request, options).await;
                one(result.map(UnaryResponse::into_owned_parts))
            }
        }
    }

    async fn bidi(&self, requests: &[BidiStreamRequest], options: CallOptions) -> Answer {
        let mut stream = self.inner.bidi_stream_with_options(options).await.unwrap();
        let mut answer = Answer::default();
        for (index, request) in requests.iter().enumerate() {
            // If the call has ended, the next message is its error.
            _ = stream.send(to_connect(request)).await;
            if is_answered(requests, index) {
                match stream.message().await {
                    Ok(response) => answer.add(payload(&response.unwrap().to_owned_message())),
                    Err(error) => return failed(answer, &error),
                }
            }
        }
        stream.close_send();
        loop {
            match stream.message().await {
                Ok(Some(response)) => answer.add(payload(&response.to_owned_message())),
                Ok(None) => break,
                Err(error) => return failed(answer, &error),
            }
        }
        answer.leading = metadata(stream.headers().unwrap());
        answer.trailing = stream.trailers().map(metadata).unwrap_or_default();
        answer
    }
}

fn one<T: buffa::Message>(result: Result<(HeaderMap, T, HeaderMap), ConnectError>) -> Answer {
    let mut answer = Answer::default();
    match result {
        Ok((leading, message, trailing)) => {
            answer.leading = metadata(&leading);
            answer.add(payload(&message));
            answer.trailing = metadata(&trailing);
            answer
        }
        Err(error) => failed(answer, &error),
    }
}

async fn many(mut responses: ServerStream<Incoming, ServerStreamResponseView<'static>>) -> Answer {
    let mut answer = Answer::default();
    loop {
        match responses.message().await {
            Ok(Some(response)) => answer.add(payload(&response.to_owned_message())),
            Ok(None) => break,
            Err(error) => return failed(answer, &error),
        }
    }
    answer.leading = metadata(responses.headers());
    answer.trailing = responses.trailers().map(metadata).unwrap_or_default();
    answer
}

/// All responses have the payload in the same field.
fn payload(message: &impl buffa::Message) -> Option<ConformancePayload> {
    to_grpc::<AnyResponse>(message).payload
}

fn failed(mut answer: Answer, error: &ConnectError) -> Answer {
    answer.leading = metadata(error.response_headers());
    answer.trailing = metadata(error.trailers());
    let code = Code::from_i32(error.code.grpc_code() as i32);
    let details = error.details.iter().map(|detail| Any {
        type_url: detail.type_url.clone(),
        value: STANDARD_NO_PAD.decode(detail.value.as_ref().unwrap()).unwrap(),
    });
    let message = error.message.as_deref().unwrap_or_default();
    answer.failure = Some(Failure::new(code, message, details.collect()));
    answer
}

/// So that an `Any` is JSON with the fields of its message.
fn register_types() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut types = TypeRegistry::new();
        connect::register_types(&mut types);
        set_type_registry(types);
    });
}
