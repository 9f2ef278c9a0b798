use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic_call::{BoxError, CallInfo, GrpcService, Protocol, Side};
use tower_service::Service;

use crate::answer::Answering;
use crate::body::{Progress, RequestBody, ResponseBody};
use crate::detect::{Detected, detect};
use crate::future::ResponseFuture;
use crate::head::translate_request;
use crate::settings::Settings;

/// A service that also answers the Connect protocol: see [`ConnectLayer`](crate::ConnectLayer).
#[derive(Clone)]
pub struct Connect<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Connect<S> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B> Service<Request<B>> for Connect<S>
where
    S: GrpcService,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, S::ResponseBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let Some(Detected { answer, input }) = detect(&self.settings, &head) else {
            // tonic-web, which comes next, leaves no trace of it.
            if let Some(web @ (Protocol::GrpcWeb | Protocol::GrpcWebText)) =
                Protocol::of(&head.headers)
            {
                head.extensions.insert(web);
            }
            let request = Request::from_parts(head, tonic::body::Body::new(body));
            return ResponseFuture::untouched(self.inner.call_grpc(request));
        };
        let progress = Progress::default();
        if answer.may_be_other {
            let request = Request::from_parts(head, tonic::body::Body::new(body));
            let settings = Arc::clone(&self.settings);
            let answering = Answering { settings, answer, progress, refusal: input.err() };
            return ResponseFuture::translated(self.inner.call_grpc(request), answering);
        }
        if body.is_end_stream() {
            progress.set_at_end();
        }
        let (body, timeout, refusal) = match input {
            Ok((method, input)) => {
                let (settings, timeout) = (&self.settings, input.timeout);
                let progress = progress.clone();
                let body = RequestBody::new(settings, &answer, method, input, body, progress);
                (body, timeout, None)
            }
            Err(refusal) => {
                let info = CallInfo::get_or_insert(Side::Server, &mut head.extensions);
                let body = RequestBody::refused(&refusal, info, progress.clone());
                (body, None, Some(refusal))
            }
        };
        translate_request(&mut head, timeout);
        let request = Request::from_parts(head, tonic::body::Body::new(body));
        let settings = Arc::clone(&self.settings);
        let answering = Answering { settings, answer, progress, refusal };
        ResponseFuture::translated(self.inner.call_grpc(request), answering)
    }
}

impl<S: fmt::Debug> fmt::Debug for Connect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("inner", &self.inner).finish_non_exhaustive()
    }
}
