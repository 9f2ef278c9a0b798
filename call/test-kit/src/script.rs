use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame};
use tonic::{Code, Status};

use crate::panics::PanicsInDrop;

/// A body that follows a script, step by step.
///
/// ```
/// # use tonic::Code;
/// # use tonic_call_test_kit::Script;
/// let body = Script::new().message(b"hi").pending().trailers(Code::Ok);
/// ```
#[derive(Debug, Default)]
pub struct Script {
    steps: VecDeque<Step>,
    says_end: bool,
    _panics_in_drop: Option<PanicsInDrop>,
}

#[derive(Debug)]
enum Step {
    Frame(Frame<Bytes>),
    Pending,
    Stall,
    Error(Status),
    Panic,
}

/// An uncompressed message with its prefix, as on the wire.
pub fn frame_of(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

impl Script {
    /// A body that ends at once, without a status.
    pub fn new() -> Self {
        Self::default()
    }

    /// Yields one message in its own frame.
    #[must_use]
    pub fn message(self, message: &[u8]) -> Self {
        self.data(frame_of(message))
    }

    /// Yields this number of one-byte messages, each in its own frame.
    #[must_use]
    pub fn messages(self, count: usize) -> Self {
        (0..count).fold(self, |script, _| script.message(b"x"))
    }

    /// Yields a data frame.
    #[must_use]
    pub fn data(self, data: Bytes) -> Self {
        self.step(Step::Frame(Frame::data(data)))
    }

    /// Returns `Pending` once, and wakes the task at once.
    #[must_use]
    pub fn pending(self) -> Self {
        self.step(Step::Pending)
    }

    /// Returns `Pending` for ever.
    #[must_use]
    pub fn stall(self) -> Self {
        self.step(Step::Stall)
    }

    /// Yields trailers with a status.
    #[must_use]
    pub fn trailers(self, code: Code) -> Self {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", (code as i32).into());
        self.trailers_of(trailers)
    }

    /// Yields these trailers.
    #[must_use]
    pub fn trailers_of(self, trailers: HeaderMap) -> Self {
        self.step(Step::Frame(Frame::trailers(trailers)))
    }

    /// Returns an error.
    #[must_use]
    pub fn error(self, status: Status) -> Self {
        self.step(Step::Error(status))
    }

    /// Panics.
    #[must_use]
    pub fn panic(self) -> Self {
        self.step(Step::Panic)
    }

    /// Reports its end through `is_end_stream` after the last step, without another poll.
    #[must_use]
    pub fn says_end(self) -> Self {
        Self { says_end: true, ..self }
    }

    /// Panics when it is dropped.
    #[must_use]
    pub fn panics_in_drop(self) -> Self {
        Self { _panics_in_drop: Some(PanicsInDrop), ..self }
    }

    /// A response with this body, and a head with only gRPC's content type.
    pub fn respond(self) -> Response<Self> {
        let mut response = Response::new(self);
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        response
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.steps.pop_front() {
            Some(Step::Frame(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Step::Error(status)) => Poll::Ready(Some(Err(status))),
            Some(Step::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Stall) => {
                self.steps.push_front(Step::Stall);
                Poll::Pending
            }
            Some(Step::Panic) => panic!("in a body, on purpose"),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.says_end && self.steps.is_empty()
    }
}
