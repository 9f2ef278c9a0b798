use std::time::Duration;

use tonic::Code;
use tonic_call::Rpc;

/// Is called when attempts end, for example to count them: see [`RetryLayer::hook`](crate::RetryLayer::hook).
///
/// Both methods do nothing by default. A panic in them is caught and logged.
pub trait RetryHook: Send + Sync + 'static {
    /// An attempt has ended, or the caller gets its answer.
    fn attempt(&self, rpc: &Rpc, attempt: Attempt) {
        let _ = (rpc, attempt);
    }

    /// The attempts of a call have ended. The names are those of gRPC's metrics `grpc.client.call.retries`,
    /// `grpc.client.call.transparent_retries` and `grpc.client.call.retry_delay` (gRFC A96).
    fn call(&self, rpc: &Rpc, retries: Retries) {
        let _ = (rpc, retries);
    }
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Why it was made.
    pub kind: AttemptKind,
    /// How it has ended.
    pub outcome: AttemptOutcome,
}

/// Why an attempt was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttemptKind {
    /// It is the first one of its call.
    First,
    /// The policy allows it. It counts as an attempt.
    Retry,
    /// The server has not processed the attempt before. It does not count as an attempt.
    Transparent,
}

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The server has answered, and the caller gets this answer: it is `OK`, or it has a response head.
    Answered,
    /// It has failed with this code, and another attempt follows.
    Retried(Code),
    /// It has failed with this code, and no other attempt follows.
    Failed(Code, Final),
    /// The deadline has passed, or the caller has left.
    Ended,
}

/// Why no other attempt follows a failed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Final {
    /// The method has no retry policy.
    NoPolicy,
    /// The policy does not name the code.
    CodeNotRetryable,
    /// There were as many attempts as are allowed.
    AttemptsExhausted,
    /// Too many calls of this layer fail.
    Throttled,
    /// The server has said so.
    PushedBack,
    /// The request is longer than what may be kept of it.
    BufferExceeded,
    /// The deadline is earlier than the next attempt would be.
    DeadlineTooClose,
    /// The request itself has failed: a message is too long, or the caller's stream has ended in an error.
    RequestFailed,
}

impl Final {
    /// The reason as a label, such as `attempts_exhausted`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPolicy => "no_policy",
            Self::CodeNotRetryable => "code_not_retryable",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Throttled => "throttled",
            Self::PushedBack => "pushed_back",
            Self::BufferExceeded => "buffer_exceeded",
            Self::DeadlineTooClose => "deadline_too_close",
            Self::RequestFailed => "request_failed",
        }
    }
}

/// The attempts of one call after the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retries {
    /// Those that the policy allowed.
    pub retries: u32,
    /// Those after which the server had not processed the call.
    pub transparent_retries: u32,
    /// The time between attempts.
    pub retry_delay: Duration,
}
