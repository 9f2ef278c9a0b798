//! Number of allocations per call.
#![cfg(feature = "api-keys")]
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use http::{HeaderValue, Request, Response, Uri};
use tonic_auth_layer::{Access, ApiKeys, AuthLayer, Identity, Incoming, Outcome, authenticate_fn};
#[cfg(feature = "client")]
use tonic_auth_layer::{BearerToken, CredentialsLayer};
use tonic_call::{CallInfo, Side};
use tonic_call_test_kit::Script;
use tower::{Layer as _, Service, service_fn};

fn inner() -> impl Service<
    Request<tonic::body::Body>,
    Response = Response<Script>,
    Error = Infallible,
    Future = std::future::Ready<Result<Response<Script>, Infallible>>,
> + Clone {
    service_fn(|_: Request<tonic::body::Body>| ready(Ok(Script::new().respond())))
}

fn request(side: Side) -> Request<tonic::body::Body> {
    // Shared, as behind another layer that has read it.
    static URI: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("/test.v1.Kinds/Unary"));
    let mut request = Request::new(tonic::body::Body::empty());
    *request.uri_mut() = URI.clone();
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    headers.insert("x-api-key", HeaderValue::from_static("2f1e6cb6a9f44dd2a1b95f47a0a7ce5d"));
    if side == Side::Server {
        headers.insert("authorization", HeaderValue::from_static("Bearer abc"));
    }
    CallInfo::get_or_insert(side, request.extensions_mut());
    request
}

/// Number of allocations of a call.
fn count<S>(service: &mut S, side: Side) -> u64
where
    S: Service<Request<tonic::body::Body>, Error = Infallible>,
{
    let mut once = || {
        let request = request(side);
        let counted = allocation_counter::measure(|| {
            let mut response = pin!(service.call(request));
            let poll = response.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(poll, Poll::Ready(Ok(_))));
        });
        counted.count_total
    };
    once();
    once()
}

#[test]
fn k01_a_caller_who_is_known_at_once_costs_what_is_told_of_it() {
    let bare = count(&mut inner(), Side::Server);
    let ann = Identity::new("test").with_issuer("https://id.example").with_subject("ann");
    let known = authenticate_fn(move |call: &Incoming<'_>| {
        assert!(matches!(call.bearer(), Ok(Some("abc"))));
        Outcome::cached(ann.clone())
    });
    let layer = AuthLayer::new(known).build().unwrap();
    let layered = count(&mut layer.layer(inner()), Side::Server);
    // The identity in the extensions.
    assert_eq!(layered - bare, 1);

    let secret = "2f1e6cb6a9f44dd2a1b95f47a0a7ce5d";
    let keys = ApiKeys::new().key(secret, Identity::new("api_key").with_subject("ann")).unwrap();
    let layer = AuthLayer::new(keys).build().unwrap();
    assert_eq!(count(&mut layer.layer(inner()), Side::Server) - bare, 1);
}

#[test]
fn k02_a_public_method_costs_nothing() {
    let bare = count(&mut inner(), Side::Server);
    let nobody = authenticate_fn(|_| None::<Identity>);
    let layer = AuthLayer::new(nobody).default_access(Access::public()).build().unwrap();
    assert_eq!(count(&mut layer.layer(inner()), Side::Server), bare);
}

#[cfg(feature = "client")]
#[test]
fn k03_sending_a_token_costs_nothing() {
    let bare = count(&mut inner(), Side::Client);
    let token = BearerToken::new("abc").unwrap();
    let layer = CredentialsLayer::bearer(token).allow_unencrypted();
    assert_eq!(count(&mut layer.layer(inner()), Side::Client), bare);
}
