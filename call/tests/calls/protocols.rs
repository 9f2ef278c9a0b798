//! Layers know the protocol of a caller whose request was translated into gRPC.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, request};
use http_body_util::{BodyExt as _, Full};
use tonic::service::Routes;
use tonic_call::{Call, End, ObserveLayer, Observer, Protocol, Rpc, Side};
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, Recorder, Script, frame_of};
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, Service as _, service_fn};

/// Records the protocol of each call.
#[derive(Clone, Default)]
struct Protocols(Arc<Mutex<Vec<Protocol>>>);

impl Protocols {
    fn take(&self) -> Vec<Protocol> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Protocols {
    type Call = Self;

    fn begin(&self, side: Side, _: &Rpc, head: &mut request::Parts) -> Option<Self> {
        self.0.lock().unwrap().push(Protocol::of_call(side, head));
        Some(self.clone())
    }
}

impl Call for Protocols {
    fn end(&self, _: End<'_>) {}
}

fn post(content_type: &str) -> Request<Full<Bytes>> {
    let request = Request::post("/test.v1.Kinds/Unary").version(http::Version::HTTP_2);
    let request = request.header("content-type", content_type);
    request.body(Full::from(frame_of(b""))).unwrap()
}

const PROTOCOLS: [(&str, Protocol); 3] = [
    ("application/grpc", Protocol::Grpc),
    ("application/grpc-web", Protocol::GrpcWeb),
    ("application/grpc-web-text", Protocol::GrpcWebText),
];

#[tokio::test]
async fn an_observed_call_outside_tonic_web_is_known_as_grpc_web_inside_it() {
    for (content_type, protocol) in PROTOCOLS {
        let (outside, inside) = (Protocols::default(), Protocols::default());
        let routes = Routes::new(KindsServer::new(KindsService::default()));
        let service = ObserveLayer::server(inside.clone()).layer(routes);
        let service = GrpcWebLayer::new().layer(service);
        let mut service = ObserveLayer::server(outside.clone()).layer(service);
        let response = service.call(post(content_type)).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!((outside.take(), inside.take()), (vec![protocol], vec![protocol]));
    }
}

#[tokio::test]
async fn without_a_layer_outside_tonic_web_a_call_inside_it_is_one_of_grpc() {
    for (content_type, _) in PROTOCOLS {
        let inside = Protocols::default();
        let routes = Routes::new(KindsServer::new(KindsService::default()));
        let service = ObserveLayer::server(inside.clone()).layer(routes);
        let mut service = GrpcWebLayer::new().layer(service);
        let response = service.call(post(content_type)).await.unwrap();
        response.into_body().collect().await.unwrap();
        assert_eq!(inside.take(), [Protocol::Grpc], "{content_type}");
    }
}

#[tokio::test]
async fn a_call_that_begins_late_keeps_its_protocol() {
    let (protocols, recorder) = (Protocols::default(), Recorder::new());
    let layer = ObserveLayer::server((protocols.clone(), recorder.clone()));
    let mut service = layer.layer(service_fn(async |_| {
        Ok::<_, std::convert::Infallible>(Script::new().trailers(tonic::Code::Ok).respond())
    }));
    let mut request = post("text/plain");
    *request.method_mut() = http::Method::PUT;
    request.extensions_mut().insert(Protocol::Connect);
    let response = service.call(request);
    assert_eq!(protocols.take(), [], "nothing shows yet that this is a call");
    response.await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(protocols.take(), [Protocol::Connect]);
    assert_eq!(recorder.only().code, tonic::Code::Ok);
}
