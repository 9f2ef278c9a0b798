//! Answers that a layer gives itself: the one body, and the one future, for all of them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tonic::{Code, Status};

/// The inner service's body, or what a layer says instead: nothing, or only trailers.
///
/// The default is a body that is at its end: with [`Status::into_http`] it makes a trailers-only
/// answer.
#[pin_project]
pub struct AnswerBody<B> {
    #[pin]
    kind: BodyKind<B>,
}

#[pin_project(project = BodyProjection)]
enum BodyKind<B> {
    Inner(#[pin] B),
    Trailers(Option<HeaderMap>),
}

impl<B> AnswerBody<B> {
    /// The inner service's body, as it is.
    pub fn inner(body: B) -> Self {
        Self { kind: BodyKind::Inner(body) }
    }

    /// A body that is at its end.
    pub fn empty() -> Self {
        Self { kind: BodyKind::Trailers(None) }
    }

    /// A body of nothing but the trailers of a status.
    pub fn trailers(status: &Status) -> Self {
        Self { kind: BodyKind::Trailers(Some(trailers_of(status))) }
    }

    /// Whether this is still the inner service's body.
    pub fn is_inner(&self) -> bool {
        matches!(self.kind, BodyKind::Inner(_))
    }

    /// Drops the inner body, and ends with the trailers of a status instead.
    pub fn end_with(self: Pin<&mut Self>, status: &Status) {
        self.project().kind.set(BodyKind::Trailers(Some(trailers_of(status))));
    }

    /// Drops the inner body, and is at its end.
    pub fn clear(self: Pin<&mut Self>) {
        self.project().kind.set(BodyKind::Trailers(None));
    }
}

/// The trailers that carry a status.
pub(crate) fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Only a message or details that no header can hold get here; the code always can.
        trailers.clear();
        let code = Status::new(status.code(), "");
        if code.add_header(&mut trailers).is_err() {
            trailers.insert(Status::GRPC_STATUS, (Code::Internal as i32).into());
        }
    }
    trailers
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            BodyProjection::Inner(body) => body.poll_frame(cx),
            BodyProjection::Trailers(trailers) => {
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Inner(body) => body.is_end_stream(),
            BodyKind::Trailers(trailers) => trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Inner(body) => body.size_hint(),
            BodyKind::Trailers(_) => SizeHint::with_exact(0),
        }
    }
}

impl<B> Default for AnswerBody<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> fmt::Debug for AnswerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            BodyKind::Inner(_) => "AnswerBody::Inner",
            BodyKind::Trailers(_) => "AnswerBody::Trailers",
        })
    }
}

/// The inner service's response, or the trailers-only one that a layer gives instead.
#[pin_project]
pub struct AnswerFuture<F> {
    #[pin]
    kind: FutureKind<F>,
}

#[pin_project(project = FutureProjection)]
enum FutureKind<F> {
    Inner(#[pin] F),
    Answer(Option<Status>),
}

impl<F> AnswerFuture<F> {
    /// Waits for the inner service.
    pub fn inner(future: F) -> Self {
        Self { kind: FutureKind::Inner(future) }
    }

    /// Answers at once: see [`Rejection::into_status`](crate::Rejection::into_status).
    pub fn answer(status: Status) -> Self {
        Self { kind: FutureKind::Answer(Some(status)) }
    }
}

impl<F, B, E> Future for AnswerFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<AnswerBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().kind.project() {
            FutureProjection::Inner(future) => {
                future.poll(cx).map_ok(|response| response.map(AnswerBody::inner))
            }
            FutureProjection::Answer(answer) => match answer.take() {
                Some(status) => Poll::Ready(Ok(status.into_http())),
                None => panic!("an `AnswerFuture` was polled after it had completed"),
            },
        }
    }
}

impl<F> fmt::Debug for AnswerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            FutureKind::Inner(_) => "AnswerFuture::Inner",
            FutureKind::Answer(_) => "AnswerFuture::Answer",
        })
    }
}
