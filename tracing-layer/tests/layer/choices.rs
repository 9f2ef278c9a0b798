//! Settings: metadata on spans, trusted callers, trace ids for callers, server addresses.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{HeaderValue, Request};
use opentelemetry::baggage::BaggageExt as _;
use opentelemetry::trace::noop::NoopTracerProvider;
use opentelemetry::trace::{SpanContext, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SpanData};
use tonic::Status;
use tonic::body::Body;
use tonic::transport::server::TcpConnectInfo;
use tonic::transport::{Endpoint, Server};
use tonic_call::{CallInfo, MethodKind, MethodTable, Peer, Side, TraceIds};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, Script, listen, method_of};
use tonic_tracing_layer::{Target, TracingLayer, current_trace_id};
use tower::{Layer as _, Service as _, service_fn};

use crate::common::*;

fn unary() -> Request<Script> {
    to_kind(MethodKind::Unary)
}

fn well() -> Answer {
    Ok(stream(1, &Status::ok("")))
}

// Metadata.

/// A response with metadata in its head and different metadata in its trailers.
fn answer_with(
    head: &'static [(&'static str, &'static str)],
    trailers: &'static [(&'static str, &'static str)],
) -> impl Fn() -> Answer + Clone + Send + 'static {
    move || {
        let mut status = Status::ok("").into_http::<()>().headers().clone();
        for (name, value) in trailers {
            status.append(*name, HeaderValue::from_static(value));
        }
        let mut response = Script::new().messages(1).trailers_of(status).respond();
        for (name, value) in head {
            response.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        Ok(response)
    }
}

fn metadata_keys(span: &SpanData) -> Vec<String> {
    keys(span).into_iter().filter(|key| key.contains(".metadata.")).collect()
}

#[tokio::test]
async fn no_metadata_is_shown_unless_it_is_asked_for() {
    for side in SIDES {
        let traces = Traces::new();
        let request = with(unary(), &[("x-tenant", "blue"), ("user-agent", "test")]);
        let answer = answer_with(&[("x-region", "eu")], &[("x-cost", "3")]);
        call(&traces.described(side), request, answer).await;
        assert_eq!(metadata_keys(&traces.only()), [""; 0]);
    }
}

#[tokio::test]
async fn what_is_asked_for_is_shown_with_all_its_values() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces
            .described(side)
            .request_metadata(["X-Tenant", "x-absent", "x-with-dash.and_dot"])
            .response_metadata(["x-region", "x-cost"]);
        let request = with(
            unary(),
            &[
                ("x-tenant", "blue"),
                ("x-other", "no"),
                ("x-tenant", "green, red"),
                ("x-tenant", ""),
            ],
        );
        let request = with(request, &[("x-with-dash.and_dot", "1")]);
        let answer = answer_with(&[("x-region", "eu"), ("x-other", "no")], &[("x-cost", "3")]);
        call(&layer, request, answer).await;
        let span = traces.only();
        assert_eq!(
            metadata_keys(&span),
            [
                "rpc.request.metadata.x-tenant",
                "rpc.request.metadata.x-with-dash.and_dot",
                "rpc.response.metadata.x-cost",
                "rpc.response.metadata.x-region"
            ]
        );
        let tenants = texts(&span, "rpc.request.metadata.x-tenant").unwrap();
        assert_eq!(tenants, ["blue", "green, red", ""]);
        // A single value is also recorded as a list.
        assert_eq!(texts(&span, "rpc.response.metadata.x-region").unwrap(), ["eu"]);
        assert_eq!(texts(&span, "rpc.response.metadata.x-cost").unwrap(), ["3"]);
    }
}

