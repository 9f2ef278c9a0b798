use tonic::Code;

/// The side of the call that a layer is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// In front of a service.
    Server,
    /// In front of a channel.
    Client,
}

impl Side {
    /// Whether this code counts as a failure on this side: on a client every code except `OK`, on a server only
    /// codes that are the server's fault (OpenTelemetry's semantic conventions for gRPC, "Span status").
    pub fn counts_as_failure(self, code: Code) -> bool {
        match self {
            Self::Client => code != Code::Ok,
            Self::Server => matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            ),
        }
    }
}
