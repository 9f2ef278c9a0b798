//! Calls by tonic's client, over gRPC.

use http::HeaderMap;
use prost::Message as _;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::answer::{Answer, Failure, metadata};
use crate::call::{ASCII, BINARY, Call, is_answered};
use crate::proto::grpc::conformance_service_client::ConformanceServiceClient;
use crate::proto::grpc::{BidiStreamRequest, ConformancePayload, UnimplementedRequest};
use crate::server::Server;

/// Makes the call.
pub(crate) async fn answer(server: &Server, call: &Call) -> Answer {
    let channel = Channel::builder(server.uri.clone()).connect().await.unwrap();
    let mut client = ConformanceServiceClient::new(channel);
    match call.clone() {
        Call::Unary(message) => one(client.unary(request(message)).await, |it| it.payload),
        Call::Idempotent(message) => {
            one(client.idempotent_unary(request(message)).await, |it| it.payload)
        }
        Call::ClientStream(messages) => {
            let messages = tokio_stream::iter(messages);
            one(client.client_stream(request(messages)).await, |it| it.payload)
        }
        Call::ServerStream(message) => {
            many(client.server_stream(request(message)).await, |it| it.payload).await
        }
        Call::Bidi(messages) => bidi(client, messages).await,
        Call::Unimplemented => {
            one(client.unimplemented(request(UnimplementedRequest {})).await, |_| None)
        }
    }
}

/// The metadata of every request.
pub(crate) fn request_headers() -> HeaderMap {
    let mut metadata = MetadataMap::new();
    for value in ASCII.1 {
        metadata.append(ASCII.0, value.parse().unwrap());
    }
    for value in BINARY.1 {
        metadata.append_bin(BINARY.0, MetadataValue::from_bytes(value));
    }
    metadata.into_headers()
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    *request.metadata_mut() = MetadataMap::from_headers(request_headers());
    request
}

async fn bidi(
    mut client: ConformanceServiceClient<Channel>,
    messages: Vec<BidiStreamRequest>,
) -> Answer {
    let (sender, receiver) = unbounded_channel();
    sender.send(messages[0].clone()).unwrap();
    let stream = UnboundedReceiverStream::new(receiver);
    let mut responses = match client.bidi_stream(request(stream)).await {
        Ok(responses) => responses,
        Err(status) => return failed(Answer::default(), &status),
    };
    let leading = metadata(&responses.metadata().clone().into_headers());
    let mut answer = Answer { leading, ..Answer::default() };
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            // If the call has ended, the responses say how.
            _ = sender.send(message.clone());
        }
        if is_answered(&messages, index) {
            match responses.get_mut().message().await {
                Ok(response) => answer.add(response.unwrap().payload),
                Err(status) => return failed(answer, &status),
            }
        }
    }
    drop(sender);
    let rest = many(Ok(responses), |it| it.payload).await;
    answer.messages.extend(rest.messages);
    Answer { messages: answer.messages, ..rest }
}

fn one<T>(
    result: Result<Response<T>, Status>,
    payload: fn(T) -> Option<ConformancePayload>,
) -> Answer {
    let mut answer = Answer::default();
    match result {
        Ok(response) => {
            answer.leading = metadata(&response.metadata().clone().into_headers());
            answer.add(payload(response.into_inner()));
            answer
        }
        Err(status) => failed(answer, &status),
    }
}

async fn many<T>(
    result: Result<Response<Streaming<T>>, Status>,
    payload: fn(T) -> Option<ConformancePayload>,
) -> Answer {
    let mut answer = Answer::default();
    let response = match result {
        Ok(response) => response,
        Err(status) => return failed(answer, &status),
    };
    answer.leading = metadata(&response.metadata().clone().into_headers());
    let mut messages = response.into_inner();
    loop {
        match messages.message().await {
            Ok(Some(message)) => answer.add(payload(message)),
            Ok(None) => break,
            Err(status) => return failed(answer, &status),
        }
    }
    let trailers = messages.trailers().await.unwrap().unwrap_or_default();
    answer.trailing = metadata(&trailers.into_headers());
    answer
}

fn failed(mut answer: Answer, status: &Status) -> Answer {
    answer.trailing = metadata(&status.metadata().clone().into_headers());
    let details = tonic_types::Status::decode(status.details()).unwrap().details;
    answer.failure = Some(Failure::new(status.code(), status.message(), details));
    answer
}
