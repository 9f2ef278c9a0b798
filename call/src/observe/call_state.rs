//! What the response of a watched call shares with its request body, which another task may poll.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::HeaderMap;
use tonic::Code;

use super::Call;
use crate::fit::BoxError;
use crate::method::{KnownMethods, Rpc};
use crate::observe::body_reader::BodyReader;
use crate::observe::{Batch, CallInfo, EarlyMessages, Flow, code_of_error};
use crate::show::ErrorChain;

pub(super) struct CallState<C> {
    /// Empty until the call begins: for most with their request, for others with their answer.
    call: OnceLock<C>,
    /// What passes before a call begins; `None` once it has begun, or never will.
    early: Mutex<Option<Box<EarlyMessages>>>,
    /// What the layers of the call share, if there is any of it.
    pub(super) info: Option<CallInfo>,
    /// The method, while an answer can still make it known.
    unknown: Option<(Arc<KnownMethods>, Rpc)>,
    ended: AtomicBool,
    request_failed: AtomicBool,
    request_error: OnceLock<Box<RequestError>>,
    unwound: AtomicBool,
}

/// Why a request stream failed before its end.
pub(super) struct RequestError {
    pub(super) code: Code,
    pub(super) text: String,
}

impl<C: Call> CallState<C> {
    /// For a call that begins now, or for a request that may turn out to be one.
    pub(super) fn new(
        call: Option<C>,
        info: Option<CallInfo>,
        unknown: Option<(Arc<KnownMethods>, Rpc)>,
    ) -> Self {
        Self {
            early: Mutex::new(call.is_none().then(Box::default)),
            call: call.map_or_else(OnceLock::new, OnceLock::from),
            info,
            unknown,
            ended: AtomicBool::new(false),
            request_failed: AtomicBool::new(false),
            request_error: OnceLock::new(),
            unwound: AtomicBool::new(false),
        }
    }

    /// The call, once it has begun.
    pub(super) fn call(&self) -> Option<&C> {
        self.call.get()
    }

    /// The call begins after its request: it receives what has passed meanwhile.
    pub(super) fn begin(&self, call: C) {
        // Held meanwhile, so that a message which passes now comes after those before it.
        let mut early = self.early();
        let call = self.call.get_or_init(|| call);
        let Some(messages) = early.take() else { return };
        for message in messages.messages() {
            call.message(Flow::Request, *message);
        }
        if let Some(batch) = messages.batch() {
            call.batch(Flow::Request, batch);
        }
        if self.has_unwound() {
            call.unwound();
        }
    }

    /// It turned out to be no call.
    pub(super) fn never_begins(&self) {
        self.ended.store(true, Ordering::Relaxed);
        *self.early() = None;
    }

    fn early(&self) -> MutexGuard<'_, Option<Box<EarlyMessages>>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a piece of the call in the observer's scope, and notices if it unwinds: later, when the
    /// call is dropped by the layer that caught the panic, `thread::panicking()` is false.
    pub(super) fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        let unwinding = Unwinding(self);
        let output = match self.call() {
            Some(call) => call.scope(poll),
            None => poll(),
        };
        std::mem::forget(unwinding);
        output
    }

    /// Reports the messages that a frame completes. Gives the trailers that end in its data.
    pub(super) fn data(
        &self,
        flow: Flow,
        reader: &mut BodyReader,
        data: &[u8],
    ) -> Option<HeaderMap> {
        if self.has_ended() {
            return None;
        }
        let mut batch = Batch::default();
        if self.call().is_none()
            && let Some(early) = &mut *self.early()
        {
            let trailers = reader.read(data, |message| {
                batch.add(message);
                early.add(message);
            });
            early.add_batch(batch);
            return trailers;
        }
        let call = self.call()?;
        let trailers = reader.read(data, |message| {
            batch.add(message);
            call.message(flow, message);
        });
        if batch.messages > 0 {
            call.batch(flow, batch);
        }
        trailers
    }

    /// The request broke off before its end.
    pub(super) fn request_failed(&self) {
        self.request_failed.store(true, Ordering::Relaxed);
    }

    /// The request stream of a client failed by itself: its own error says why.
    pub(super) fn request_failed_with(&self, error: &BoxError) {
        let error =
            RequestError { code: code_of_error(&**error), text: ErrorChain(error).to_string() };
        let _ = self.request_error.set(Box::new(error));
        self.request_failed();
    }

    pub(super) fn has_request_failed(&self) -> bool {
        self.request_failed.load(Ordering::Relaxed)
    }

    pub(super) fn request_error(&self) -> Option<&RequestError> {
        self.request_error.get().map(|error| &**error)
    }

    pub(super) fn has_unwound(&self) -> bool {
        self.unwound.load(Ordering::Relaxed)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Says whether it had not ended before. Nobody else writes it: the holder of the one watch of a
    /// call has its ending.
    pub(super) fn ends_now(&self) -> bool {
        let first = !self.has_ended();
        self.ended.store(true, Ordering::Relaxed);
        first
    }

    /// A service has answered for the method.
    pub(super) fn learn(&self) {
        if let Some((known, rpc)) = &self.unknown {
            known.learn(rpc);
        }
    }
}

struct Unwinding<'a, C: Call>(&'a CallState<C>);

impl<C: Call> Drop for Unwinding<'_, C> {
    fn drop(&mut self) {
        self.0.unwound.store(true, Ordering::Relaxed);
        if let Some(call) = self.0.call() {
            call.unwound();
        }
    }
}
