//! How families, labels and codes are called.

use tonic::Code;
use tonic_call::code_name;

/// By which convention families and labels are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// Those of go-grpc-prometheus (now go-grpc-middleware's `providers/prometheus`), which the
    /// dashboards and alerts that exist ask for.
    #[default]
    Prometheus,
    /// OpenTelemetry's, as its semantic conventions 1.39 to 1.44 say, in Prometheus' spelling: the
    /// code is `rpc_response_status_code`.
    OpenTelemetry,
    /// OpenTelemetry's, as they will be after 1.44: the code is `rpc_status_code`.
    OpenTelemetryNext,
}

/// How `grpc_code` spells the codes. OpenTelemetry's names have one spelling, UPPER_SNAKE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodeSpelling {
    /// As Go does: `OK`, `Canceled`, `NotFound`.
    #[default]
    Go,
    /// As the gRPC documents, and Java, do: `OK`, `CANCELLED`, `NOT_FOUND`.
    UpperSnake,
}

impl Names {
    pub(crate) fn code_label(self) -> &'static str {
        match self {
            Self::Prometheus => "grpc_code",
            Self::OpenTelemetry => "rpc_response_status_code",
            Self::OpenTelemetryNext => "rpc_status_code",
        }
    }
}

impl CodeSpelling {
    pub(crate) fn spell(self, code: Code) -> &'static str {
        match self {
            Self::Go => go_name(code),
            Self::UpperSnake => code_name(code),
        }
    }
}

/// As Go's `codes.Code` prints it.
fn go_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}
