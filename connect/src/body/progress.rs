use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How far the body of a request was read, for the answer.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Option<Arc<Flags>>);

#[derive(Debug, Default)]
struct Flags {
    at_end: AtomicBool,
    refused: AtomicBool,
}

impl Progress {
    /// Of a request whose answer depends on it.
    pub(crate) fn recorded() -> Self {
        Self(Some(Arc::default()))
    }

    /// Of any other request: a record would cost an allocation.
    pub(crate) fn not_recorded() -> Self {
        Self(None)
    }

    pub(crate) fn set_at_end(&self) {
        self.set(|flags| &flags.at_end);
    }

    /// Whether the body was read to its end.
    pub(crate) fn is_at_end(&self) -> bool {
        self.is(|flags| &flags.at_end)
    }

    pub(crate) fn set_refused(&self) {
        self.set(|flags| &flags.refused);
    }

    /// Whether the service has seen the refusal of its request.
    pub(crate) fn is_refused(&self) -> bool {
        self.is(|flags| &flags.refused)
    }

    fn set(&self, flag: fn(&Flags) -> &AtomicBool) {
        if let Some(flags) = &self.0 {
            flag(flags).store(true, Ordering::Relaxed);
        }
    }

    fn is(&self, flag: fn(&Flags) -> &AtomicBool) -> bool {
        self.0.as_ref().is_some_and(|flags| flag(flags).load(Ordering::Relaxed))
    }
}
