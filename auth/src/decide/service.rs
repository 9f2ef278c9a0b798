use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tonic_call::{BoxError, GrpcService, Guarded, Rpc, guarded, is_preflight};
use tower_service::Service;

use super::authenticate::Authenticating;
use super::body::ResponseBody;
use super::evaluate::forget;
use super::future::{Asking, Inbound, ResponseFuture};
use super::incoming::Incoming;
use super::settings::Settings;

/// A service behind an [`AuthLayer`](crate::AuthLayer).
#[derive(Clone)]
pub struct Auth<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Auth<S> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B> Service<Request<B>> for Auth<S>
where
    S: GrpcService + Clone,
    S::Future: Send + 'static,
    S::ResponseBody: Unpin,
    S::Error: 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody, S::Error>>;
    type Error = S::Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let settings = &self.settings;
        let (mut head, body) = request.into_parts();
        forget(&mut head.extensions);
        settings.secrets.mark(&mut head.headers);
        let removed = guarded(|| settings.authenticator.remove_untrusted(&mut head));
        // Only the path counts, not what a generated client puts into the extensions.
        let rpc = Rpc::from_uri(&head.uri);
        let ruled = settings.ruled(&rpc);
        let decided = match (removed, is_preflight(&head), ruled.is_public()) {
            (Err(panic), ..) => {
                settings.decide(Err(panic), settings.clock.now(), ruled, &mut head, &rpc)
            }
            (_, true, _) => settings.preflight(ruled, &mut head, &rpc),
            (_, false, true) => settings.public(ruled, &mut head, &rpc),
            (_, false, false) => {
                let now = settings.clock.now();
                let found = guarded(|| {
                    settings.authenticator.authenticate(&Incoming::new(&head, &rpc, now))
                });
                let found = match found {
                    Ok(Authenticating::Ready(outcome)) => Ok(outcome),
                    Err(panic) => Err(panic),
                    Ok(Authenticating::Later(later)) => {
                        let found = Guarded::new(later);
                        let call = Inbound { head, body: tonic::body::Body::new(body), rpc };
                        let settings = Arc::clone(settings);
                        // Keeps the service that is ready for this call; the next call polls another one.
                        let next = self.inner.clone();
                        let service = std::mem::replace(&mut self.inner, next);
                        return ResponseFuture::asking(Asking { settings, call, service, found });
                    }
                };
                settings.decide(found, now, ruled, &mut head, &rpc)
            }
        };
        let body = tonic::body::Body::new(body);
        let request = Request::from_parts(head, body);
        ResponseFuture::decided(decided, settings, request, rpc, &mut self.inner)
    }
}

impl<S: fmt::Debug> fmt::Debug for Auth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("inner", &self.inner).finish_non_exhaustive()
    }
}
