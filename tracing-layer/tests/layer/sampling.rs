//! The input of a sampler, and calls without a span or with a span that is not recorded.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::SystemTime;

use allocation_counter::measure;
use http::{HeaderMap, Request};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, Tracer as _,
    TracerProvider as _,
};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::{Code, Status};
use tonic_call::{Call, CallInfo, End, MethodKind, ObserveLayer, Observer, Rpc, Side};
use tonic_call_test_kit::{KINDS, Script, method_of};
use tonic_tracing_layer::{Conventions, TracingLayer, current_trace_id};
use tower::{Layer, Service, service_fn};

use crate::common::*;

const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00";

/// What an inner service observed, for each call.
#[derive(Clone, Debug, Default)]
struct Found(Arc<Mutex<Vec<Finding>>>);

#[derive(Debug)]
struct Finding {
    /// The current span in the service's call, in its future, and in its response body.
    current: [SpanContext; 3],
    headers: HeaderMap,
    info: Option<CallInfo>,
}

fn current() -> SpanContext {
    Context::map_current(|context| context.span().span_context().clone())
}

/// A body that records the current span when it is polled.
struct Looking(Option<Box<dyn FnOnce(SpanContext) + Send>>);

impl http_body::Body for Looking {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
        let Some(look) = self.0.take() else { return Poll::Ready(None) };
        look(current());
        let trailers = Status::ok("").into_http::<()>().headers().clone();
        Poll::Ready(Some(Ok(http_body::Frame::trailers(trailers))))
    }
}

impl Found {
    /// Makes a call through this layer; returns what the service observed.
    async fn by(layer: &TracingLayer, request: Request<Script>) -> Finding {
        let found = Self::default();
        let all = found.clone();
        let service = service_fn(move |request: Request<Body>| {
            let (in_call, all) = (current(), all.clone());
            async move {
                let in_future = current();
                let headers = request.headers().clone();
                let info = CallInfo::of(request.extensions()).cloned();
                let look = move |in_body| {
                    let current = [in_call, in_future, in_body];
                    all.0.lock().unwrap().push(Finding { current, headers, info });
                };
                let mut response = http::Response::new(Looking(Some(Box::new(look))));
                let grpc = "application/grpc".parse().unwrap();
                response.headers_mut().insert("content-type", grpc);
                Ok::<_, Infallible>(response)
            }
        });
        run(layer.layer(service), request).await;
        found.0.lock().unwrap().pop().unwrap()
    }
}

