use tonic::Code;

/// Which end of the call a layer stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// In front of a service.
    Server,
    /// In front of a channel.
    Client,
}

impl Side {
    /// Whether a call that ended so counts as failed at this end of it: on a client each code but `OK`, on
    /// a server those that are its own fault (OpenTelemetry's semantic conventions for gRPC, "Span
    /// status").
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
