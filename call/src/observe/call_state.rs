//! State that the response of a watched call shares with the request body, which another task may poll.

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
    /// The call, if it begins with the request.
    early: Option<C>,
    /// If the call begins with the response, if that shows that the request is a call.
    late: Option<Box<LateCall<C>>>,
    /// Facts that the call's layers share, if there are any that the call does not have itself.
    info: Option<CallInfo>,
    /// The method, if a response can still make it known.
    unknown: Option<(Arc<KnownMethods>, Rpc)>,
    ended: AtomicBool,
    request_failed: AtomicBool,
    request_error: OnceLock<Box<RequestError>>,
    unwound: AtomicBool,
}

/// A request that may turn out to be a call.
pub(super) struct LateCall<C> {
    /// Empty until the call begins.
    call: OnceLock<C>,
    /// Messages before the beginning; `None` once the call has begun or turned out to be no call.
    messages: Mutex<Option<Box<EarlyMessages>>>,
}

/// The error of a client's request stream.
pub(super) struct RequestError {
    pub(super) code: Code,
    pub(super) text: String,
}

impl<C: Call> CallState<C> {
    // Inlined, so that the call is moved to where it stays at once.
    #[inline]
    pub(super) fn new(
        early: Option<C>,
        late: Option<Box<LateCall<C>>>,
        info: Option<CallInfo>,
        unknown: Option<(Arc<KnownMethods>, Rpc)>,
    ) -> Self {
        Self {
            early,
            late,
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
        match &self.early {
            Some(call) => Some(call),
            None => self.late.as_ref()?.call.get(),
        }
    }

    /// Facts that the call's layers share, if any.
    pub(super) fn info(&self) -> Option<&CallInfo> {
        self.info.as_ref().or_else(|| self.call()?.info())
    }

    /// Begins the call late, and reports the messages so far to it.
    pub(super) fn begin(&self, call: C) {
        let Some(late) = &self.late else { return };
        // Locked throughout, so that new messages are reported after the earlier ones.
        let mut early = late.messages();
        let call = late.call.get_or_init(|| call);
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

    /// Marks that the request turned out to be no call.
    pub(super) fn never_begins(&self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(late) = &self.late {
            *late.messages() = None;
        }
    }

    /// Runs one step of the call in the observer's scope, and records if it unwinds. `thread::panicking()`
    /// can't show that later: it is false when the layer that caught the panic drops the call.
    pub(super) fn scope<T>(&self, poll: impl FnOnce() -> T) -> T {
        let unwinding = Unwinding(self);
        let output = match self.call() {
            Some(call) => call.scope(poll),
            None => poll(),
        };
        std::mem::forget(unwinding);
        output
    }

    /// Reports the messages that a data frame completes. Returns the trailers if they end in this data.
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
        if let Some(late) = &self.late
            && late.call.get().is_none()
            && let Some(early) = &mut *late.messages()
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

    /// Records that the request broke off before its end.
    pub(super) fn request_failed(&self) {
        self.request_failed.store(true, Ordering::Relaxed);
    }

    /// Records the error with which a client's request stream failed.
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

    /// Marks the call as ended; returns false if it was already. Only the owner of the call's `Watch` calls
    /// this.
    pub(super) fn ends_now(&self) -> bool {
        let first = !self.has_ended();
        self.ended.store(true, Ordering::Relaxed);
        first
    }

    /// Makes the method known: a service has answered for it.
    pub(super) fn learn(&self) {
        if let Some((known, rpc)) = &self.unknown {
            known.learn(rpc);
        }
    }
}

impl<C> LateCall<C> {
    pub(super) fn new() -> Self {
        Self { call: OnceLock::new(), messages: Mutex::new(Some(Box::default())) }
    }

    fn messages(&self) -> MutexGuard<'_, Option<Box<EarlyMessages>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Marks the call as unwound when dropped.
struct Unwinding<'a, C: Call>(&'a CallState<C>);

impl<C: Call> Drop for Unwinding<'_, C> {
    fn drop(&mut self) {
        self.0.unwound.store(true, Ordering::Relaxed);
        if let Some(call) = self.0.call() {
            call.unwound();
        }
    }
}
