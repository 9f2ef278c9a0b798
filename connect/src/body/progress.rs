use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How far the body of a request was read, for the answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    at_end: AtomicBool,
    refused: AtomicBool,
}

impl Progress {
    pub(crate) fn set_at_end(&self) {
        self.0.at_end.store(true, Ordering::Relaxed);
    }

    /// Whether the body was read to its end.
    pub(crate) fn is_at_end(&self) -> bool {
        self.0.at_end.load(Ordering::Relaxed)
    }

    pub(crate) fn set_refused(&self) {
        self.0.refused.store(true, Ordering::Relaxed);
    }

    /// Whether the service has seen the refusal of its request.
    pub(crate) fn is_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed)
    }
}
