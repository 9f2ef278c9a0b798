use std::sync::Arc;

use tonic_call::{GrpcService, ReplayBudget, ServiceConfig};
use tower_layer::Layer;

use crate::hook::RetryHook;
use crate::service::RetryChannel;
use crate::settings::Settings;

/// Retries the calls of a client: see the [crate's page](crate).
///
/// Clones, and the channels around which they are, share the tokens of `retryThrottling` and the memory for requests:
/// use one layer per server.
#[derive(Clone, Debug)]
pub struct RetryLayer(Settings);

impl RetryLayer {
    /// Retries as this config says.
    pub fn new(config: &ServiceConfig) -> Self {
        Self(Settings::new(config))
    }

    /// The most attempts of a call, including the first one; the default is 5. A higher `maxAttempts` of a policy is
    /// lowered to it. With 1 no policy has an effect.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.0.max_attempts = attempts;
        self
    }

    /// The memory for the request of one call, in bytes; the default is 256 KiB. A call whose request is longer makes
    /// no other attempt.
    #[must_use]
    pub fn call_bytes(mut self, bytes: usize) -> Self {
        self.0.call_bytes = bytes;
        self
    }

    /// The memory for the requests of all calls together, in bytes; the default is 16 MiB. A call for whose request
    /// there is none left makes no other attempt.
    #[must_use]
    pub fn total_bytes(mut self, bytes: usize) -> Self {
        self.0.budget = ReplayBudget::new(bytes);
        self
    }

    /// Sets a hook that is called when attempts end. The last one set is used.
    #[must_use]
    pub fn hook(mut self, hook: impl RetryHook) -> Self {
        self.0.hook = Some(Arc::new(hook));
        self
    }

    /// Replaces the source of randomness: a function that returns numbers from zero up to one, for the jitter of
    /// back-off.
    #[must_use]
    pub fn with_random(mut self, random: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.0.random = Arc::new(random);
        self
    }

    /// The memory that requests use now, in bytes.
    pub fn used_bytes(&self) -> usize {
        self.0.budget.used()
    }
}

impl<S: GrpcService> Layer<S> for RetryLayer {
    type Service = RetryChannel<S>;

    fn layer(&self, inner: S) -> RetryChannel<S> {
        RetryChannel::new(inner, Arc::new(self.0.clone()))
    }
}
