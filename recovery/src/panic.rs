//! A recovered panic, as passed to the layer's handler.

use std::any::Any;
use std::backtrace::Backtrace;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tonic::Status;
use tonic_call::{Rpc, panic_message, sanitize};

use crate::capture::{Caught, Trace, catch};

/// A recovered panic. These details are for the operator; none of them is sent to the caller.
pub struct Panic<'a> {
    caught: &'a Caught,
    message: Cow<'a, str>,
    place: Place,
    rpc: Option<&'a Rpc>,
}

/// The part of a call in which a panic happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// In `poll_ready`, before the call that it is reported for.
    PollReady,
    /// In `call`, before the response future existed.
    Call,
    /// In the response future, for example in an `async fn` handler.
    Future,
    /// In the response body, after the response head.
    Body,
    /// On a client, in the request body: the stream of messages being sent.
    RequestBody,
    /// In a [`RecoverStream`](crate::RecoverStream), or in the task that feeds it.
    Stream,
    /// In a destructor, while one of these was dropped.
    Drop,
}

impl<'a> Panic<'a> {
    pub(crate) fn new(caught: &'a Caught, place: Place, rpc: Option<&'a Rpc>) -> Self {
        let message = catch(|| text_of(&*caught.payload).map(shown)).unwrap_or_else(|caught| {
            caught.discard();
            None
        });
        let message = message.unwrap_or(Cow::Borrowed("a payload that is not text"));
        Self { caught, message, place, rpc }
    }

    /// The panic message, [sanitized](sanitize): one line of at most
    /// [`MAX_TEXT_BYTES`](tonic_call::MAX_TEXT_BYTES) bytes. The full text is in the [payload](Self::payload).
    /// If the payload is neither text nor an error, the message says so.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The payload of the panic.
    pub fn payload(&self) -> &(dyn Any + Send) {
        &*self.caught.payload
    }

    /// The part of the call in which it happened.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The called method; `None` if a [`RecoverStream`](crate::RecoverStream) caught the panic without a layer
    /// around it.
    pub fn rpc(&self) -> Option<&Rpc> {
        self.rpc
    }

    /// File, line and column; `None` unless [`capture_panics`](crate::capture_panics) was called.
    pub fn location(&self) -> Option<&str> {
        self.caught.trace.as_ref()?.location.as_deref()
    }

    /// The captured details, if any, which outlive this value.
    pub(crate) fn trace(&self) -> Option<Arc<Trace>> {
        self.caught.trace.clone()
    }

    /// The full backtrace; `None` unless [`capture_panics`](crate::capture_panics) was called, or if the
    /// environment has `RUST_BACKTRACE=0`.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        self.caught.trace.as_ref()?.backtrace.as_ref()
    }

    /// The relevant part of the [backtrace](Self::backtrace) as text: the frames of the program, in at most
    /// [`MAX_LINES_BYTES`](tonic_call::MAX_LINES_BYTES) bytes. Frames of the panic machinery, the async
    /// runtime, tonic and the layers are omitted, unless there are no others.
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

/// The text of a payload. With `panic_any` it can have any type.
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
