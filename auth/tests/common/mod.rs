//! Shared by the tests of the layer: a service that records the calls that reach it, and requests that must not be
//! read.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_auth_layer::{AuthBuilder, AuthLayer, Failure, Identity, Incoming, Reason, WallClock};
use tonic_call::{CallInfo, Refusal, Side};
use tonic_call_test_kit::Script;
pub(crate) use tonic_call_test_kit::{Lines, Untouched};
use tonic_types::{ErrorInfo, StatusExt};
use tower::{Layer as _, Service, ServiceExt as _};

pub(crate) const UNARY: &str = "/test.v1.Kinds/Unary";

/// A service that responds `OK`, and records the calls that reach it.
#[derive(Clone, Default)]
pub(crate) struct Inner {
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A call that reached the service.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) identity: Option<Identity>,
    pub(crate) principal: Option<Arc<str>>,
}

impl Inner {
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Service<Request<tonic::body::Body>> for Inner {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Script>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        self.seen.lock().unwrap().push(Seen {
            path: request.uri().path().to_owned(),
            headers: request.headers().clone(),
            identity: Identity::in_extensions(request.extensions()).ok(),
            principal: CallInfo::of(request.extensions()).and_then(CallInfo::principal),
        });
        ready(Ok(Script::new().message(b"hi").trailers(Code::Ok).respond()))
    }
}

/// The result of a call.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) http: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) info: Option<ErrorInfo>,
    pub(crate) retry_after: Option<Duration>,
    /// The refusals that the layer reported.
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) call: CallInfo,
    /// The calls that reached the service.
    pub(crate) seen: Vec<Seen>,
}

impl Called {
    pub(crate) fn reason(&self) -> &str {
        self.info.as_ref().map_or("", |info| &info.reason)
    }

    pub(crate) fn challenges(&self) -> Vec<&str> {
        let all = self.headers.get_all("www-authenticate");
        all.iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn field(&self, key: &str) -> Option<String> {
        let fields = self.call.fields();
        let (_, value) = fields.into_iter().find(|(present, _)| present == key)?;
        Some(format!("{value:?}"))
    }

    /// Asserts that it was refused before the service, with that code and reason.
    #[track_caller]
    pub(crate) fn is_refused(&self, code: Code, reason: &str) {
        assert_eq!((self.code, self.reason()), (code, reason), "{self:?}");
        assert!(self.seen.is_empty(), "it reached the service: {self:?}");
        assert_eq!(self.refusals, [Refusal::new("auth", reason.to_owned())]);
    }

    /// Asserts that it reached the service once; returns that call.
    #[track_caller]
    pub(crate) fn passed(&self) -> Seen {
        assert_eq!((self.code, self.seen.len()), (Code::Ok, 1), "{self:?}");
        self.seen[0].clone()
    }
}

/// A gRPC request with some headers.
pub(crate) fn request(path: &str, headers: &[(&'static str, &str)]) -> Request<Untouched> {
    let mut request = Request::post(path).body(Untouched::default()).unwrap();
    request.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        request.headers_mut().append(*name, value);
    }
    request
}

/// Makes a call through a layer. The body of a refused call is not read.
pub(crate) async fn send(layer: &AuthLayer, mut request: Request<Untouched>) -> Called {
    let inner = Inner::default();
    let polls = Arc::clone(&request.body().0);
    let call = CallInfo::get_or_insert(Side::Server, request.extensions_mut());
    let service = layer.layer(inner.clone());
    let response = service.oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    drop(body);
    assert_eq!(polls.load(Ordering::SeqCst), 0, "the body was read before it was decided");
    let status = Status::from_header_map(&head.headers);
    Called {
        http: head.status,
        code: status.as_ref().map_or(Code::Ok, Status::code),
        message: status.as_ref().map(|status| status.message().to_owned()).unwrap_or_default(),
        info: status.as_ref().and_then(StatusExt::get_details_error_info),
        retry_after: status
            .and_then(|status| status.get_details_retry_info())
            .and_then(|info| info.retry_delay),
        headers: head.headers,
        refusals: call.refusals(),
        call,
        seen: inner.seen(),
    }
}

pub(crate) async fn call(
    layer: &AuthLayer,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Called {
    send(layer, request(path, headers)).await
}

pub(crate) async fn call_as(layer: &AuthLayer, path: &str, token: &str) -> Called {
    call(layer, path, &[("authorization", &format!("Bearer {token}"))]).await
}

/// Accepts a token `subject` or `subject.scope.scope…`; `bad…` is invalid, `expired…` is expired, and `unknown…`
/// cannot be verified.
pub(crate) fn by_token(call: &Incoming<'_>) -> Result<Option<Identity>, Failure> {
    let Some(token) = call.bearer()? else { return Ok(None) };
    let invalid =
        |reason, received| Failure::new(reason, "token").expected("good").received(received);
    match token {
        _ if token.starts_with("bad") => Err(invalid(Reason::TokenInvalid, "of another issuer")),
        _ if token.starts_with("expired") => Err(invalid(Reason::TokenExpired, "yesterday")),
        _ if token.starts_with("unknown") => {
            Err(Failure::new(Reason::VerifierUnavailable, "keys").expected("some").received("none"))
        }
        _ if token.starts_with("limited") => Err(Failure::new(Reason::RateLimited, "failures")),
        _ => {
            let mut words = token.split('.');
            let subject = words.next().unwrap();
            Ok(Some(
                Identity::new("token")
                    .with_subject(subject)
                    .with_issuer("https://id.example")
                    .with_scopes(words.map(|word| word.replace('_', "."))),
            ))
        }
    }
}

pub(crate) fn builder() -> AuthBuilder {
    AuthLayer::new(tonic_auth_layer::authenticate_fn(by_token))
}

/// A clock that follows tokio's clock, which tests pause.
pub(crate) fn clock() -> (WallClock, SystemTime) {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let began = Instant::now();
    (WallClock::new(move || start + began.elapsed()), start)
}

/// Like a `Channel`: a clone is not ready even if the original is.
pub(crate) struct MustBeReady(pub(crate) bool);

impl Clone for MustBeReady {
    fn clone(&self) -> Self {
        Self(false)
    }
}

impl Service<Request<tonic::body::Body>> for MustBeReady {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0 = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        assert!(std::mem::replace(&mut self.0, false), "it was not ready");
        ready(Ok(Script::new().respond()))
    }
}

/// Calls a service several times, each time on the instance that is ready.
pub(crate) async fn calls_what_was_ready<S>(mut service: S)
where
    S: Service<Request<Untouched>, Error = Infallible>,
{
    for _ in 0..3 {
        let mut begun = Vec::new();
        for request in [request(UNARY, &[]), request(UNARY, &[])] {
            begun.push(service.ready().await.unwrap().call(request));
        }
        for response in begun {
            assert!(response.await.is_ok());
        }
    }
}
