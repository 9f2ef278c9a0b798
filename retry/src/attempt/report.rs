use std::sync::Arc;
use std::time::Duration;

use tonic_call::{Rpc, guarded};

use crate::hook::{Attempt, AttemptKind, AttemptOutcome, Retries, RetryHook};

/// Calls the hook once for each attempt and once for the call, however they end.
pub(super) struct Report {
    hook: Option<Arc<dyn RetryHook>>,
    rpc: Rpc,
    /// The attempt that is being made.
    running: Option<AttemptKind>,
    retries: Retries,
}

impl Report {
    pub(super) fn new(hook: Option<Arc<dyn RetryHook>>, rpc: Rpc) -> Self {
        Self { hook, rpc, running: None, retries: Retries::default() }
    }

    pub(super) fn begin(&mut self, kind: AttemptKind) {
        self.running = Some(kind);
        match kind {
            AttemptKind::First => {}
            AttemptKind::Retry => self.retries.retries += 1,
            AttemptKind::Transparent => self.retries.transparent_retries += 1,
        }
    }

    pub(super) fn end(&mut self, outcome: AttemptOutcome) {
        let Some(kind) = self.running.take() else { return };
        self.call_hook(|hook, rpc| hook.attempt(rpc, Attempt { kind, outcome }));
    }

    pub(super) fn waited(&mut self, delay: Duration) {
        self.retries.retry_delay += delay;
    }

    fn call_hook(&self, call: impl FnOnce(&dyn RetryHook, &Rpc)) {
        let Some(hook) = &self.hook else { return };
        if let Err(panic) = guarded(|| call(&**hook, &self.rpc)) {
            tracing::error!(target: "tonic_retry_layer", panic, "a retry hook panicked");
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.end(AttemptOutcome::Ended);
        let retries = self.retries;
        self.call_hook(|hook, rpc| hook.call(rpc, retries));
    }
}
