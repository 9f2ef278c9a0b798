//! The body and future types for a layer's own answers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tonic::{Code, Status};

use crate::observe::Protocol;
use crate::observe::error_code::http_of_code;

/// The inner service's body, or a layer's replacement: nothing, or only trailers.
///
/// The default is a body at its end: with [`Status::into_http`] it makes a trailers-only response.
#[pin_project]
pub struct AnswerBody<B> {
    #[pin]
    kind: BodyKind<B>,
}

#[pin_project(project = BodyProjection)]
enum BodyKind<B> {
    Inner(#[pin] B),
    /// Boxed to keep the body of most calls small.
    Last(Option<Box<Frame<Bytes>>>),
}

impl<B> AnswerBody<B> {
    /// Wraps the inner service's body, unchanged.
    pub fn inner(body: B) -> Self {
        Self { kind: BodyKind::Inner(body) }
    }

    /// A body at its end.
    pub fn empty() -> Self {
        Self { kind: BodyKind::Last(None) }
    }

    /// A body with only the trailers of a status.
    pub fn trailers(status: &Status) -> Self {
        let last = Frame::trailers(trailers_of(status));
        Self { kind: BodyKind::Last(Some(Box::new(last))) }
    }

    /// Whether this is still the inner service's body.
    pub fn is_inner(&self) -> bool {
        matches!(self.kind, BodyKind::Inner(_))
    }

    /// Drops the inner body and ends with a status instead, in the [protocol](Protocol::of) of the response.
    pub fn end_with(self: Pin<&mut Self>, protocol: Protocol, status: &Status) {
        let last = protocol.last_frame(trailers_of(status));
        self.project().kind.set(BodyKind::Last(Some(Box::new(last))));
    }

    /// Drops the inner body; the body is then at its end.
    pub fn clear(self: Pin<&mut Self>) {
        self.project().kind.set(BodyKind::Last(None));
    }
}

/// The trailers that carry a status.
pub(crate) fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // Only a message or details that no header can contain fail; a code alone always fits.
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
            BodyProjection::Last(last) => Poll::Ready(last.take().map(|last| Ok(*last))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            BodyKind::Inner(body) => body.is_end_stream(),
            BodyKind::Last(last) => last.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            BodyKind::Inner(body) => body.size_hint(),
            BodyKind::Last(last) => {
                let data = last.as_ref().and_then(|last| last.data_ref());
                SizeHint::with_exact(data.map_or(0, |data| data.len() as u64))
            }
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
            BodyKind::Last(_) => "AnswerBody::Last",
        })
    }
}

/// The inner service's response, or a layer's trailers-only response.
#[pin_project]
pub struct AnswerFuture<F> {
    #[pin]
    kind: FutureKind<F>,
}

#[pin_project(project = FutureProjection)]
enum FutureKind<F> {
    Inner(#[pin] F),
    Answer(Option<(Status, Protocol, StatusCode)>),
}

impl<F> AnswerFuture<F> {
    /// Waits for the inner service.
    pub fn inner(future: F) -> Self {
        Self { kind: FutureKind::Inner(future) }
    }

    /// Answers at once: see [`Rejection::into_status`](crate::Rejection::into_status).
    pub fn answer(status: Status) -> Self {
        Self::answer_in(Protocol::Grpc, status)
    }

    /// Answers at once in this protocol.
    pub fn answer_in(protocol: Protocol, status: Status) -> Self {
        Self { kind: FutureKind::Answer(Some((status, protocol, StatusCode::OK))) }
    }

    /// Whether this still waits for the inner service.
    pub fn is_inner(&self) -> bool {
        matches!(self.kind, FutureKind::Inner(_))
    }

    /// Drops the inner future or the answer. This must not be polled afterwards.
    pub fn clear(self: Pin<&mut Self>) {
        self.project().kind.set(FutureKind::Answer(None));
    }

    /// Answers a request with these headers at once, in the request's [`Protocol`]. If its content type is not
    /// gRPC's (`application/grpc…`), the HTTP status is an error too: a client that does not use gRPC would
    /// take 200 for success.
    pub fn answer_to(request: &HeaderMap, status: Status) -> Self {
        let (protocol, http) = match Protocol::of_answer(request) {
            Some(protocol) => (protocol, StatusCode::OK),
            None => (Protocol::Grpc, http_of_code(status.code())),
        };
        Self { kind: FutureKind::Answer(Some((status, protocol, http))) }
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
                Some((status, protocol, http)) => {
                    let mut response: Response<AnswerBody<B>> = protocol.respond(status);
                    *response.status_mut() = http;
                    Poll::Ready(Ok(response))
                }
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use http::HeaderValue;
    use http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn only_clients_without_grpc_get_another_http_status() {
        type Inner = std::future::Pending<Result<Response<tonic::body::Body>, Status>>;
        for (kind, code, http) in [
            (Some("application/grpc"), Code::ResourceExhausted, 200),
            (Some("application/grpc+proto"), Code::Unavailable, 200),
            (Some("application/json"), Code::ResourceExhausted, 429),
            (None, Code::Unauthenticated, 401),
            (Some("text/plain"), Code::PermissionDenied, 403),
            (None, Code::Unavailable, 503),
            (None, Code::Ok, 200),
        ] {
            let kind = kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
            let request = HeaderMap::from_iter(kind.clone());
            let mut answer = AnswerFuture::<Inner>::answer_to(&request, Status::new(code, ""));
            let poll = Pin::new(&mut answer).poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Ok(response)) = poll else { panic!("no answer") };
            assert_eq!(response.status(), http, "{kind:?} {code:?}");
            assert_eq!(response.headers()["grpc-status"], (code as i32).to_string());
            assert!(response.body().is_end_stream());
        }
    }
}
