//! Calls, and the requests that they send.

use prost::Name;
use prost_types::Any;

use crate::proto::grpc::{
    BidiStreamRequest, ClientStreamRequest, Header, IdempotentUnaryRequest, ServerStreamRequest,
    StreamResponseDefinition, UnaryRequest, UnaryResponseDefinition,
};

/// Metadata of every request.
pub(crate) const ASCII: (&str, [&str; 2]) = ("x-ask", ["one", "two, three"]);
pub(crate) const BINARY: (&str, [&[u8]; 2]) = ("x-ask-bin", [&[0, 255, 10], &[1]]);

/// A call with what it sends.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Unary(UnaryRequest),
    /// By `GET` over Connect.
    Idempotent(IdempotentUnaryRequest),
    ClientStream(Vec<ClientStreamRequest>),
    ServerStream(ServerStreamRequest),
    Bidi(Vec<BidiStreamRequest>),
    Unimplemented,
}

impl Call {
    /// Whether the response is a stream.
    pub(crate) fn has_many_responses(&self) -> bool {
        matches!(self, Self::ServerStream(_) | Self::Bidi(_))
    }

    /// Every kind of call, with these answers.
    pub(crate) fn kinds(
        unary: UnaryResponseDefinition,
        stream: StreamResponseDefinition,
    ) -> [Self; 5] {
        [
            unary_call(unary.clone()),
            Self::Idempotent(IdempotentUnaryRequest {
                response_definition: Some(unary.clone()),
                request_data: every_byte(),
            }),
            client_stream(unary),
            server_stream(stream.clone()),
            bidi(stream, true),
        ]
    }
}

pub(crate) fn unary_call(definition: UnaryResponseDefinition) -> Call {
    Call::Unary(UnaryRequest { response_definition: Some(definition), request_data: every_byte() })
}

/// Three requests.
pub(crate) fn client_stream(definition: UnaryResponseDefinition) -> Call {
    let request = |data: &[u8], definition| ClientStreamRequest {
        response_definition: definition,
        request_data: data.to_vec(),
    };
    let first = request(&every_byte(), Some(definition));
    Call::ClientStream(vec![first, request(b"", None), request(b"last", None)])
}

pub(crate) fn server_stream(definition: StreamResponseDefinition) -> Call {
    Call::ServerStream(ServerStreamRequest {
        response_definition: Some(definition),
        request_data: every_byte(),
    })
}

/// Three requests. With full duplex, a response is awaited after each.
pub(crate) fn bidi(definition: StreamResponseDefinition, full_duplex: bool) -> Call {
    let request = |data: &[u8], definition| BidiStreamRequest {
        response_definition: definition,
        full_duplex,
        request_data: data.to_vec(),
    };
    let first = request(&every_byte(), Some(definition));
    Call::Bidi(vec![first, request(b"", None), request(b"last", None)])
}

/// How many responses of a bidi call are there for these requests before the last request.
pub(crate) fn is_answered(requests: &[BidiStreamRequest], index: usize) -> bool {
    let first = &requests[0];
    let definition = first.response_definition.as_ref();
    first.full_duplex && definition.is_some_and(|it| index < it.response_data.len())
}

/// Leading metadata of a response.
pub(crate) fn leading() -> Vec<Header> {
    vec![header("x-lead", &["1", "2"]), header("x-lead-bin", &["AP8", "/+8="])]
}

/// Trailing metadata of a response.
pub(crate) fn trailing() -> Vec<Header> {
    vec![header("x-trail", &["end"]), header("x-trail-bin", &["AAEC", "Aw"])]
}

pub(crate) fn header(name: &str, values: &[&str]) -> Header {
    let value = values.iter().map(|&value| value.to_owned()).collect();
    Header { name: name.to_owned(), value }
}

pub(crate) fn any<T: Name>(message: &T) -> Any {
    Any { type_url: T::type_url(), value: message.encode_to_vec() }
}

pub(crate) fn every_byte() -> Vec<u8> {
    (0..=255).collect()
}