#[tokio::test]
async fn what_may_hold_a_secret_is_never_shown() {
    let secrets = [
        "authorization",
        "Authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "x-token-bin",
        "grpc-status-details-bin",
    ];
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces
            .described(side)
            .request_metadata(secrets.into_iter().chain(["x-key"]))
            .response_metadata(secrets.into_iter().chain(["x-key"]));
        let mut request = unary();
        let mut sensitive = HeaderValue::from_static("s3cret");
        sensitive.set_sensitive(true);
        for secret in &secrets[..6] {
            request.headers_mut().append(*secret, HeaderValue::from_static("s3cret"));
        }
        request.headers_mut().append("x-key", sensitive.clone());
        call(&layer, request, move || {
            let status = Status::with_details(tonic::Code::Internal, "", "s3cret".into());
            let mut response = trailers_only(&status);
            response.headers_mut().insert("set-cookie", HeaderValue::from_static("s3cret"));
            response.headers_mut().insert("x-key", sensitive.clone());
            Ok(response)
        })
        .await;
        let span = traces.only();
        assert_eq!(metadata_keys(&span), [""; 0]);
        assert!(!format!("{span:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn of_a_name_in_both_head_and_trailers_the_head_is_shown() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces.described(side).response_metadata(["x-region", "x-cost"]);
        let answer = answer_with(&[("x-region", "eu")], &[("x-region", "us"), ("x-cost", "3")]);
        call(&layer, unary(), answer).await;
        let span = traces.only();
        assert_eq!(texts(&span, "rpc.response.metadata.x-region").unwrap(), ["eu"]);
        assert_eq!(texts(&span, "rpc.response.metadata.x-cost").unwrap(), ["3"]);
    }
}

#[tokio::test]
async fn metadata_of_an_answer_that_is_nothing_but_a_head_is_shown_once() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces.described(side).response_metadata(["x-region"]);
        call(&layer, unary(), || {
            let mut response = trailers_only(&Status::not_found(""));
            response.headers_mut().insert("x-region", HeaderValue::from_static("eu"));
            Ok(response)
        })
        .await;
        assert_eq!(texts(&traces.only(), "rpc.response.metadata.x-region").unwrap(), ["eu"]);
    }
}

#[tokio::test]
async fn metadata_of_a_call_that_is_dropped_is_that_of_its_head() {
    for side in SIDES {
        let traces = Traces::new();
        let layer = traces.described(side).response_metadata(["x-region"]);
        let mut service = layer.layer(answers(answer_with(&[("x-region", "eu")], &[])));
        drop(service.call(unary()).await.unwrap());
        let span = traces.only();
        assert_eq!(code(&span), "CANCELLED");
        assert_eq!(texts(&span, "rpc.response.metadata.x-region").unwrap(), ["eu"]);
    }
}

#[tokio::test]
async fn values_are_bounded_and_show_what_is_not_printable() {
    let traces = Traces::new();
    let layer = traces.described(Side::Server).request_metadata(["x-tenant"]);
    let long = [b"a\tb\xff".to_vec(), vec![b'x'; 6_000]].concat();
    call_well(&layer, with(unary(), &[("x-tenant", &long)])).await;
    let shown = texts(&traces.only(), "rpc.request.metadata.x-tenant").unwrap().remove(0);
    assert!(shown.starts_with("a\\tb\\xffxxx"), "{shown}");
    assert!(shown.len() <= tonic_call::MAX_TEXT_BYTES, "{}", shown.len());
}

// Trace ids for callers.

const TRACE_ID: &str = "x-trace-id";

fn telling(layer: TracingLayer) -> TracingLayer {
    layer.return_trace_id(TRACE_ID.parse().unwrap())
}

#[tokio::test]
async fn callers_are_told_nothing_unless_that_is_chosen() {
    let traces = Traces::new();
    let head = call(&traces.described(Side::Server), unary(), well).await.unwrap();
    assert_eq!(head.headers().len(), 1, "its content type: {:?}", head.headers());
}

#[tokio::test]
async fn a_caller_can_be_told_the_trace_of_its_call() {
    type Answers = fn() -> Answer;
    let answers_of: [Answers; 2] = [well, || Ok(trailers_only(&Status::not_found("")))];
    for answer in answers_of {
        let traces = Traces::new();
        let layer = telling(traces.described(Side::Server));
        for sent in [None, Some(TRACEPARENT)] {
            let sent: Vec<_> = sent.map(|sent| ("traceparent", sent)).into_iter().collect();
            let head = call(&layer, with(unary(), &sent), answer).await.unwrap();
            let told = head.headers()[TRACE_ID].to_str().unwrap();
            assert_eq!(told, trace_id(&traces.take_only()));
            assert_eq!(told.len(), 32);
            assert!(sent.is_empty() || told == TRACE);
        }
    }
}

