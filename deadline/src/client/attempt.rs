use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project::pin_project;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_call::{
    AnswerBody, CallInfo, Deadline, EndedBy, GrpcService, Side, as_error, code_of_error,
};

use super::limits::send;

/// The response future of the channel inside a deadline layer: waits until the channel is ready, and calls it then.
#[pin_project]
pub struct Attempt<S: GrpcService> {
    #[pin]
    state: State<S>,
    info: Option<CallInfo>,
}

#[pin_project(project = Projection)]
enum State<S: GrpcService> {
    Waiting(Box<Waiting<S>>),
    Sent(#[pin] S::Future),
    Failed(Option<S::Error>),
}

struct Waiting<S> {
    channel: S,
    /// `None` once it is sent, or cannot be sent in time.
    request: Option<Request<Body>>,
    deadline: Option<Deadline>,
}

impl<S: GrpcService> Attempt<S> {
    /// A call of a channel that is not ready yet.
    pub(super) fn waiting(channel: S, request: Request<Body>, deadline: Option<Deadline>) -> Self {
        let info = CallInfo::of_side(Side::Client, request.extensions()).cloned();
        let waiting = Waiting { channel, request: Some(request), deadline };
        Self { state: State::Waiting(Box::new(waiting)), info }
    }

    /// A call of a channel that is ready.
    pub(super) fn sent(channel: &mut S, request: Request<Body>) -> Self {
        let info = CallInfo::of_side(Side::Client, request.extensions()).cloned();
        Self { state: State::Sent(channel.call_grpc(request)), info }
    }

    /// A call of a channel that has failed.
    pub(super) fn failed(error: S::Error) -> Self {
        Self { state: State::Failed(Some(error)), info: None }
    }
}

impl<S: GrpcService> Future for Attempt<S>
where
    S::Error: 'static,
{
    type Output = Result<Response<AnswerBody<S::ResponseBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                Projection::Waiting(waiting) => {
                    ready!(waiting.channel.poll_grpc_ready(cx))?;
                    // Nothing is sent when no time is left: the deadline is about to end the call.
                    let has_passed = waiting.deadline.is_some_and(Deadline::has_passed);
                    let request = waiting.request.take().filter(|_| !has_passed);
                    let Some(mut request) = request else { return Poll::Pending };
                    if let Some(deadline) = waiting.deadline {
                        send(deadline, request.headers_mut());
                    }
                    let response = waiting.channel.call_grpc(request);
                    this.state.set(State::Sent(response));
                }
                Projection::Sent(response) => {
                    let result = ready!(response.poll(cx));
                    return Poll::Ready(match result {
                        Ok(response) => Ok(response.map(AnswerBody::inner)),
                        Err(error) => timed_out(error, this.info.as_ref()),
                    });
                }
                Projection::Failed(error) => {
                    let Some(error) = error.take() else {
                        panic!("an `Attempt` was polled after it had completed");
                    };
                    return Poll::Ready(Err(error));
                }
            }
        }
    }
}

/// What a channel's own timer means: tonic gives its error the code `CANCELLED`.
fn timed_out<B, E: 'static>(
    error: E,
    info: Option<&CallInfo>,
) -> Result<Response<AnswerBody<B>>, E> {
    if as_error(&error).map(code_of_error) != Some(Code::DeadlineExceeded) {
        return Err(error);
    }
    if let Some(info) = info {
        info.set_ended_by(EndedBy::Deadline);
    }
    Ok(Status::deadline_exceeded("the channel's own timeout has passed").into_http())
}

impl<S: GrpcService> fmt::Debug for Attempt<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attempt")
    }
}
