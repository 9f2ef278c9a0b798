use std::fmt::Display;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{Method, Request, Response, request};
use http_body::Body;
use tower_service::Service;

use super::request_body::RequestBody;
use super::watch::Watch;
use super::{Observer, ResponseBody, ResponseFuture, Side};
use crate::headers;
use crate::known::KnownMethods;
use crate::service::{BoxError, GrpcService};

/// A service or channel whose calls are watched: see [`ObserveLayer`](super::ObserveLayer).
#[derive(Clone, Debug)]
pub struct Observe<S, O> {
    inner: S,
    observer: O,
    side: Side,
    known: Arc<KnownMethods>,
}

impl<S, O> Observe<S, O> {
    pub(super) fn new(inner: S, observer: O, side: Side, known: Arc<KnownMethods>) -> Self {
        Self { inner, observer, side, known }
    }
}

impl<S, O, B> Service<Request<B>> for Observe<S, O>
where
    S: GrpcService,
    S::Error: Display + 'static,
    O: Observer,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::ResponseBody, O::Call>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, O::Call>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_grpc_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let rpc = self.known.resolve(self.side, &head);
        let foreign = self.side == Side::Server && is_foreign(&head);
        let begun = if foreign { None } else { self.observer.begin(self.side, &rpc, &mut head) };
        let Some(call) = begun else {
            let request = Request::from_parts(head, tonic::body::Body::new(body));
            return ResponseFuture::unwatched(self.inner.call_grpc(request));
        };
        let watch = Watch::new(call, self.side, &mut head, &self.known, rpc);
        let body = tonic::body::Body::new(RequestBody::new(body, watch.shared()));
        let request = Request::from_parts(head, body);
        let future = watch.scope(|| self.inner.call_grpc(request));
        ResponseFuture::watched(future, watch)
    }
}

/// Whether a request is none of gRPC's, as where an axum router holds other routes too: it says that its
/// content is something else; or it has none, and asks for a page as browsers and probes do. gRPC's
/// requests are all `POST` and say `application/grpc`; whoever forgets that is still taken for a caller.
fn is_foreign(head: &request::Parts) -> bool {
    let accepts = |name| headers::find(&head.headers, name).is_some();
    match (headers::is_grpc(&head.headers), &head.method) {
        (Some(is_grpc), _) => !is_grpc,
        (None, &Method::POST) => false,
        (None, &Method::GET) => accepts(&ACCEPT) || accepts(&ACCEPT_ENCODING),
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_none_of_grpcs_is_foreign() {
        for (method, header, foreign) in [
            ("POST", Some(("content-type", "application/grpc")), false),
            ("POST", Some(("content-type", "application/grpc+proto")), false),
            ("POST", Some(("content-type", "application/grpc-web")), false),
            ("POST", None, false),
            ("GET", None, false),
            ("POST", Some(("content-type", "application/json")), true),
            ("GET", Some(("accept", "*/*")), true),
            ("GET", Some(("accept-encoding", "gzip")), true),
            ("OPTIONS", None, true),
            ("HEAD", None, true),
        ] {
            let mut request = Request::builder().method(method).uri("/a.B/C");
            if let Some((name, value)) = header {
                request = request.header(name, value);
            }
            let (head, ()) = request.body(()).expect("a request").into_parts();
            assert_eq!(is_foreign(&head), foreign, "{method} {header:?}");
        }
    }
}
