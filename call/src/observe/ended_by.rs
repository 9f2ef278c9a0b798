use std::fmt;

/// What ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndedBy {
    /// The service answered, with success or failure.
    Service,
    /// The caller went away, sent something that is not gRPC, or its own request stream failed.
    Caller,
    /// A deadline passed: the caller's, or the server's own [timeout](crate::ObserveLayer::server_timeout).
    Deadline,
    /// A panic ended it.
    Panic,
    /// On a client, the path to the service: a connection that was refused, reset or lost, or a proxy that
    /// answered instead of the service.
    Transport,
    /// The server closed the connection, for example because of its age.
    Server,
    /// A layer refused the call, or ended it later.
    Refusal {
        /// The short name of the layer, as in [`Refusal::by`](crate::Refusal::by).
        by: &'static str,
    },
}

impl EndedBy {
    /// `service`, `caller`, `deadline`, `panic`, `transport`, `server` or `refusal`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Caller => "caller",
            Self::Deadline => "deadline",
            Self::Panic => "panic",
            Self::Transport => "transport",
            Self::Server => "server",
            Self::Refusal { .. } => "refusal",
        }
    }
}

impl fmt::Display for EndedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
