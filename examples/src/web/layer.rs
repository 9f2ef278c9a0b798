//! Serves the page, and passes all other requests on.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures_util::TryFutureExt;
use futures_util::future::{Either, MapOk};
use http_body_util::{Either as EitherBody, Full};
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{Body as HttpBody, Bytes, Service};
use tower::Layer;

use super::files::File;

/// Serves the page, if it is enabled. It is the outermost layer: the page is not a call, so that no other layer sees
/// its requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebLayer {
    pub(crate) is_enabled: bool,
}

impl<S> Layer<S> for WebLayer {
    type Service = Web<S>;

    fn layer(&self, inner: S) -> Web<S> {
        Web { inner, is_enabled: self.is_enabled }
    }
}

/// The page in front of a service.
#[derive(Clone, Debug)]
pub(crate) struct Web<S> {
    inner: S,
    is_enabled: bool,
}

/// The body of a file, or of the service.
pub(crate) type WebBody<B> = EitherBody<Full<Bytes>, B>;

type Inner<B> = fn(Response<B>) -> Response<WebBody<B>>;

impl<S, R, B> Service<Request<R>> for Web<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    B: HttpBody<Data = Bytes>,
{
    type Response = Response<WebBody<B>>;
    type Error = S::Error;
    type Future = Either<Ready<Result<Self::Response, S::Error>>, MapOk<S::Future, Inner<B>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let file = self.is_enabled.then(|| File::at(request.uri().path())).flatten();
        if let Some(file) = file {
            let response = file.response(request.method()).map(EitherBody::Left);
            return Either::Left(ready(Ok(response)));
        }
        let inner: Inner<B> = |response| response.map(EitherBody::Right);
        Either::Right(self.inner.call(request).map_ok(inner))
    }
}
