//! A panic as the handler of a layer sees it.

use std::any::Any;
use std::backtrace::Backtrace;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tonic::Status;
use tonic_call::{Rpc, panic_message, sanitize};

use crate::capture::{Caught, Trace, catch};

/// A panic that was recovered, for the operator: nothing of it is told to the caller.
pub struct Panic<'a> {
    caught: &'a Caught,
    message: Cow<'a, str>,
    place: Place,
    rpc: Option<&'a Rpc>,
}

/// Where a panic happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In `poll_ready`, before the call it is told for.
    PollReady,
    /// In `call`, before there was a future.
    Call,
    /// In the response future: an `async fn` handler, for example.
    Future,
    /// In the response body, after the head.
    Body,
    /// On a client, in the request body: the stream of messages that is sent.
    RequestBody,
    /// In a [`RecoverStream`](crate::RecoverStream), or in the task that feeds it.
    Stream,
    /// In dropping one of these: a destructor.
    Drop,
}

impl<'a> Panic<'a> {
    pub(crate) fn new(caught: &'a Caught, place: Place, rpc: Option<&'a Rpc>) -> Self {
        let message = catch(|| text_of(&*caught.payload).map(shown)).unwrap_or_else(|caught| {
            caught.discard();
            None
        });
        let message = message.unwrap_or(Cow::Borrowed("a payload that is not a text"));
        Self { caught, message, place, rpc }
    }

    /// The text of the panic, as [`sanitize`] shows it: on one line, and at most
    /// [`MAX_TEXT_BYTES`](tonic_call::MAX_TEXT_BYTES) bytes. The whole is in the [payload](Self::payload). If that is
    /// neither a text nor an error, this says so.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the panic was raised with.
    pub fn payload(&self) -> &(dyn Any + Send) {
        &*self.caught.payload
    }

    /// Where it happened in the call.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The method that was called; `None` if a [`RecoverStream`](crate::RecoverStream) caught the
    /// panic and there is no layer around it.
    pub fn rpc(&self) -> Option<&Rpc> {
        self.rpc
    }

    /// File, line and column, once [`capture_panics`](crate::capture_panics) was called.
    pub fn location(&self) -> Option<&str> {
        self.caught.trace.as_ref()?.location.as_deref()
    }

    /// Where it happened, once panics are captured, for whom it may concern later.
    pub(crate) fn trace(&self) -> Option<Arc<Trace>> {
        self.caught.trace.clone()
    }

    /// The whole stack, once [`capture_panics`](crate::capture_panics) was called; `None` if the environment
    /// says `RUST_BACKTRACE=0`.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        self.caught.trace.as_ref()?.backtrace.as_ref()
    }

    /// What helps of the [stack](Self::backtrace), as text: the frames of the program, in at most
    /// [`MAX_LINES_BYTES`](tonic_call::MAX_LINES_BYTES) bytes. Those of the panic itself, of the runtime, of tonic and
    /// of what stands below and between are left out, unless there are no others.
    pub fn stack(&self) -> Option<&str> {
        self.caught.trace.as_ref()?.stack()
    }
}

impl fmt::Debug for Panic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panic")
            .field("message", &self.message)
            .field("place", &self.place)
            .field("rpc", &self.rpc)
            .field("location", &self.location())
            .finish_non_exhaustive()
    }
}

impl Place {
    /// A short name: `poll_ready`, `call`, `future`, `body`, `request_body`, `stream` or `drop`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PollReady => "poll_ready",
            Self::Call => "call",
            Self::Future => "future",
            Self::Body => "body",
            Self::RequestBody => "request_body",
            Self::Stream => "stream",
            Self::Drop => "drop",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn shown(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => sanitize(text),
        Cow::Owned(text) => sanitize(&text).into_owned().into(),
    }
}

/// The text of a payload: `panic_any` raises whatever it is given.
fn text_of(payload: &(dyn Any + Send)) -> Option<Cow<'_, str>> {
    panic_message(payload)
        .or_else(|| payload.downcast_ref::<Cow<'static, str>>().map(AsRef::as_ref))
        .or_else(|| payload.downcast_ref::<Box<str>>().map(AsRef::as_ref))
        .or_else(|| payload.downcast_ref::<Arc<str>>().map(AsRef::as_ref))
        .map(Cow::Borrowed)
        .or_else(|| display::<Status>(payload))
        .or_else(|| display::<Box<dyn Error + Send + Sync>>(payload))
        .or_else(|| display::<Box<dyn Error + Send>>(payload))
}

fn display<'a, T: fmt::Display + 'static>(payload: &(dyn Any + Send)) -> Option<Cow<'a, str>> {
    payload.downcast_ref::<T>().map(|value| value.to_string().into())
}
