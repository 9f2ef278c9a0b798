use std::time::Duration;

use tonic::Code;

use super::error::ConfigError;
use super::json::Node;
use crate::show::CODES;

/// When a failed call is tried again, and how soon (gRFC A6, "Retry policy").
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    max_attempts: u64,
    initial_backoff: Duration,
    max_backoff: Duration,
    backoff_multiplier: f64,
    /// One bit per code.
    retryable: u32,
}

impl RetryPolicy {
    /// The number of attempts, including the first one: two or more. Clients have a lower limit of their own.
    pub fn max_attempts(&self) -> u64 {
        self.max_attempts
    }

    /// The wait before the second attempt, on average.
    pub fn initial_backoff(&self) -> Duration {
        self.initial_backoff
    }

    /// The longest wait, on average.
    pub fn max_backoff(&self) -> Duration {
        self.max_backoff
    }

    /// The factor by which each wait is longer than the one before.
    pub fn backoff_multiplier(&self) -> f64 {
        self.backoff_multiplier
    }

    /// Whether a call that failed with this code is tried again.
    pub fn is_retryable(&self, code: Code) -> bool {
        self.retryable & bit(code) != 0
    }

    /// The codes with which a failed call is tried again, in numeric order.
    pub fn retryable_codes(&self) -> impl Iterator<Item = Code> + '_ {
        CODES.into_iter().filter(|code| self.is_retryable(*code))
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        let codes = node.required("retryableStatusCodes")?;
        let mut retryable = 0;
        for item in codes.items()? {
            match item.code()? {
                Code::Ok => return Err(item.error("OK is not a failure")),
                code => retryable |= bit(code),
            }
        }
        if retryable == 0 {
            return Err(codes.error("must not be empty"));
        }
        Ok(Self {
            max_attempts: node.required("maxAttempts")?.integer_from(2)?,
            initial_backoff: node.required("initialBackoff")?.positive_duration()?,
            max_backoff: node.required("maxBackoff")?.positive_duration()?,
            backoff_multiplier: node.required("backoffMultiplier")?.positive_number()?,
            retryable,
        })
    }
}

fn bit(code: Code) -> u32 {
    1 << code as u32
}