#[tokio::test]
async fn a_trace_that_a_service_told_itself_stays() {
    let traces = Traces::new();
    let answer = answer_with(&[(TRACE_ID, "mine")], &[]);
    let head = call(&telling(traces.described(Side::Server)), unary(), answer).await.unwrap();
    let told: Vec<_> = head.headers().get_all(TRACE_ID).iter().collect();
    assert_eq!(told, ["mine"]);
}

#[tokio::test]
async fn the_trace_of_a_call_that_is_not_sampled_is_told_too() {
    let traces = Traces::sampled_by(Sampler::AlwaysOff);
    let request = with(unary(), &[("traceparent", TRACEPARENT)]);
    let head = call(&telling(traces.described(Side::Server)), request, well).await.unwrap();
    assert_eq!(head.headers()[TRACE_ID], TRACE);
}

#[tokio::test]
async fn at_a_public_endpoint_the_trace_that_is_told_is_the_new_one() {
    let traces = Traces::new();
    let layer = telling(traces.described(Side::Server)).public_endpoint();
    let request = with(unary(), &[("traceparent", TRACEPARENT)]);
    let head = call(&layer, request, well).await.unwrap();
    let told = head.headers()[TRACE_ID].to_str().unwrap();
    assert_eq!(told, trace_id(&traces.only()));
    assert_ne!(told, TRACE);
}

/// The trace that a handler sees.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<Sight>>>);

#[derive(Clone, Debug)]
struct Sight {
    trace_id: Option<String>,
    info: Option<TraceIds>,
    span: SpanContext,
    baggage: Vec<(String, String)>,
}

impl Seen {
    /// Makes a call through this layer; returns what its handler sees.
    async fn by(layer: &TracingLayer, request: Request<Script>) -> Sight {
        let seen = Self::default();
        let all = seen.clone();
        let service = service_fn(move |request: Request<Body>| {
            let all = all.clone();
            async move {
                let context = Context::current();
                let baggage = context.baggage().into_iter();
                let mut baggage: Vec<_> =
                    baggage.map(|(key, (value, _))| (key.to_string(), value.to_string())).collect();
                baggage.sort();
                all.0.lock().unwrap().push(Sight {
                    trace_id: current_trace_id().map(|id| id.to_string()),
                    info: CallInfo::of(request.extensions()).and_then(CallInfo::trace),
                    span: context.span().span_context().clone(),
                    baggage,
                });
                Ok::<_, Infallible>(stream(1, &Status::ok("")))
            }
        });
        run(layer.layer(service), request).await;
        let mut all = seen.0.lock().unwrap();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }
}

#[tokio::test]
async fn code_in_a_call_can_ask_for_its_trace() {
    assert_eq!(current_trace_id(), None);
    for side in SIDES {
        let traces = Traces::new();
        let sight = Seen::by(&traces.described(side), unary()).await;
        assert_eq!(sight.trace_id, Some(trace_id(&traces.only())));
        assert_eq!(current_trace_id(), None, "{side:?}");
    }
    // An excluded call has no trace either, even if its caller sent one.
    let layer = Traces::new().described(Side::Server).filter(|_, _| false);
    let request = with(unary(), &[("traceparent", TRACEPARENT)]);
    assert_eq!(Seen::by(&layer, request).await.trace_id, None);
}

#[tokio::test]
async fn without_a_provider_the_trace_of_a_call_is_its_callers() {
    let layer = TracingLayer::server().with_tracer_provider(&NoopTracerProvider::new());
    let sight = Seen::by(&telling(layer.clone()), from_a_stranger()).await;
    assert_eq!(sight.trace_id.as_deref(), Some(TRACE));
    assert_eq!(sight.span.span_id().to_string(), PARENT);
    assert_eq!(sight.baggage, [("role".to_owned(), "admin".to_owned())]);
    // The call itself has no span, so none is reported.
    assert_eq!(sight.info, None);
    let head = call(&telling(layer.clone()), from_a_stranger(), well).await.unwrap();
    assert!(!head.headers().contains_key(TRACE_ID));

    let sight = Seen::by(&layer, unary()).await;
    assert_eq!((sight.trace_id, sight.info), (None, None));
    let sight = Seen::by(&layer.public_endpoint(), from_a_stranger()).await;
    assert_eq!((sight.trace_id, sight.info, sight.baggage), (None, None, vec![]));
}

