//! A recorder that is installed after the layer was built counts from its installation on; before that, one warning
//! is logged.
//!
//! This is the only test in its file, because a process has one installed recorder.
#![allow(clippy::unwrap_used)]

mod readings;

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

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
    let warnings = Warnings::default();
    let writer = warnings.clone();
    tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();
    let methods = Methods::from_descriptor_set(FILE_DESCRIPTOR_SET).unwrap();
    let layer = MetricsLayer::server().methods(&methods);
    let mut service = layer.layer(service_fn(async |request: Request<tonic::body::Body>| {
        let counted = CallInfo::of(request.extensions()).is_some();
        assert_eq!(counted, !is_missing(), "without a recorder a call is of no interest");
        Ok::<_, Infallible>(Script::new().messages(1).trailers(Code::Ok).respond())
    }));
    let readings = Readings::new();
    // A program may build its layers before it installs a recorder.
    assert_eq!(warnings.lines(), [""; 0]);
    for installed in [false, true] {
        if installed {
            let lines = warnings.lines();
            let [line] = &lines[..] else { panic!("one warning for three calls, not {lines:?}") };
            assert!(line.contains(" WARN tonic_metrics_layer: no recorder "), "{line}");
            assert!(line.contains("`with_recorder`"), "{line}");
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
    assert_eq!(warnings.lines().len(), 1, "and none once there is a recorder");
    // Methods without calls are registered, too.
    assert!(readings.all().keys().any(|key| key.contains("Peek")));
}

/// The captured log output.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<u8>>>);

impl Warnings {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Warnings {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_missing() -> bool {
    metrics::with_recorder(|recorder| size_of_val(recorder) == 0)
}
