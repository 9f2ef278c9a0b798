use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::Scheme;
use http::{Request, Response};
use http_body::Body;
use pin_project::pin_project;
use tonic::Status;
use tonic_call::{
    AnswerBody, AnswerFuture, BoxError, CallInfo, GrpcService, Refusal, Rejection, Side, SideCheck,
};
use tower_service::Service;

use super::source::{NoToken, Obtaining, TokenSource};
use super::token::BearerToken;
use crate::decide::settings::LAYER;
use tonic_call::{Guarded, guarded};

/// A channel whose calls carry credentials: see [`CredentialsLayer`](crate::CredentialsLayer).
#[derive(Clone)]
pub struct Credentials<S> {
    pub(super) inner: S,
    pub(super) source: Arc<dyn TokenSource>,
    pub(super) plain_text: bool,
    pub(super) side_check: Arc<SideCheck>,
}

type Obtained = Result<Result<BearerToken, NoToken>, String>;

impl<S, B> Service<Request<B>> for Credentials<S>
where
    S: GrpcService + Clone,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<AnswerBody<S::ResponseBody>>;
    type Error = S::Error;
    type Future = CredentialsFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.side_check.check(Side::Client, request.extensions(), "CredentialsLayer");
        let mut request = request.map(tonic::body::Body::new);
        let plain = request.uri().scheme() == Some(&Scheme::HTTP);
        let answer = match own(&mut request) {
            // The layer was built for an endpoint with TLS, but wraps another channel.
            _ if plain && !self.plain_text => refused(
                request,
                "PLAIN_TEXT",
                Status::unauthenticated("credentials are not sent in plain text"),
            ),
            true => AnswerFuture::inner(self.inner.call_grpc(request)),
            false => match guarded(|| self.source.token()) {
                Ok(Obtaining::Ready(token)) => send(request, Ok(token), &mut self.inner),
                Err(panic) => send(request, Err(panic), &mut self.inner),
                Ok(Obtaining::Later(token)) => {
                    let next = self.inner.clone();
                    let service = std::mem::replace(&mut self.inner, next);
                    let waiting = Waiting { request, service, token: Guarded::new(token) };
                    return CredentialsFuture { state: State::Waiting(Some(Box::new(waiting))) };
                }
            },
        };
        CredentialsFuture { state: State::Sent(answer) }
    }
}

/// Whether a call has its own `authorization`, which is then marked as sensitive.
fn own(request: &mut Request<tonic::body::Body>) -> bool {
    let mut own = false;
    for (name, value) in request.headers_mut().iter_mut() {
        if name == AUTHORIZATION {
            value.set_sensitive(true);
            own = true;
        }
    }
    own
}

/// Sends the call with the token. Without a token, the call is not sent.
fn send<S: GrpcService>(
    mut request: Request<tonic::body::Body>,
    token: Obtained,
    service: &mut S,
) -> AnswerFuture<S::Future> {
    let why = match token {
        Ok(Ok(token)) => {
            request.headers_mut().insert(AUTHORIZATION, token.header());
            return AnswerFuture::inner(service.call_grpc(request));
        }
        Ok(Err(none)) => format!("no token to call with: {none}"),
        Err(panic) => {
            let exception = tonic_call::sanitize(&panic);
            tracing::error!(
                target: "tonic_auth_layer",
                {
                    exception.message = %exception,
                },
                "a source of tokens panicked"
            );
            "no token to call with".to_owned()
        }
    };
    refused(request, "TOKEN_UNAVAILABLE", Status::unavailable(why))
}

fn refused<F>(
    mut request: Request<tonic::body::Body>,
    reason: &'static str,
    status: Status,
) -> AnswerFuture<F> {
    let extensions = request.extensions_mut();
    CallInfo::get_or_insert(Side::Client, extensions);
    let rejection = Rejection::new(Refusal::new(LAYER, reason), status);
    AnswerFuture::answer(rejection.into_status(extensions))
}

/// The response of a [`Credentials`].
#[pin_project]
pub struct CredentialsFuture<S: GrpcService> {
    #[pin]
    state: State<S>,
}

#[pin_project(project = Projection)]
enum State<S: GrpcService> {
    Waiting(Option<Box<Waiting<S>>>),
    Sent(#[pin] AnswerFuture<S::Future>),
}

/// A call that waits for its token.
struct Waiting<S> {
    request: Request<tonic::body::Body>,
    /// The service that was polled ready.
    service: S,
    token: Guarded<Result<BearerToken, NoToken>>,
}

impl<S: GrpcService> Future for CredentialsFuture<S> {
    type Output = Result<Response<AnswerBody<S::ResponseBody>>, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Projection::Waiting(waiting) = self.as_mut().project().state.project() {
            let Some(asked) = waiting else { panic!("{POLLED_AGAIN}") };
            let token = ready!(asked.token.poll(cx));
            let Some(asked) = waiting.take() else { panic!("{POLLED_AGAIN}") };
            let Waiting { request, mut service, .. } = *asked;
            let sent = send(request, token, &mut service);
            self.set(Self { state: State::Sent(sent) });
        }
        match self.project().state.project() {
            Projection::Sent(answer) => answer.poll(cx),
            Projection::Waiting(_) => panic!("{POLLED_AGAIN}"),
        }
    }
}

const POLLED_AGAIN: &str = "a `CredentialsFuture` was polled after it had completed";

impl<S: GrpcService> fmt::Debug for CredentialsFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsFuture")
    }
}

impl<S: fmt::Debug> fmt::Debug for Credentials<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("inner", &self.inner).finish_non_exhaustive()
    }
}
