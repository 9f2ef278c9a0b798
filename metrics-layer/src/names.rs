//! The naming conventions of families, labels and codes.

use tonic::Code;
use tonic_call::{Protocol, Side, code_name};

/// The naming convention of families and labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Names {
    /// The names of go-grpc-prometheus (now go-grpc-middleware's `providers/prometheus`), which existing
    /// dashboards and alerts use.
    #[default]
    Prometheus,
    /// OpenTelemetry's semantic conventions 1.39 to 1.44, in Prometheus' spelling. The label of the code is
    /// `rpc_response_status_code`. Connect calls have series of their own: their `rpc_system_name` is
    /// `connectrpc`, and their codes are in lower case.
    OpenTelemetry,
    /// OpenTelemetry's semantic conventions after 1.44. The label of the code is `rpc_status_code`.
    OpenTelemetryNext,
}

/// The spelling of the codes in `grpc_code`. [`Names::OpenTelemetry`] always uses UPPER_SNAKE, and
/// lower case for Connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CodeSpelling {
    /// The spelling of Go: `OK`, `Canceled`, `NotFound`.
    #[default]
    Go,
    /// The spelling of the gRPC documents and of Java: `OK`, `CANCELLED`, `NOT_FOUND`.
    UpperSnake,
}

impl Names {
    /// Whether Connect calls have other labels than gRPC calls.
    pub(crate) fn distinguish_connect(self, side: Side) -> bool {
        // On a client no call is one of Connect.
        self != Self::Prometheus && side == Side::Server
    }

    /// [`Connect`](Protocol::Connect) if this is it and the labels differ, otherwise [`Grpc`](Protocol::Grpc).
    pub(crate) fn distinguished(self, side: Side, protocol: Protocol) -> Protocol {
        match protocol {
            Protocol::Connect if self.distinguish_connect(side) => Protocol::Connect,
            _ => Protocol::Grpc,
        }
    }

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

/// The name that Go's `codes.Code` prints.
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
