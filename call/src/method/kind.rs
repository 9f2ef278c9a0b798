//! What is known of a method besides its name.

use std::fmt;

/// How many messages go each way: gRPC's four kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// One request, one response.
    Unary,
    /// Many requests, one response.
    ClientStream,
    /// One request, many responses.
    ServerStream,
    /// Many both ways.
    BidiStream,
}

/// `google.protobuf.MethodOptions.IdempotencyLevel`: what a repeated call does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Idempotency {
    /// Nothing is said: a repeated call may do its work twice.
    #[default]
    Unknown,
    /// It changes nothing.
    NoSideEffects,
    /// Repeating it has no further effect.
    Idempotent,
}

impl MethodKind {
    /// The kind of a method whose sides stream or don't.
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

    /// Whether the answer is one message.
    pub fn has_one_response(self) -> bool {
        matches!(self, Self::Unary | Self::ClientStream)
    }
}

impl fmt::Display for MethodKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
