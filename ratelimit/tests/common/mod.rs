//! Shared by the tests: a paused clock, a service that counts calls, and requests that must not be read.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tonic_call::{CallInfo, Refusal, Side};
use tonic_call_test_kit::Script;
pub(crate) use tonic_call_test_kit::{Lines, Untouched, methods};
use tonic_ratelimit_layer::{Clock, RateLimitLayer};
use tonic_types::{ErrorDetails, StatusExt};
use tower::{Layer as _, Service};

pub(crate) const UNARY: &str = "/test.v1.Kinds/Unary";
pub(crate) const PEEK: &str = "/test.v1.Kinds/Peek";

/// A clock that tests advance.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn clock(&self) -> Clock {
        let hand = Arc::clone(&self.0);
        Clock::new(move || Duration::from_nanos(hand.load(Ordering::SeqCst)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn set(&self, nanoseconds: u64) {
        self.0.store(nanoseconds, Ordering::SeqCst);
    }
}

/// A service that responds with a message and `OK`, and counts the calls that reach it.
#[derive(Clone, Default)]
pub(crate) struct Inner(pub(crate) Arc<AtomicUsize>);

impl Service<Request<tonic::body::Body>> for Inner {
    type Response = Response<Script>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Script>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<tonic::body::Body>) -> Self::Future {
        self.0.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Script::new().message(b"hi").trailers(Code::Ok).respond()))
    }
}

/// A call and its caller.
#[derive(Clone, Debug)]
pub(crate) struct Who<'a> {
    pub(crate) path: &'a str,
    pub(crate) peer: Option<&'a str>,
    pub(crate) principal: Option<&'a str>,
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) content_type: Option<&'a str>,
}

impl Default for Who<'_> {
    fn default() -> Self {
        Self {
            path: UNARY,
            peer: None,
            principal: None,
            headers: &[],
            content_type: Some("application/grpc"),
        }
    }
}

pub(crate) fn path(path: &str) -> Who<'_> {
    Who { path, ..Who::default() }
}

pub(crate) fn peer(peer: &str) -> Who<'_> {
    Who { peer: Some(peer), ..Who::default() }
}

pub(crate) fn principal(principal: &str) -> Who<'_> {
    Who { principal: Some(principal), ..Who::default() }
}

pub(crate) fn metadata<'a>(headers: &'a [(&'static str, &'a str)]) -> Who<'a> {
    Who { headers, ..Who::default() }
}

impl Who<'_> {
    pub(crate) fn request(&self) -> Request<Untouched> {
        let mut request = Request::post(self.path).body(Untouched::default()).unwrap();
        if let Some(kind) = self.content_type {
            request.headers_mut().insert("content-type", kind.parse().unwrap());
        }
        for (name, value) in self.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append(*name, value);
        }
        let extensions = request.extensions_mut();
        let info = CallInfo::get_or_insert(Side::Server, extensions);
        if let Some(principal) = self.principal {
            info.set_principal(principal);
        }
        if let Some(peer) = self.peer {
            let remote_addr = Some(SocketAddr::new(peer.parse().unwrap(), 4_711));
            extensions.insert(TcpConnectInfo { local_addr: None, remote_addr });
        }
        request
    }
}

/// The result of a call.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) http: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) details: ErrorDetails,
    /// The refusals that the layer reported.
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) info: CallInfo,
    pub(crate) came_through: bool,
}

impl Called {
    pub(crate) fn reason(&self) -> &str {
        self.details.error_info().map_or("", |info| &info.reason)
    }

    /// The delay in `RetryInfo`.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.details.retry_info().map(|info| info.retry_delay.expect("a `RetryInfo` has a time"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn field(&self, key: &str) -> Option<String> {
        let fields = self.info.fields();
        let (_, value) = fields.into_iter().find(|(present, _)| present == key)?;
        Some(format!("{value:?}"))
    }

    #[track_caller]
    pub(crate) fn passed(&self) {
        assert!(self.came_through && self.code == Code::Ok, "{self:?}");
    }

    /// Asserts that it was refused before the service, with that code and reason.
    #[track_caller]
    pub(crate) fn is_refused(&self, code: Code, reason: &'static str) {
        assert_eq!((self.code, self.reason()), (code, reason), "{self:?}");
        assert!(!self.came_through, "it reached the service: {self:?}");
        let refusals: Vec<_> = self.refusals.iter().filter(|refusal| !refusal.shadow).collect();
        assert_eq!(refusals, [&Refusal::new("ratelimit", reason)]);
    }

    /// Asserts that a quota refused it, with that wait.
    #[track_caller]
    pub(crate) fn is_limited_for(&self, wait: Duration) {
        self.is_refused(Code::ResourceExhausted, "RATE_LIMITED");
        assert_eq!(self.wait(), Some(wait));
    }
}

/// The output of a future that must be ready at the first poll.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match std::pin::pin!(future).poll(&mut Context::from_waker(std::task::Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it is pending"),
    }
}

/// Makes a call through a layer, and drops its response. The layer does not read the body.
pub(crate) fn send(layer: &RateLimitLayer, request: Request<Untouched>) -> Called {
    let inner = Inner::default();
    let polls = Arc::clone(&request.body().0);
    let info = CallInfo::of(request.extensions()).unwrap().clone();
    let response = now(layer.layer(inner.clone()).call(request)).unwrap();
    let (head, body) = response.into_parts();
    if inner.0.load(Ordering::SeqCst) == 0 {
        assert!(http_body::Body::is_end_stream(&body), "it is not trailers-only");
    }
    drop(body);
    assert_eq!(polls.load(Ordering::SeqCst), 0, "the body was read");
    let status = Status::from_header_map(&head.headers).unwrap_or_else(|| Status::ok(""));
    Called {
        http: head.status,
        code: status.code(),
        message: status.message().to_owned(),
        details: status.get_error_details(),
        headers: head.headers,
        refusals: info.refusals(),
        info,
        came_through: inner.0.load(Ordering::SeqCst) == 1,
    }
}

/// Whether a call passes; everything else is ignored.
pub(crate) fn came_through(layer: &RateLimitLayer, from: &Who<'_>) -> bool {
    let response = now(layer.layer(Inner::default()).call(from.request())).unwrap();
    !response.headers().contains_key("grpc-status")
}

pub(crate) fn call(layer: &RateLimitLayer, from: &Who<'_>) -> Called {
    send(layer, from.request())
}

/// How many calls pass one after the other, without advancing the clock.
pub(crate) fn passes(layer: &RateLimitLayer, from: &Who<'_>) -> usize {
    (0..10_000).take_while(|_| came_through(layer, from)).count()
}