#[tokio::test]
async fn layers_are_told_which_span_is_the_calls() {
    for side in SIDES {
        let traces = Traces::new();
        let info = Seen::by(&traces.described(side), unary()).await.info.unwrap();
        let span = traces.only();
        assert_eq!(format!("{:032x}", info.trace_id()), trace_id(&span));
        assert_eq!(format!("{:016x}", info.span_id()), span_id(&span));
    }
}

/// A handler that forwards its request with its extensions.
#[tokio::test]
async fn a_call_made_in_a_call_has_a_span_of_its_own_which_hangs_on_it() {
    let traces = Traces::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let inner_seen = seen.clone();
    let inner = traces.described(Side::Client).layer(service_fn(move |request: Request<Body>| {
        let info = CallInfo::of(request.extensions()).and_then(CallInfo::trace);
        inner_seen.lock().unwrap().push(info);
        std::future::ready(well())
    }));
    let outer_seen = seen.clone();
    let outer = traces.described(Side::Server).layer(service_fn(move |request: Request<Body>| {
        let info = CallInfo::of(request.extensions()).and_then(CallInfo::trace);
        outer_seen.lock().unwrap().push(info);
        inner.clone().call(request)
    }));
    run(outer, unary()).await;
    let spans = traces.spans();
    let [client, server] = &spans[..] else { panic!("two, not {spans:#?}") };
    assert_eq!(client.parent_span_id, server.span_context.span_id());
    let ids = |span: &SpanData| {
        let trace = u128::from_be_bytes(span.span_context.trace_id().to_bytes());
        TraceIds::new(trace, u64::from_be_bytes(span.span_context.span_id().to_bytes()))
    };
    assert_eq!(*seen.lock().unwrap(), [ids(server), ids(client)]);
}

// Trusted callers.

/// A request with the caller's trace and baggage.
fn from_a_stranger() -> Request<Script> {
    with(unary(), &[("traceparent", TRACEPARENT), ("tracestate", "a=1"), ("baggage", "role=admin")])
}

#[track_caller]
fn assert_believed(span: &SpanData, sight: &Sight) {
    assert_eq!(trace_id(span), TRACE);
    assert_eq!(span.parent_span_id.to_string(), PARENT);
    assert!(span.links.links.is_empty());
    assert_eq!(sight.baggage, [("role".to_owned(), "admin".to_owned())]);
}

#[track_caller]
fn assert_not_believed(span: &SpanData, sight: &Sight) {
    assert_ne!(trace_id(span), TRACE);
    assert_eq!(span.parent_span_id.to_string(), "0000000000000000");
    assert!(!span.parent_span_is_remote);
    let [link] = &span.links.links[..] else { panic!("one link: {:?}", span.links) };
    assert_eq!(link.span_context.trace_id().to_string(), TRACE);
    assert_eq!(link.span_context.span_id().to_string(), PARENT);
    assert!(link.span_context.is_remote() && link.attributes.is_empty());
    assert_eq!(span.span_context.trace_state().header(), "", "the stranger's is not taken on");
    assert_eq!(sight.baggage, []);
    assert_eq!(&sight.span, &span.span_context);
}

#[tokio::test]
async fn a_caller_is_believed_unless_the_endpoint_is_public() {
    let traces = Traces::new();
    let layer = traces.described(Side::Server);
    let sight = Seen::by(&layer, from_a_stranger()).await;
    assert_believed(&traces.take_only(), &sight);
    let sight = Seen::by(&layer.public_endpoint(), from_a_stranger()).await;
    assert_not_believed(&traces.take_only(), &sight);
}

#[tokio::test]
async fn a_public_endpoint_without_a_callers_trace_has_no_link() {
    for headers in [
        &[][..],
        &[("traceparent", "nonsense"), ("tracestate", "a=1")],
        &[("baggage", "role=admin")],
        &[("traceparent", TRACEPARENT), ("traceparent", TRACEPARENT)],
    ] {
        let traces = Traces::new();
        let layer = traces.described(Side::Server).public_endpoint();
        let sight = Seen::by(&layer, with(unary(), headers)).await;
        let span = traces.only();
        assert!(span.links.links.is_empty(), "{headers:?}");
        assert_eq!(span.parent_span_id.to_string(), "0000000000000000");
        assert_eq!(sight.baggage, []);
    }
}

