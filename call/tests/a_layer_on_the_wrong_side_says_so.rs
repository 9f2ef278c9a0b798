//! A layer for clients on a server logs a warning, once and as a guess.
//!
//! In its own process, because the subscriber gets the log of all threads.
#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use tonic::transport::Server;
use tonic_call::{ObserveLayer, option_layer};
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_call_test_kit::{KindsService, Recorder, listen};
use tower::Layer as _;

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The warnings since the last call.
fn warnings() -> Vec<String> {
    static WRITTEN: OnceLock<Written> = OnceLock::new();
    let written = WRITTEN.get_or_init(|| {
        let written = Written::default();
        let writer = written.clone();
        tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).init();
        written
    });
    let text = String::from_utf8(std::mem::take(&mut *written.0.lock().unwrap())).unwrap();
    text.lines().filter(|line| line.contains("seems to be on")).map(str::to_owned).collect()
}

/// Makes five calls, each over its own connection, to a server with the first layer, from a client with the
/// second.
async fn calls(on_the_server: ObserveLayer<Recorder>, on_the_client: ObserveLayer<Recorder>) {
    let (incoming, endpoint) = listen();
    let server = Server::builder()
        .layer(option_layer(Some(on_the_server)))
        .add_service(KindsServer::new(KindsService::default()))
        .serve_with_incoming(incoming);
    let server = tokio::spawn(server);
    for _ in 0..5 {
        let channel = on_the_client.layer(endpoint.connect().await.unwrap());
        KindsClient::new(channel).unary(Ask::default()).await.unwrap();
    }
    server.abort();
}

#[tokio::test]
async fn a_client_layer_on_a_server_logs_one_warning() {
    assert_eq!(warnings(), [""; 0]);
    let [server, client] = [ObserveLayer::server, ObserveLayer::client];
    calls(server(Recorder::new()), client(Recorder::new())).await;
    assert_eq!(warnings(), [""; 0], "each layer is on the right side");

    calls(client(Recorder::new()), client(Recorder::new())).await;
    let lines = warnings();
    let [line] = &lines[..] else { panic!("one warning for five calls, not {lines:?}") };
    assert!(line.contains(" WARN tonic_call: a layer for clients seems "), "{line}");
    assert!(line.contains("This is a guess"), "{line}");
    assert!(line.contains("layer=\"tonic_call_test_kit::recorder::Recorder\""), "{line}");

    // Another layer logs its own warning.
    calls(client(Recorder::new()), client(Recorder::new())).await;
    assert_eq!(warnings().len(), 1);
}
