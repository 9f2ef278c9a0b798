//! A client whose CA is withdrawn, with a server that ages its connections. In memory, with a paused clock.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::service::Routes;
use tonic::transport::{Channel, Server, Uri};
use tonic_call_test_kit::KindsService;
use tonic_call_test_kit::v1::Ask;
use tonic_call_test_kit::v1::kinds_client::KindsClient;
use tonic_call_test_kit::v1::kinds_server::KindsServer;
use tonic_tls_reload::{ClientTls, ConnectionAge, HandshakeFailure};
use tower::service_fn;

use crate::support::{Ca, Secret, provider, server};

async fn call(channel: &Channel) -> bool {
    KindsClient::new(channel.clone()).unary(Ask::default()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_ca_is_withdrawn_loses_its_connection_at_its_age_and_gets_no_other() {
    let (ca, next) = (Ca::new("ca"), Ca::new("next"));
    let secret = Secret::new(&ca.server(), &[&ca]);
    let tls = server(&secret).client_ca(secret.path("ca.crt")).build().unwrap();
    let client_secret = Secret::new(&ca.client(&[]), &[&ca]);
    let client = ClientTls::from_files(client_secret.path("ca.crt"))
        .certificate(client_secret.path("tls.crt"), client_secret.path("tls.key"))
        .with_provider(provider())
        .build()
        .unwrap();

    let (arrivals, incoming) = mpsc::unbounded_channel::<io::Result<DuplexStream>>();
    let (failed, mut failures) = mpsc::unbounded_channel();
    let incoming = tls
        .incoming(UnboundedReceiverStream::new(incoming))
        .on_failure(move |error| failed.send(error.failure()).unwrap());
    let routes = Routes::new(KindsServer::new(KindsService::default()));
    let age = ConnectionAge::after(Duration::from_secs(30 * 60));
    tokio::spawn(age.serve(Server::builder(), routes, incoming, std::future::pending()));

    let below = service_fn(move |_: Uri| {
        let (ours, theirs) = duplex(64 * 1024);
        let sent = arrivals.send(Ok(ours)).map_err(|_| "the server is gone");
        std::future::ready(sent.map(|()| TokioIo::new(theirs)))
    });
    let endpoint = client.endpoint("https://localhost").unwrap();
    let connector = endpoint.connector().over(below);
    let channel = endpoint.endpoint().connect_with_connector_lazy(connector);

    assert!(call(&channel).await);
    let begin = Instant::now();
    secret.replace(&ca.server(), &[&next]);
    assert_eq!(tls.reload().await, Ok(true));
    while call(&channel).await {
        sleep(Duration::from_secs(10)).await;
    }
    let minutes = begin.elapsed().as_secs() / 60;
    assert!((27..=33).contains(&minutes), "{minutes}");
    assert_eq!(failures.recv().await, Some(HandshakeFailure::Certificate));
    assert!(!call(&channel).await);
}
