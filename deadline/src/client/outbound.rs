use std::mem;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic_call::{AnswerBody, Deadline, GrpcService};
use tower_service::Service;

use super::attempt::Attempt;

/// A channel that takes one call, whether it is ready or not.
pub(super) struct Outbound<'a, S: GrpcService> {
    pub(super) channel: &'a mut S,
    pub(super) readiness: Readiness<S::Error>,
    pub(super) deadline: Option<Deadline>,
}

/// What the last look at a channel has shown.
pub(super) enum Readiness<E> {
    NotYet,
    Ready,
    /// To be returned by the next call: an error of `poll_ready` would reach the caller without its code.
    Failed(E),
}

impl<S> Service<Request<Body>> for Outbound<'_, S>
where
    S: GrpcService + Clone,
    S::Error: 'static,
{
    type Response = Response<AnswerBody<S::ResponseBody>>;
    type Error = S::Error;
    type Future = Attempt<S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Attempt<S> {
        match mem::replace(&mut self.readiness, Readiness::NotYet) {
            Readiness::Ready => Attempt::sent(self.channel, request),
            Readiness::Failed(error) => Attempt::failed(error),
            Readiness::NotYet => {
                // The one that is waited for is the one that is called: its clone has another place in the queue.
                let next = self.channel.clone();
                let channel = mem::replace(self.channel, next);
                Attempt::waiting(channel, request, self.deadline)
            }
        }
    }
}