#[tokio::test]
async fn an_endpoint_can_be_public_by_its_method() {
    let traces = Traces::new();
    let public = MethodTable::new(false).method("test.v1.Kinds", "Unary", true);
    let layer = traces
        .described(Side::Server)
        .public_endpoint_per_method(public.checked(&methods()).unwrap());
    let sight = Seen::by(&layer, from_a_stranger()).await;
    assert_not_believed(&traces.take_only(), &sight);
    let (head, body) = from_a_stranger().into_parts();
    let mut request = Request::from_parts(head, body);
    *request.uri_mut() = format!("/{}", method_of(MethodKind::ServerStream)).parse().unwrap();
    let sight = Seen::by(&layer, request).await;
    assert_believed(&traces.take_only(), &sight);

    // All methods are public except one.
    let public = MethodTable::new(true).method("test.v1.Kinds", "Unary", false);
    let layer = traces.described(Side::Server).public_endpoint_per_method(public);
    let sight = Seen::by(&layer, from_a_stranger()).await;
    assert_believed(&traces.take_only(), &sight);
}

#[tokio::test]
async fn an_endpoint_can_be_public_by_where_the_caller_is() {
    let traces = Traces::new();
    let layer = traces.described(Side::Server).public_endpoint_if(|rpc, head| {
        assert_eq!(rpc.full(), method_of(MethodKind::Unary));
        Peer::of(&head.extensions).and_then(|peer| peer.ip()).is_none_or(|ip| !ip.is_loopback())
    });
    for (peer, is_public) in [("127.0.0.1:1", false), ("192.0.2.1:1", true)] {
        let mut request = from_a_stranger();
        let remote_addr = Some(peer.parse().unwrap());
        request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
        let sight = Seen::by(&layer, request).await;
        match is_public {
            true => assert_not_believed(&traces.take_only(), &sight),
            false => assert_believed(&traces.take_only(), &sight),
        }
    }
}

#[tokio::test]
async fn a_stranger_does_not_decide_what_is_sampled() {
    let request = |flags: &str| {
        let traceparent = format!("00-{TRACE}-{PARENT}-{flags}");
        with(unary(), &[("traceparent", &traceparent)])
    };
    for (root, sampled) in [(Sampler::AlwaysOff, false), (Sampler::AlwaysOn, true)] {
        for flags in ["00", "01"] {
            let traces = Traces::sampled_by(Sampler::ParentBased(Box::new(root.clone())));
            let layer = traces.described(Side::Server);
            call_well(&layer.clone().public_endpoint(), request(flags)).await;
            assert_eq!(traces.take().len(), usize::from(sampled), "{root:?} {flags}");
            // The sampled flag of a trusted caller is used.
            call_well(&layer, request(flags)).await;
            assert_eq!(traces.take().len(), usize::from(flags == "01"), "{root:?} {flags}");
        }
    }
}

#[tokio::test]
async fn a_sampler_is_given_the_link_and_no_parent() {
    let sampler = Asking::samples(false);
    let traces = Traces::sampled_by(sampler.clone());
    call_well(&traces.described(Side::Server).public_endpoint(), from_a_stranger()).await;
    let asked = sampler.take_only();
    assert!(!asked.parent.is_valid());
    assert_ne!(asked.trace.to_string(), TRACE);
    assert_eq!(asked.links.len(), 1);
    assert_eq!(asked.links[0].span_context.span_id().to_string(), PARENT);
}