impl Finding {
    /// The current span. Asserts that it is the same in all three places.
    #[track_caller]
    fn span(&self) -> &SpanContext {
        assert_eq!(self.current[0], self.current[1]);
        assert_eq!(self.current[0], self.current[2]);
        &self.current[0]
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn asking(samples: bool) -> (Traces, Asking) {
    let sampler = Asking::samples(samples);
    (Traces::sampled_by(sampler.clone()), sampler)
}

fn map(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

#[tokio::test]
async fn a_sampler_is_given_all_that_it_needs_and_all_of_it_before_the_call() {
    let old = |address: &'static str, port: i64| {
        vec![
            ("rpc.system", "grpc".into()),
            ("rpc.service", "test.v1.Kinds".into()),
            ("rpc.method", "ServerStream".into()),
            ("server.address", address.into()),
            ("server.port", port.into()),
        ]
    };
    let new = |address: &'static str, port: i64| {
        vec![
            ("rpc.system.name", "grpc".into()),
            ("rpc.method", "test.v1.Kinds/ServerStream".into()),
            ("server.address", address.into()),
            ("server.port", Value::from(port)),
        ]
    };
    for samples in [false, true] {
        for (side, kind, address, port) in [
            (Side::Server, SpanKind::Server, "orders.example", 8443),
            (Side::Client, SpanKind::Client, "orders.svc", 8080),
        ] {
            let both: Vec<_> = old(address, port).into_iter().chain(new(address, port)).collect();
            for (conventions, expected) in [
                (Conventions::Old, old(address, port)),
                (Conventions::Released, new(address, port)),
                (Conventions::Next, new(address, port)),
                (Conventions::OldAndReleased, both),
            ] {
                let (traces, sampler) = asking(samples);
                let layer = traces.described(side).conventions(conventions);
                let request = to("https://orders.example:8443/test.v1.Kinds/ServerStream");
                call_well(&layer, with(request, &[("traceparent", TRACEPARENT)])).await;
                let asked = sampler.take_only();
                assert_eq!(asked.name, "test.v1.Kinds/ServerStream");
                assert_eq!(asked.kind, kind);
                assert_eq!(asked.attributes, map(&expected), "{side:?} {conventions:?}");
                assert!(asked.links.is_empty());
                if side == Side::Server {
                    assert_eq!(asked.parent.trace_id().to_string(), TRACE);
                    assert_eq!(asked.parent.span_id().to_string(), PARENT);
                    assert!(asked.parent.is_remote() && asked.parent.is_sampled());
                    assert_eq!(asked.trace.to_string(), TRACE);
                } else {
                    // Headers that the program itself set are not used as the parent.
                    assert!(!asked.parent.is_valid());
                }
            }
        }
    }
}

#[tokio::test]
async fn the_span_that_is_current_is_the_parent_where_the_caller_names_none() {
    for side in SIDES {
        let (traces, sampler) = asking(true);
        let around = traces.provider().tracer("test").start("around");
        let around = Context::new().with_span(around);
        sampler.take();
        let guard = around.clone().attach();
        // Everything runs in one poll, so that no context is attached across an `await`.
        let mut service = traces.described(side).layer(refuses(|| Ok(stream(0, &Status::ok("")))));
        let mut future = Box::pin(service.call(to_kind(MethodKind::Unary)));
        drop(guard);
        assert!(poll_once(future.as_mut()).is_ready());
        let asked = sampler.take_only();
        assert_eq!(&asked.parent, around.span().span_context(), "{side:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_sampled_is_current_and_says_so_to_the_next() {
    for side in SIDES {
        let traces = Traces::sampled_by(Sampler::AlwaysOff);
        let layer = traces.described(side).return_trace_id("x-trace-id".parse().unwrap());
        let found = Found::by(&layer, to_kind(MethodKind::Unary)).await;
        traces.none();
        let span = found.span();
        assert!(span.is_valid() && !span.is_sampled() && !span.is_remote(), "{span:?}");
        let ids = found.info.as_ref().unwrap().trace().unwrap();
        assert_eq!(ids.trace_id(), u128::from_be_bytes(span.trace_id().to_bytes()));
        assert_eq!(ids.span_id(), u64::from_be_bytes(span.span_id().to_bytes()));
        let sent = found.header("traceparent").map(str::to_owned);
        let expected = format!("00-{}-{}-00", span.trace_id(), span.span_id());
        assert_eq!(sent, (side == Side::Client).then_some(expected), "{side:?}");
    }
}

#[tokio::test]
async fn a_callers_trace_that_is_not_sampled_goes_on_unsampled() {
    let traces = Traces::new();
    let request = with(to_kind(MethodKind::Unary), &[("traceparent", UNSAMPLED)]);
    let found = Found::by(&traces.described(Side::Server), request).await;
    traces.none();
    let span = found.span();
    assert_eq!(span.trace_id().to_string(), TRACE);
    assert_ne!(span.span_id().to_string(), PARENT, "the call has a span of its own");
    assert!(!span.is_sampled());
}

#[tokio::test]
async fn a_sampled_call_is_current_too() {
    for side in SIDES {
        let traces = Traces::new();
        let found = Found::by(&traces.described(side), to_kind(MethodKind::Unary)).await;
        assert_eq!(found.span(), &traces.only().span_context);
        assert!(found.span().is_sampled());
        assert_eq!(current(), SpanContext::empty_context(), "and not longer than the call");
    }
}

#[tokio::test]
async fn a_filtered_call_is_not_touched() {
    for side in SIDES {
        let (traces, sampler) = asking(true);
        let asked_of = Arc::new(Mutex::new(Vec::new()));
        let asked = asked_of.clone();
        let layer = traces.described(side).return_trace_id("x-trace-id".parse().unwrap()).filter(
            move |rpc, head| {
                let tenant = head.headers.get("x-tenant").cloned();
                asked.lock().unwrap().push((rpc.full().to_owned(), rpc.known().is_some(), tenant));
                rpc.method() != "Unary"
            },
        );
        let headers = [("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("baggage", "b=2")];
        let request = with(with(to_kind(MethodKind::Unary), &headers), &[("x-tenant", "blue")]);
        let before = request.headers().clone();
        let found = Found::by(&layer, request).await;
        assert_eq!(found.span(), &SpanContext::empty_context());
        assert_eq!(found.headers, before);
        assert!(found.info.is_none());
        traces.none();
        assert!(sampler.take().is_empty());
        let answer =
            call(&layer, to_kind(MethodKind::Unary), || Ok(stream(0, &Status::ok("")))).await;
        assert!(!answer.unwrap().headers().contains_key("x-trace-id"));
        let tenant = Some("blue".parse().unwrap());
        let unary = method_of(MethodKind::Unary).to_owned();
        assert_eq!(*asked_of.lock().unwrap(), [(unary.clone(), true, tenant), (unary, true, None)]);

        // All other calls have spans.
        call_well(&layer, to_kind(MethodKind::ServerStream)).await;
        assert_eq!(traces.only().name, method_of(MethodKind::ServerStream));
    }
}

const INFRASTRUCTURE: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

#[tokio::test]
async fn health_and_reflection_have_no_spans_unless_they_are_asked_for() {
    for side in SIDES {
        let (traces, sampler) = asking(true);
        for path in INFRASTRUCTURE {
            let request = with(to(path), &[("traceparent", TRACEPARENT)]);
            let found = Found::by(&traces.layer(side), request).await;
            assert_eq!(found.span(), &SpanContext::empty_context());
            assert!(found.info.is_none());
            // They have no spans even if they fail.
            call(&traces.layer(side), to(path), || Err(Status::internal(""))).await;
        }
        traces.none();
        assert!(sampler.take().is_empty());

        for path in INFRASTRUCTURE {
            call_well(&traces.layer(side).include_infrastructure(), to(path)).await;
            assert_eq!(format!("/{}", traces.take_only().name), path);
        }
        // A filter still applies.
        let layer = traces.layer(side).include_infrastructure().filter(|rpc, _| !rpc.is_health());
        for path in INFRASTRUCTURE {
            call_well(&layer, to(path)).await;
        }
        assert_eq!(traces.spans().len(), 2);
    }
}

/// Requests that are not gRPC, like other routes in an axum router.
#[tokio::test]
async fn what_is_none_of_grpcs_has_no_span_on_a_server() {
    let (traces, sampler) = asking(true);
    let headers = [("content-type", "application/json"), ("traceparent", TRACEPARENT)];
    call(&traces.server(), with(to("/orders"), &headers), || {
        let page = http::Response::builder().header("content-type", "text/html");
        Ok(page.body(Script::new().data("<html>".into())).unwrap())
    })
    .await;
    traces.none();
    assert!(sampler.take().is_empty());
}

/// tonic runs a method for any content type; the response shows that the request was a gRPC call.
#[tokio::test]
async fn what_is_answered_as_grpc_has_a_span_from_its_request_on() {
    let (traces, _) = asking(true);
    let headers = [("content-type", "text/plain"), ("traceparent", TRACEPARENT)];
    let began = SystemTime::now();
    let request = with(to_kind(MethodKind::Unary), &headers);
    call(&traces.server(), request, || Ok(stream(1, &Status::ok("")))).await;
    let span = traces.only();
    assert_eq!(span.name, method_of(MethodKind::Unary));
    assert_eq!(span.span_context.trace_id().to_string(), TRACEPARENT[3..35]);
    assert!((began..=span.end_time).contains(&span.start_time));
}

#[tokio::test]
async fn where_telemetry_is_suppressed_there_is_no_span() {
    for side in SIDES {
        let (traces, sampler) = asking(true);
        let layer = traces.described(side);
        let mut service = layer.layer(refuses(|| {
            assert!(Context::is_current_telemetry_suppressed());
            assert_eq!(current_trace_id(), None);
            Ok(stream(0, &Status::ok("")))
        }));
        // Like an exporter whose client has this layer.
        let suppressed = Context::enter_telemetry_suppressed_scope();
        let request = with(to_kind(MethodKind::Unary), &[("traceparent", TRACEPARENT)]);
        let mut future = Box::pin(service.call(request));
        let polled = poll_once(future.as_mut());
        drop(suppressed);
        let Poll::Ready(response) = polled else { panic!("answers at once") };
        drain(response.unwrap().into_body()).await;
        traces.none();
        assert!(sampler.take().is_empty());

        call_well(&layer, to_kind(MethodKind::Unary)).await;
        traces.only();
    }
}

#[tokio::test]
async fn after_its_provider_was_shut_down_a_callers_trace_is_still_current() {
    let traces = Traces::new();
    let layer = traces.described(Side::Server);
    call_well(&layer, to_kind(MethodKind::Unary)).await;
    traces.take_only();
    traces.provider().shutdown().unwrap();
    let request = with(to_kind(MethodKind::Unary), &[("traceparent", TRACEPARENT)]);
    let found = Found::by(&layer, request).await;
    traces.none();
    assert_eq!(found.span().trace_id().to_string(), TRACE);
    assert_eq!(found.span().span_id().to_string(), PARENT);
}

#[tokio::test]
async fn after_its_provider_was_shut_down_a_client_still_names_the_span_around_it() {
    let traces = Traces::new();
    let layer = traces.described(Side::Client);
    traces.provider().shutdown().unwrap();
    let around = SpanContext::new(
        opentelemetry::trace::TraceId::from_hex(TRACE).unwrap(),
        SpanId::from_hex(PARENT).unwrap(),
        TraceFlags::SAMPLED,
        true,
        opentelemetry::trace::TraceState::default(),
    );
    let sent = Arc::new(Mutex::new(None));
    let seen = sent.clone();
    let mut service = layer.layer(service_fn(move |request: Request<Body>| {
        *seen.lock().unwrap() = request.headers().get("traceparent").cloned();
        ready(Ok::<_, Infallible>(stream(0, &Status::ok(""))))
    }));
    let attached = Context::new().with_remote_span_context(around).attach();
    let future = service.call(to_kind(MethodKind::Unary));
    drop(attached);
    drain(future.await.unwrap().into_body()).await;
    assert_eq!(sent.lock().unwrap().as_ref().unwrap(), TRACEPARENT);
}

// Cost.

/// An observer that is not interested in any call.
#[derive(Clone)]
struct NoInterest;

impl Observer for NoInterest {
    type Call = Self;

    fn begin(&self, _: Side, _: &Rpc, _: &mut http::request::Parts) -> Option<Self> {
        None
    }
}

impl Call for NoInterest {
    fn end(&self, _: End<'_>) {}
}

/// The allocations of a call of a known method, after the first call.
fn allocations<L>(layer: &L, headers: &[(&'static str, &'static str)]) -> u64
where
    L: Layer<Answering, Service: Service<Request<Script>, Response: Bodied>>,
{
    fn one_call<S>(mut service: S, request: Request<Script>) -> u64
    where
        S: Service<Request<Script>, Response: Bodied>,
    {
        let cx = &mut TaskContext::from_waker(Waker::noop());
        let counted = measure(|| {
            let Poll::Ready(Ok(response)) = std::pin::pin!(service.call(request)).poll(cx) else {
                panic!("answers at once")
            };
            response.read();
        });
        counted.count_total
    }

    let request = || {
        let mut request = with(to("http://orders.svc:1/test.v1.Kinds/ServerStream"), headers);
        let remote_addr = Some("192.0.2.1:4711".parse().unwrap());
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        request
    };
    one_call(layer.layer(Answering), request());
    one_call(layer.layer(Answering), request())
}

/// A response with a body that is ready.
trait Bodied {
    fn read(self);
}

impl<B: http_body::Body> Bodied for http::Response<B> {
    fn read(self) {
        let cx = &mut TaskContext::from_waker(Waker::noop());
        let mut body = std::pin::pin!(self.into_body());
        while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(cx) {}
    }
}

/// Answers with ten messages and some metadata.
#[derive(Clone)]
struct Answering;

impl Service<Request<Body>> for Answering {
    type Response = http::Response<Script>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let mut response = Script::new().messages(10).trailers(Code::DataLoss).respond();
        response.headers_mut().insert("x-region", http::HeaderValue::from_static("eu"));
        ready(Ok(response))
    }
}

const METADATA: [(&str, &str); 3] =
    [("x-tenant", "blue"), ("grpc-previous-rpc-attempts", "1"), ("x-other", "text")];

#[test]
fn a_call_without_a_span_costs_what_one_of_no_interest_does() {
    for side in SIDES {
        let bare = match side {
            Side::Server => ObserveLayer::server(NoInterest),
            Side::Client => ObserveLayer::client(NoInterest),
        };
        let bare = allocations(&bare, &METADATA);
        let traces = Traces::new();
        let filtered = traces
            .described(side)
            .request_metadata(["x-tenant"])
            .return_trace_id("x-trace-id".parse().unwrap())
            .filter(|_, _| false);
        assert_eq!(allocations(&filtered, &METADATA), bare, "{side:?}");
        let layer = traces.described(side);
        let suppressed = Context::enter_telemetry_suppressed_scope();
        assert_eq!(allocations(&layer, &METADATA), bare, "{side:?}");
        drop(suppressed);
        traces.none();
    }
}

#[test]
fn a_call_that_is_not_sampled_makes_no_attribute_but_what_the_sampler_is_given() {
    for side in SIDES {
        // Recorded spans are not exported: the export would cost more than everything else.
        let plain = |sampler: Sampler| {
            let provider = SdkTracerProvider::builder().with_sampler(sampler).build();
            Traces::new().described(side).with_tracer_provider(&provider)
        };
        let full = |sampler: Sampler| {
            plain(sampler).request_metadata(["x-tenant", "x-other"]).response_metadata(["x-region"])
        };
        let unwatched = match side {
            Side::Server => allocations(&ObserveLayer::server(NoInterest), &METADATA),
            Side::Client => allocations(&ObserveLayer::client(NoInterest), &METADATA),
        };
        let added = |layer: &TracingLayer| allocations(layer, &METADATA) - unwatched;
        // Metadata and attempts make no difference, because they are not recorded.
        let off = added(&plain(Sampler::AlwaysOff));
        assert_eq!(added(&full(Sampler::AlwaysOff)), off, "{side:?}");
        let on = [added(&plain(Sampler::AlwaysOn)), added(&full(Sampler::AlwaysOn))];
        // What recording adds without metadata needs no memory, but for the address of a server's peer.
        let of_peer = u64::from(side == Side::Server);
        assert_eq!(on[0], off + of_peer, "{side:?}");
        assert!(on[0] < on[1], "which this would see: {off} of {on:?}");
        assert!(2 * off < on[1], "{side:?}: {off} of {on:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_recorded_and_not_sampled_is_told_in_full() {
    // `RecordOnly` spans go to processors, but not to exporters.
    #[derive(Clone, Debug)]
    struct RecordOnly;
    impl opentelemetry_sdk::trace::ShouldSample for RecordOnly {
        fn should_sample(
            &self,
            _: Option<&Context>,
            _: opentelemetry::trace::TraceId,
            _: &str,
            _: &SpanKind,
            _: &[opentelemetry::KeyValue],
            _: &[opentelemetry::trace::Link],
        ) -> opentelemetry_sdk::trace::SamplingResult {
            opentelemetry_sdk::trace::SamplingResult {
                decision: opentelemetry_sdk::trace::SamplingDecision::RecordOnly,
                attributes: vec![],
                trace_state: opentelemetry::trace::TraceState::default(),
            }
        }
    }
    #[derive(Clone, Debug, Default)]
    struct Keeps(Arc<Mutex<Vec<opentelemetry_sdk::trace::SpanData>>>);
    impl opentelemetry_sdk::trace::SpanProcessor for Keeps {
        fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &Context) {}
        fn on_end(&self, span: opentelemetry_sdk::trace::SpanData) {
            self.0.lock().unwrap().push(span);
        }
        fn force_flush(&self) -> opentelemetry_sdk::error::OTelSdkResult {
            Ok(())
        }
        fn shutdown_with_timeout(
            &self,
            _: std::time::Duration,
        ) -> opentelemetry_sdk::error::OTelSdkResult {
            Ok(())
        }
    }
    let keeps = Keeps::default();
    let provider = SdkTracerProvider::builder()
        .with_sampler(RecordOnly)
        .with_span_processor(keeps.clone())
        .build();
    for kind in KINDS {
        let layer = TracingLayer::server()
            .with_tracer_provider(&provider)
            .conventions(Conventions::Released)
            .methods(&methods());
        call_well(&layer, to_kind(kind)).await;
        let span = keeps.0.lock().unwrap().pop().unwrap();
        assert!(!span.span_context.is_sampled());
        assert_eq!(keys(&span), ["rpc.method", "rpc.response.status_code", "rpc.system.name"]);
    }
}
