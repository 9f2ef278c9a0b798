use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, Version, request};
use http_body::Body;
use tonic_call::{BoxError, CallInfo, GrpcService, Protocol, Side};
use tower_service::Service;

use crate::answer::Answering;
use crate::body::{Incoming, Progress, RequestBody, ResponseBody};
use crate::detect::{Answer, Detected, Input, detect};
use crate::future::ResponseFuture;
use crate::head::translate_request;
use crate::methods::MethodId;
use crate::refusal::Refusal;
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
        let (head, body) = request.into_parts();
        let protocol = Protocol::of(&head.headers);
        let detected = if protocol.is_none() { detect(&self.settings, &head) } else { None };
        let Some(Detected { answer, input }) = detected else {
            return self.pass(head, body, protocol);
        };
        let is_http1 = answer.is_http1;
        let progress = match is_http1 || input.is_err() {
            true => Progress::recorded(),
            false => Progress::not_recorded(),
        };
        let body = Incoming::new(body, is_http1, &progress);
        let (request, refusal) = match input {
            Err(refusal) if answer.may_be_other => {
                (Request::from_parts(head, body.untouched()), Some(refusal))
            }
            input => self.translate(head, body, &answer, input, &progress),
        };
        let settings = Arc::clone(&self.settings);
        let refusal = refusal.map(Box::new);
        let answering = Answering { settings, answer, progress: progress.clone(), refusal };
        let future = ResponseFuture::translated(self.inner.call_grpc(request), answering);
        if is_http1 { future.closing(progress) } else { future }
    }
}

impl<S: GrpcService> Connect<S> {
    /// Passes on a request of another protocol.
    fn pass<B>(
        &mut self,
        mut head: request::Parts,
        body: B,
        protocol: Option<Protocol>,
    ) -> ResponseFuture<S::Future, S::ResponseBody>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        // tonic-web, which comes next, leaves no trace of it.
        if let Some(web @ (Protocol::GrpcWeb | Protocol::GrpcWebText)) = protocol {
            head.extensions.insert(web);
        }
        if head.version >= Version::HTTP_2 {
            let request = Request::from_parts(head, tonic::body::Body::new(body));
            return ResponseFuture::untouched(self.inner.call_grpc(request));
        }
        let progress = Progress::recorded();
        let body = Incoming::new(body, true, &progress).untouched();
        let inner = self.inner.call_grpc(Request::from_parts(head, body));
        ResponseFuture::untouched(inner).closing(progress)
    }

    /// The gRPC request for a Connect request, or one that fails when it is read.
    fn translate<B>(
        &self,
        mut head: request::Parts,
        body: Incoming<B>,
        answer: &Answer,
        input: Result<(MethodId, Input), Refusal>,
        progress: &Progress,
    ) -> (Request<tonic::body::Body>, Option<Refusal>)
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let progress = progress.clone();
        let (body, refusal) = match input {
            Ok((method, input)) => {
                let path = self.settings.methods.get(method).path.as_ref();
                translate_request(&mut head, input.timeout, path);
                let body = RequestBody::new(&self.settings, answer, method, input, body, progress);
                (body, None)
            }
            Err(refusal) => {
                translate_request(&mut head, None, None);
                let info = CallInfo::get_or_insert(Side::Server, &mut head.extensions);
                (RequestBody::refused(&refusal, info, progress), Some(refusal))
            }
        };
        (Request::from_parts(head, tonic::body::Body::new(body)), refusal)
    }
}

impl<S: fmt::Debug> fmt::Debug for Connect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("inner", &self.inner).finish_non_exhaustive()
    }
}
