//! A recorder that is installed after the layer was built counts from then on.
//!
//! Alone in its file: there is one installed recorder per process.
#![allow(clippy::unwrap_used)]

mod readings;

use std::convert::Infallible;

use http::Request;
use http_body_util::BodyExt as _;
use tonic::Code;
use tonic_call::{CallInfo, Methods};
use tonic_call_test_kit::{FILE_DESCRIPTOR_SET, Script};
use tonic_metrics_layer::MetricsLayer;
use tower::{Layer as _, Service as _, service_fn};

use self::readings::Readings;

#[tokio::test]
async fn a_layer_counts_as_soon_as_there_is_a_recorder() {
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let layer = MetricsLayer::server().methods(&methods);
    let mut service = layer.layer(service_fn(async |request: Request<tonic::body::Body>| {
        let counted = CallInfo::of(request.extensions()).is_some();
        assert_eq!(counted, !is_missing(), "without a recorder a call is of no interest");
        Ok::<_, Infallible>(Script::new().messages(1).trailers(Code::Ok).respond())
    }));
    let readings = Readings::new();
    for installed in [false, true] {
        if installed {
            metrics::set_global_recorder(readings.clone()).unwrap();
        }
        for _ in 0..3 {
            let uri = "/test.v1.Kinds/ServerStream";
            let request = Request::post(uri).body(Script::new()).unwrap();
            let mut body = service.call(request).await.unwrap().into_body();
            while let Some(Ok(_)) = body.frame().await {}
        }
    }
    assert_eq!(readings.sum("grpc_server_handled_total", "grpc_code=\"OK\""), 3.0);
    assert_eq!(readings.sum("grpc_server_in_flight", ""), 0.0);
    // The methods that were not called are there too.
    assert!(readings.all().keys().any(|key| key.contains("Peek")));
}

fn is_missing() -> bool {
    metrics::with_recorder(|recorder| size_of_val(recorder) == 0)
}
