//! How calls ended. A client of tonic cancels a call by dropping it, so there is no status to look at; the layers have
//! one.

use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;
use tonic::Code;
use tonic_call::{Call, End, Observer, Rpc, Side};

/// The codes of the calls that have ended. A clone shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Endings(Arc<Mutex<Vec<Code>>>);

/// A call that has not ended.
#[derive(Debug)]
pub(super) struct Open(Endings);

impl Endings {
    /// Those since the last time.
    pub(super) fn take(&self) -> Vec<Code> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Endings {
    type Call = Open;

    fn begin(&self, _: Side, _: &Rpc, _: &mut Parts) -> Option<Open> {
        Some(Open(self.clone()))
    }
}

impl Call for Open {
    fn end(&self, end: End<'_>) {
        let Endings(codes) = &self.0;
        codes.lock().unwrap_or_else(PoisonError::into_inner).push(end.code());
    }
}
