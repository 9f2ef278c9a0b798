//! The number of allocations per call.
#![allow(clippy::unwrap_used)]

mod readings;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use http::{Request, request};
use http_body::Body as _;
use metrics::NoopRecorder;
use tonic::Code;
use tonic_call::{
    Call, CallInfo, End, KnownMethods, Methods, Observe, ObserveLayer, Observer, Rpc, Side,
};
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Script};
use tonic_metrics_layer::{Labels, MetricsLayer};
use tower::{Layer, Service as _, service_fn};

use self::readings::Readings;

/// An observer that only creates the `CallInfo` that a server's layers share.
#[derive(Clone)]
struct Looks;

impl Observer for Looks {
    type Call = Looks;

    fn begin(&self, side: Side, _: &Rpc, head: &mut request::Parts) -> Option<Looks> {
        if side == Side::Server {
            CallInfo::get_or_insert(Side::Server, &mut head.extensions);
        }
        Some(Looks)
    }
}

impl Call for Looks {
    fn end(&self, _: End<'_>) {}
}

/// The number of allocations of a call of a known method, after the first call.
fn allocations<O: Observer>(layer: &ObserveLayer<O>) -> u64 {
    fn one_call<O: Observer>(layer: &ObserveLayer<O>) -> u64 {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut service: Observe<_, O> = layer.layer(service_fn(|_| {
            let script = Script::new().messages(10).trailers(Code::Ok);
            std::future::ready(Ok::<_, Infallible>(script.respond()))
        }));
        let uri = "/test.v1.Kinds/ServerStream";
        let request = Request::post(uri).body(Script::new()).unwrap();
        let counted = measure(|| {
            let Poll::Ready(response) = pin!(service.call(request)).poll(cx) else {
                panic!("answers at once")
            };
            let mut body = pin!(response.unwrap().into_body());
            while let Poll::Ready(Some(Ok(_))) = body.as_mut().poll_frame(cx) {}
        });
        counted.count_total
    }

    one_call(layer);
    one_call(layer)
}

#[test]
fn a_call_allocates_what_any_watched_call_does() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let labels = Labels::new().by("tier", ["free", "paid"], |_| Some("paid")).unwrap();
    let known = Arc::new(KnownMethods::from(&methods));
    for side in [Side::Server, Side::Client] {
        let (metrics, layer): (_, fn(_) -> _) = match side {
            Side::Server => (MetricsLayer::server(), ObserveLayer::server),
            Side::Client => (MetricsLayer::client(), ObserveLayer::client),
        };
        let metrics = metrics
            .known(known.clone())
            .labels(labels.clone())
            .message_bytes()
            .with_recorder(Readings::new());
        let looks = match side {
            Side::Server => ObserveLayer::server(Looks),
            Side::Client => ObserveLayer::client(Looks),
        };
        let expected = allocations(&looks.known(known.clone()));
        let counted = allocations(&layer(metrics.observer()).known(known.clone()));
        assert_eq!(counted, expected, "{side:?}");
    }
}

/// Methods of one service.
fn described(count: usize) -> Methods {
    /// A field of `google.protobuf.*Descriptor*`: all are strings or messages.
    fn field(number: u8, value: &[u8]) -> Vec<u8> {
        let mut encoded = vec![number << 3 | 2];
        let mut left = value.len();
        while left >= 128 {
            encoded.push(left as u8 | 128);
            left >>= 7;
        }
        encoded.push(left as u8);
        encoded.extend_from_slice(value);
        encoded
    }
    let method = |number: usize| field(2, &field(1, format!("Method{number}").as_bytes()));
    let methods: Vec<u8> = (0..count).flat_map(method).collect();
    let service = field(6, &[field(1, b"Many"), methods].concat());
    let set = field(1, &[field(1, b"many.proto"), field(2, b"test.v1"), service].concat());
    Methods::from_descriptor_set(&set).unwrap()
}

#[test]
fn a_method_takes_less_than_4_kib_of_which_further_layers_share_most() {
    const METHODS: usize = 1_000;
    let methods = described(METHODS);
    assert_eq!(methods.len(), METHODS);
    // The recorder itself takes nothing.
    let layer = || MetricsLayer::server().methods(&methods).with_recorder(NoopRecorder);
    let (first, second) = (layer(), layer());
    let bytes = |layer: &MetricsLayer| {
        let counted = measure(|| drop(layer.observer()));
        counted.bytes_current as usize / METHODS
    };
    let (first, second) = (bytes(&first), bytes(&second));
    assert!((3_264..4_096).contains(&first), "{first} bytes: the labels of all codes, and more");
    assert!(second < 512, "{second} bytes");
}