/// This also holds if a span is already current, for example that of the code that accepts connections.
#[tokio::test]
async fn a_public_endpoint_is_a_root_wherever_its_server_runs_and_keeps_the_programs_own_baggage() {
    let traces = Traces::new();
    let around = traces.provider().tracer("test").start("around");
    let around = Context::new()
        .with_span(around)
        .with_baggage([KeyValue::new("zone", "edge"), KeyValue::new("role", "none")]);
    let layer = traces.described(Side::Server).public_endpoint();
    let mut service = layer.layer(service_fn(|_: Request<Body>| {
        let role = Context::map_current(|context| context.baggage().get("role").cloned());
        assert_eq!(role.unwrap().as_str(), "none");
        std::future::ready(well())
    }));
    let attached = around.attach();
    let future = service.call(from_a_stranger());
    drop(attached);
    drain(future.await.unwrap().into_body()).await;
    let span = traces.take().into_iter().find(|span| span.name != "around").unwrap();
    assert_eq!(span.parent_span_id.to_string(), "0000000000000000");
    assert_ne!(trace_id(&span), TRACE);
    assert_eq!(span.links.links.len(), 1);
}

#[tokio::test]
async fn a_public_endpoint_says_nothing_to_a_client() {
    let traces = Traces::new();
    let layer = traces.described(Side::Client).public_endpoint();
    let around = traces.provider().tracer("test").start("around");
    let around = Context::new().with_span(around);
    let mut service = layer.layer(answers(well));
    let attached = around.clone().attach();
    let future = service.call(unary());
    drop(attached);
    drain(future.await.unwrap().into_body()).await;
    assert_eq!(traces.take_only().parent_span_id, around.span().span_context().span_id());
}

// Server addresses.

fn server_of(span: &SpanData) -> (Option<String>, Option<i64>) {
    (text(span, "server.address"), number(span, "server.port"))
}

#[tokio::test]
async fn a_server_is_called_what_its_callers_call_it() {
    for (uri, host, address, port) in [
        ("http://orders.example:8443/", None, Some("orders.example"), Some(8443)),
        ("https://orders.example/", None, Some("orders.example"), None),
        ("http://192.0.2.7:1/", None, Some("192.0.2.7"), Some(1)),
        ("http://[2001:db8::1]:7/", None, Some("2001:db8::1"), Some(7)),
        ("http://user:secret@orders.example:1/", None, Some("orders.example"), Some(1)),
        // The `host` header, without an `:authority`.
        ("/", Some("orders.example:8443"), Some("orders.example"), Some(8443)),
        ("/", Some("orders.example"), Some("orders.example"), None),
        ("/", Some("[2001:db8::1]:7"), Some("2001:db8::1"), Some(7)),
        ("/", Some("user:secret@orders.example"), Some("orders.example"), None),
        ("http://orders.example:1/", Some("other.example:2"), Some("orders.example"), Some(1)),
        ("/", None, None, None),
        ("/", Some(""), None, None),
        ("/", Some("not a host"), None, None),
        ("/", Some("a/b"), None, None),
        ("/", Some("orders.example:99999"), Some("orders.example"), None),
        // Too long for a host name.
        ("/", Some(&"a".repeat(256)), None, None),
        (&format!("http://{}:80/", "a".repeat(15_000)), None, None, None),
    ] {
        let traces = Traces::new();
        let uri = format!("{uri}{}", method_of(MethodKind::Unary));
        let host: Vec<_> = host.map(|host| ("host", host)).into_iter().collect();
        call_well(&traces.described(Side::Server), with(to(&uri), &host)).await;
        let span = traces.only();
        assert_eq!(server_of(&span), (address.map(str::to_owned), port), "{uri} {host:?}");
        assert!(!format!("{span:?}").contains("secret"), "{uri} {host:?}");
    }
}

