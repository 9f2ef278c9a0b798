use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response, request};
use pin_project::pin_project;
use tonic::Status;
use tonic_call::{AnswerFuture, CallInfo, Cut, CutFuture, GrpcService, Guarded, Rpc};

use super::authenticate::Outcome;
use super::body::ResponseBody;
use super::evaluate::Passed;
use super::expiry::{Expiring, Timer};
use super::settings::Settings;

/// The response of an [`Auth`](crate::Auth).
#[pin_project]
pub struct ResponseFuture<S: GrpcService> {
    #[pin]
    state: State<S>,
    timer: Option<Timer>,
}

#[pin_project(project = Projection)]
enum State<S: GrpcService> {
    /// The authenticator is asynchronous, and has not finished.
    Asking(Option<Box<Asking<S>>>),
    /// The response of the service, or of the layer itself.
    Inner(#[pin] AnswerFuture<S::Future>),
    /// A response that ends when the credentials expire.
    Cut(CutFuture<S::ResponseBody, S::Error>),
}

type Body<S> = ResponseBody<<S as GrpcService>::ResponseBody, <S as GrpcService>::Error>;

/// A call whose caller is being authenticated. Its body is not read yet.
pub(crate) struct Asking<S> {
    pub(crate) settings: Arc<Settings>,
    pub(crate) call: Inbound,
    /// The service that was polled ready.
    pub(crate) service: S,
    pub(crate) found: Guarded<Outcome>,
}

/// A call that is not decided yet.
pub(crate) struct Inbound {
    pub(crate) head: request::Parts,
    pub(crate) body: tonic::body::Body,
    pub(crate) rpc: Rpc,
}

impl<S> ResponseFuture<S>
where
    S: GrpcService,
    S::Future: Send + 'static,
    S::ResponseBody: Unpin,
    S::Error: 'static,
{
    pub(crate) fn asking(asking: Asking<S>) -> Self {
        Self { state: State::Asking(Some(Box::new(asking))), timer: None }
    }

    /// Calls the service, or answers instead of it.
    pub(crate) fn decided(
        decided: Result<Passed, Status>,
        settings: &Arc<Settings>,
        request: Request<tonic::body::Body>,
        rpc: Rpc,
        service: &mut S,
    ) -> Self {
        let passed = match decided {
            Ok(passed) => passed,
            Err(status) => return Self::inner(AnswerFuture::answer_to(request.headers(), status)),
        };
        let Some(identity) = passed.expiring else {
            return Self::inner(AnswerFuture::inner(service.call_grpc(request)));
        };
        let info = CallInfo::of(request.extensions()).cloned();
        let (cut, state) = match settings.shadow {
            true => (None, State::Inner(AnswerFuture::inner(service.call_grpc(request)))),
            false => {
                let (cut, response) = Cut::call(service, request);
                (Some(cut), State::Cut(response))
            }
        };
        let timer = Timer::start(Arc::clone(settings), Expiring { identity, rpc, info, cut });
        Self { state, timer }
    }

    fn inner(response: AnswerFuture<S::Future>) -> Self {
        Self { state: State::Inner(response), timer: None }
    }
}

impl<S> Future for ResponseFuture<S>
where
    S: GrpcService,
    S::Future: Send + 'static,
    S::ResponseBody: Unpin,
    S::Error: 'static,
{
    type Output = Result<Response<Body<S>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Projection::Asking(asking) = self.as_mut().project().state.project() {
            let Some(waiting) = asking else { panic!("{POLLED_AGAIN}") };
            let found = ready!(waiting.found.poll(cx));
            let Some(asked) = asking.take() else { panic!("{POLLED_AGAIN}") };
            let Asking { settings, mut call, mut service, .. } = *asked;
            let (now, ruled) = (settings.clock.now(), settings.ruled(&call.rpc));
            let decided = settings.decide(found, now, ruled, &mut call.head, &call.rpc);
            let Inbound { head, body, rpc } = call;
            let request = Request::from_parts(head, body);
            self.set(Self::decided(decided, &settings, request, rpc, &mut service));
        }
        let this = self.project();
        match this.state.project() {
            Projection::Inner(inner) => {
                let timer = &mut *this.timer;
                inner
                    .poll(cx)
                    .map_ok(|response| response.map(|body| ResponseBody::whole(body, timer.take())))
            }
            Projection::Cut(inner) => {
                let timer = &mut *this.timer;
                Pin::new(inner)
                    .poll(cx)
                    .map_ok(|response| response.map(|body| ResponseBody::cut(body, timer.take())))
            }
            Projection::Asking(_) => panic!("{POLLED_AGAIN}"),
        }
    }
}

const POLLED_AGAIN: &str = "a `ResponseFuture` was polled after it had completed";

impl<S: GrpcService> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
