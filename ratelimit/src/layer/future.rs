use std::fmt;
use std::future::Future;
use std::pin::Pin;
#[cfg(feature = "redis")]
use std::task::ready;
use std::task::{Context, Poll};

#[cfg(feature = "redis")]
use http::request;
use http::{Request, Response};
use pin_project::pin_project;
use tonic::Status;
use tonic_call::{AnswerBody, AnswerFuture, GrpcService, Held, HeldBody};

use super::permits::Permits;
use crate::decide::{Fields, Passed};

/// The response body of a [`RateLimit`](crate::RateLimit).
pub type ResponseBody<B> = HeldBody<AnswerBody<B>, Permits>;

/// The response of a [`RateLimit`](crate::RateLimit).
#[pin_project]
pub struct ResponseFuture<S: GrpcService> {
    #[pin]
    state: State<S>,
}

#[pin_project(project = Projection)]
enum State<S: GrpcService> {
    /// Redis has not decided yet.
    #[cfg(feature = "redis")]
    Deciding(Option<Box<Deciding<S>>>),
    Decided {
        #[pin]
        inner: Held<AnswerFuture<S::Future>, Permits>,
        fields: Option<Box<Fields>>,
    },
}

/// A call that is being decided. Its body is not read yet.
#[cfg(feature = "redis")]
pub(crate) struct Deciding<S> {
    /// The service that was polled ready.
    pub(crate) service: S,
    pub(crate) body: tonic::body::Body,
    pub(crate) decision: Pin<Box<dyn Future<Output = Decided> + Send>>,
}

/// The head of a call, and what was decided.
#[cfg(feature = "redis")]
pub(crate) type Decided = (request::Parts, Result<Passed, Status>);

impl<S: GrpcService> ResponseFuture<S> {
    /// Calls the service, or answers instead of it.
    pub(crate) fn decided(
        decided: Result<Passed, Status>,
        request: Request<tonic::body::Body>,
        service: &mut S,
    ) -> Self {
        let state = match decided {
            Ok(passed) => {
                // If this panics, `passed` is dropped, and the call is no longer in flight.
                let response = service.call_grpc(request);
                let inner = Held::new(AnswerFuture::inner(response), passed.permits);
                State::Decided { inner, fields: passed.fields }
            }
            Err(status) => {
                let answer = AnswerFuture::answer_to(request.headers(), status);
                State::Decided { inner: Held::new(answer, None), fields: None }
            }
        };
        Self { state }
    }

    #[cfg(feature = "redis")]
    pub(crate) fn deciding(deciding: Deciding<S>) -> Self {
        Self { state: State::Deciding(Some(Box::new(deciding))) }
    }

    /// Waits for the decision, if there is none yet.
    #[cfg(feature = "redis")]
    fn poll_decided(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Projection::Deciding(deciding) = self.as_mut().project().state.project() {
            let Some(waiting) = deciding else { panic!("{POLLED_AGAIN}") };
            let (head, decided) = ready!(waiting.decision.as_mut().poll(cx));
            let Some(waited) = deciding.take() else { panic!("{POLLED_AGAIN}") };
            let Deciding { mut service, body, .. } = *waited;
            let request = Request::from_parts(head, body);
            self.set(Self::decided(decided, request, &mut service));
        }
        Poll::Ready(())
    }
}

impl<S: GrpcService> Future for ResponseFuture<S> {
    type Output = Result<Response<ResponseBody<S::ResponseBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        #[cfg(feature = "redis")]
        let mut this = self;
        #[cfg(feature = "redis")]
        ready!(this.as_mut().poll_decided(cx));
        #[cfg(not(feature = "redis"))]
        let this = self;
        match this.project().state.project() {
            Projection::Decided { inner, fields } => {
                let mut polled = inner.poll(cx);
                if let (Some(fields), Poll::Ready(Ok(response))) = (fields, &mut polled) {
                    fields.write(response.headers_mut());
                }
                polled
            }
            #[cfg(feature = "redis")]
            Projection::Deciding(_) => panic!("{POLLED_AGAIN}"),
        }
    }
}

#[cfg(feature = "redis")]
const POLLED_AGAIN: &str = "a `ResponseFuture` was polled after it had completed";

impl<S: GrpcService> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
