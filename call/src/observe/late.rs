//! Requests whose response decides whether they are gRPC calls.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, request};

use super::{Observer, Side};
use crate::method::{KnownMethods, Rpc};
use crate::observe::{Protocol, Stopwatch, headers};

/// Whether a request looks like gRPC's: `POST`, with gRPC's content type or none.
///
/// `named` is the protocol that its content type names.
pub(super) fn asks_as_grpc(head: &request::Parts, named: Option<Protocol>) -> bool {
    head.method == Method::POST
        && (named.is_some()
            || headers::find(&head.headers, &CONTENT_TYPE).is_none_or(HeaderValue::is_empty))
}

/// A request that may turn out to be a call, with its original head.
pub(super) struct Late<C> {
    head: request::Parts,
    known: Arc<KnownMethods>,
    begin: Begin<C>,
}

type Begin<C> = Box<dyn FnOnce(&Rpc, &mut request::Parts) -> Option<C> + Send + Sync>;

impl<C> Late<C> {
    pub(super) fn new<O: Observer<Call = C>>(
        observer: &O,
        head: &request::Parts,
        known: &Arc<KnownMethods>,
    ) -> Self {
        let mut head = head.clone();
        Stopwatch::mark_arrival(&mut head.extensions);
        let observer = observer.clone();
        let begin = move |rpc: &Rpc, head: &mut _| observer.begin(Side::Server, rpc, head);
        Self { head, known: Arc::clone(known), begin: Box::new(begin) }
    }

    /// Begins the call. The response may have made its method known.
    pub(super) fn begin(self) -> Option<C> {
        let Self { mut head, known, begin } = self;
        let rpc = known.resolve(Side::Server, &head);
        begin(&rpc, &mut head)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_grpc_client_posts_with_a_content_type_of_grpcs_or_with_none() {
        for (method, kind, asks) in [
            ("POST", Some("application/grpc"), true),
            ("POST", Some("APPLICATION/GRPC"), true),
            ("POST", Some("application/grpc+proto"), true),
            ("POST", Some("application/grpc-web-text"), true),
            ("POST", Some(""), true),
            ("POST", None, true),
            ("POST", Some("text/plain"), false),
            ("POST", Some("application/json"), false),
            ("GET", Some("application/grpc"), false),
            ("GET", None, false),
            ("OPTIONS", None, false),
            ("PUT", Some("application/grpc"), false),
            ("BREW", None, false),
        ] {
            let mut request = Request::builder().method(method);
            if let Some(kind) = kind {
                request = request.header(CONTENT_TYPE, kind);
            }
            let (head, ()) = request.body(()).expect("a request").into_parts();
            let named = Protocol::of(&head.headers);
            assert_eq!(asks_as_grpc(&head, named), asks, "{method} {kind:?}");
        }
    }
}
