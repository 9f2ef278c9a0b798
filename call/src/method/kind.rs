//! The kind and idempotency of a method.

use std::fmt;

/// gRPC's four kinds of methods, by the number of messages in each direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One request, one response.
    Unary,
    /// Many requests, one response.
    ClientStream,
    /// One request, many responses.
    ServerStream,
    /// Many requests, many responses.
    BidiStream,
}

/// The effect of a repeated call: `google.protobuf.MethodOptions.IdempotencyLevel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Idempotency {
    /// Not specified: a repeated call may do its work twice.
    #[default]
    Unknown,
    /// A call has no side effects.
    NoSideEffects,
    /// Repeating a call has no further effect.
    Idempotent,
}

impl MethodKind {
    /// The kind of a method, by which sides stream.
    pub fn new(client_streaming: bool, server_streaming: bool) -> Self {
        match (client_streaming, server_streaming) {
            (false, false) => Self::Unary,
            (true, false) => Self::ClientStream,
            (false, true) => Self::ServerStream,
            (true, true) => Self::BidiStream,
        }
    }

    /// The name that gRPC's metrics and logs use: `unary`, `client_stream`, `server_stream` or
    /// `bidi_stream` (go-grpc-middleware's `grpc_type`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ClientStream => "client_stream",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
        }
    }

    /// Whether the response is a single message.
    pub fn has_one_response(self) -> bool {
        matches!(self, Self::Unary | Self::ClientStream)
    }
}

impl fmt::Display for MethodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
