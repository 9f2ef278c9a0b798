use std::time::Duration;

use super::error::ConfigError;
use super::json::Node;
use super::retry_policy::RetryPolicy;

/// The settings of the methods that one entry of `methodConfig` names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodConfig {
    timeout: Option<Duration>,
    wait_for_ready: Option<bool>,
    max_request_message_bytes: Option<u64>,
    max_response_message_bytes: Option<u64>,
    retry_policy: Option<RetryPolicy>,
}

impl MethodConfig {
    /// How long a call may take; a caller's shorter deadline has precedence.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Whether a call waits for a connection instead of failing without one. The caller's own
    /// [`WaitForReady`](crate::WaitForReady) has precedence.
    pub fn wait_for_ready(&self) -> Option<bool> {
        self.wait_for_ready
    }

    /// The limit of each message from the client, in bytes on the wire, without its prefix.
    pub fn max_request_message_bytes(&self) -> Option<u64> {
        self.max_request_message_bytes
    }

    /// The limit of each message from the server, in bytes on the wire, without its prefix.
    pub fn max_response_message_bytes(&self) -> Option<u64> {
        self.max_response_message_bytes
    }

    /// When a failed call is tried again; `None` for never, except where the server is known not to have processed
    /// it.
    pub fn retry_policy(&self) -> Option<&RetryPolicy> {
        self.retry_policy.as_ref()
    }

    pub(super) fn read(node: &Node<'_>) -> Result<Self, ConfigError> {
        if let Some(hedging) = node.field("hedgingPolicy")? {
            return Err(hedging.error("hedging is not supported"));
        }
        let field = |name| node.field(name);
        let size = |name| field(name)?.map(|node| node.size()).transpose();
        Ok(Self {
            timeout: field("timeout")?.map(|node| node.positive_duration()).transpose()?,
            wait_for_ready: field("waitForReady")?.map(|node| node.boolean()).transpose()?,
            max_request_message_bytes: size("maxRequestMessageBytes")?,
            max_response_message_bytes: size("maxResponseMessageBytes")?,
            retry_policy: field("retryPolicy")?.map(|node| RetryPolicy::read(&node)).transpose()?,
        })
    }
}