/// The `server.address` examples of OpenTelemetry's semantic conventions for gRPC, and targets that tonic accepts.
#[tokio::test]
async fn a_client_calls_its_server_what_its_target_says() {
    for (target, address, port) in [
        ("grpc.io:50051", "grpc.io", Some(50051)),
        ("dns://1.2.3.4/grpc.io:50051", "grpc.io", Some(50051)),
        ("dns:grpc.io:50051", "grpc.io", Some(50051)),
        ("unix:///run/containerd/containerd.sock", "/run/containerd/containerd.sock", None),
        ("unix:/run/orders.sock", "/run/orders.sock", None),
        ("zk://zookeeper:2181/my-server", "zk://zookeeper:2181/my-server", None),
        (
            "ipv4:198.51.100.123:50051,198.51.100.124:50051",
            "ipv4:198.51.100.123:50051,198.51.100.124:50051",
            None,
        ),
        ("ipv6:[2607:f8b0::1]:443", "2607:f8b0::1", Some(443)),
        ("orders.svc", "orders.svc", None),
        ("http://orders.svc:8080", "orders.svc", Some(8080)),
        ("https://orders.svc", "orders.svc", Some(443)),
        ("https://user:secret@orders.svc", "orders.svc", Some(443)),
    ] {
        let traces = Traces::new();
        let layer = TracingLayer::client(target).with_tracer_provider(traces.provider());
        // The request's own authority is ignored, because the inner channel replaces it.
        call_well(&layer, to("http://other.example:1/test.v1.Kinds/Unary")).await;
        let span = traces.only();
        assert_eq!(server_of(&span), (Some(address.to_owned()), port), "{target}");
        assert!(!format!("{span:?}").contains("secret"), "{target}");
    }
}

#[tokio::test]
async fn a_target_without_a_name_is_not_told() {
    let traces = Traces::new();
    let layer = TracingLayer::client("").with_tracer_provider(traces.provider());
    call_well(&layer, unary()).await;
    assert_eq!(server_of(&traces.only()), (None, None));
}

/// Over a real socket, with the target of the endpoint.
#[tokio::test]
async fn both_sides_name_the_server_alike() {
    let (servers, clients) = (Traces::new(), Traces::new());
    let (incoming, endpoint) = listen();
    let port = endpoint.uri().port_u16().unwrap();
    // The endpoint has a host name, which differs from the socket's address.
    let endpoint = Endpoint::from_shared(format!("http://localhost:{port}")).unwrap();
    tokio::spawn(
        Server::builder()
            .layer(servers.described(Side::Server))
            .add_service(KindsServer::new(KindsService::default()))
            .serve_with_incoming(incoming),
    );
    let layer =
        TracingLayer::client(Target::from(endpoint.uri())).with_tracer_provider(clients.provider());
    KindsClient::new(layer.layer(endpoint.connect_lazy())).unary(Ask::default()).await.unwrap();
    let expected = (Some("localhost".to_owned()), Some(i64::from(port)));
    assert_eq!(server_of(&clients.until_ended(1).await[0]), expected);
    assert_eq!(server_of(&servers.until_ended(1).await[0]), expected);
}

// Attempts.

#[tokio::test]
async fn the_attempts_that_came_before_are_counted() {
    for side in SIDES {
        for (sent, attempts) in [
            (None, None),
            (Some("1"), Some(1)),
            (Some("4"), Some(4)),
            (Some("x"), None),
            (Some("-1"), None),
            (Some(""), None),
            (Some("99999999999"), None),
        ] {
            let traces = Traces::new();
            let headers: Vec<_> =
                sent.map(|sent| ("grpc-previous-rpc-attempts", sent)).into_iter().collect();
            call_well(&traces.described(side), with(unary(), &headers)).await;
            let told = number(&traces.only(), "previous-rpc-attempts");
            assert_eq!(told, attempts, "{side:?} {sent:?}");
        }
    }
}

#[tokio::test]
async fn a_call_has_one_span_on_a_server_however_many_layers_there_are() {
    for sampled in [true, false] {
        let sampler = if sampled { Sampler::AlwaysOn } else { Sampler::AlwaysOff };
        let (traces, inner) = (Traces::sampled_by(sampler), Traces::new());
        let service = inner.server().layer(answers(|| Ok(stream(1, &Status::ok("")))));
        let request = with(to_kind(MethodKind::Unary), &[("traceparent", TRACEPARENT)]);
        run(traces.server().layer(service), request).await;
        assert_eq!(traces.spans().len(), usize::from(sampled));
        inner.none();
    }
    // An inner client layer does record a span: each attempt has a span inside its call's span.
    let traces = Traces::new();
    let service = traces.client().layer(answers(|| Ok(stream(1, &Status::ok("")))));
    run(traces.client().layer(service), to_kind(MethodKind::Unary)).await;
    let [attempt, whole] = <[SpanData; 2]>::try_from(traces.spans()).unwrap();
    assert_eq!(attempt.parent_span_id, whole.span_context.span_id());
}
