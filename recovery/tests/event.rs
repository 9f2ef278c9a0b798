//! A recovered panic is reported by one event.
//!
//! In its own process, because tracing caches for all threads which callsites are enabled.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use tonic::transport::server::TcpConnectInfo;
use tonic_call_test_kit::{Script, silence_panics};
use tonic_recovery_layer::{RecoverStream, RecoveryLayer, captured};
use tower::{Layer as _, Service as _, service_fn};
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::SubscriberExt as _;

/// The events of this thread, as text.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Text(String);
        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!(" {field}={value:?}"));
            }
        }
        let mut text = Text(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}

#[tokio::test]
async fn a_recovered_panic_is_one_error_event() {
    let events = Events::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(events.clone()));
    silence_panics();
    let mut service = RecoveryLayer::server().layer(service_fn(async |_| {
        panic!("a\nb on purpose");
        #[allow(unreachable_code)]
        Ok::<Response<Script>, Infallible>(Script::new().respond())
    }));
    let request: Request<Script> = Request::post("/a.B/C").body(Script::new()).unwrap();
    service.call(request).await.unwrap();

    let seen = std::mem::take(&mut *events.0.lock().unwrap());
    let [event] = &seen[..] else { panic!("one event, not {seen:?}") };
    for part in [
        "ERROR tonic_recovery_layer ",
        "message=a panic was recovered",
        "rpc.method=\"a.B/C\"",
        "panic.place=\"future\"",
        "exception.type=\"panic\"",
        r#"exception.message="a\\nb on purpose""#,
    ] {
        assert!(event.contains(part), "{part} in {event}");
    }

    // The panic of a task is also reported if its stream was dropped before.
    let (gone, is_gone) = tokio::sync::oneshot::channel::<()>();
    let (over, is_over) = tokio::sync::oneshot::channel::<()>();
    let producer = tokio::spawn(captured(async move {
        let _over = over;
        let _ = is_gone.await;
        panic!("unheard, on purpose")
    }));
    let stream = tokio_stream::empty::<Result<(), tonic::Status>>();
    drop(RecoverStream::<_, ()>::fed_by(stream, producer));
    drop(gone);
    let _ = is_over.await;
    tokio::task::yield_now().await;
    let seen = events.0.lock().unwrap();
    assert!(matches!(&seen[..], [event] if event.contains("unheard, on purpose")), "{seen:?}");
}

#[tokio::test]
async fn a_client_layer_on_a_server_logs_one_warning() {
    let events = Events::default();
    let _guard =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(events.clone()));
    for (layer, warnings) in [(RecoveryLayer::server(), 0), (RecoveryLayer::client(), 1)] {
        for _ in 0..3 {
            let mut service = layer.layer(service_fn(async |_| {
                Ok::<Response<Script>, Infallible>(Script::new().respond())
            }));
            let mut request: Request<Script> = Request::post("/a.B/C").body(Script::new()).unwrap();
            let remote_addr = Some("192.0.2.1:7".parse().unwrap());
            request.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
            service.call(request).await.unwrap();
        }
        let seen = std::mem::take(&mut *events.0.lock().unwrap());
        assert_eq!(seen.len(), warnings, "{seen:?}");
        assert!(seen.iter().all(|event| event.starts_with("WARN tonic_call ")), "{seen:?}");
    }
}
