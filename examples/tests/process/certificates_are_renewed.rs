use orders::v1::order_service_client::OrderServiceClient;
use orders::v1::{AdvanceOrderRequest, OrderEvent, OrderStage, WatchOrderRequest};
use rustix::process::Signal;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_tls_reload::ClientTls;

use crate::common::certificates::{Certificates, texts};
use crate::common::process::{Served, get};
use crate::common::{order, soon};

fn client_tls(certificates: &Certificates) -> ClientTls {
    ClientTls::from_files(certificates.path("ca.crt"))
        .certificate(certificates.path("client.crt"), certificates.path("client.key"))
        .build()
        .unwrap()
}

/// Connects when it is used.
fn channel(served: &Served, certificates: &Certificates) -> Channel {
    client_tls(certificates).endpoint(served.https()).unwrap().connect_lazy()
}

/// Calls one after another, until it is stopped. Returns how many: none fails.
async fn keep_calling(client: impl Fn() -> Client, stopped: watch::Receiver<()>) -> u32 {
    let mut calls = 0;
    while !stopped.has_changed().unwrap_or(true) {
        client().create_order(order("ann@example.org", 1)).await.unwrap();
        calls += 1;
    }
    calls
}

type Client = OrderServiceClient<Channel>;

async fn watch(client: &mut Client) -> (String, Streaming<OrderEvent>) {
    let created = client.create_order(order("ann@example.org", 1)).await.unwrap();
    let id = created.into_inner().id;
    let mut events = client.watch_order(WatchOrderRequest { id: id.clone() }).await.unwrap();
    soon(events.get_mut().message()).await.unwrap().unwrap();
    (id, events.into_inner())
}

/// Until a line of the log contains this.
async fn logged(served: &mut Served, part: &str) -> String {
    loop {
        let line = served.next_log_line().await;
        if line.contains(part) {
            return line;
        }
    }
}

/// Guards against: a renewal that ends the connections that exist.
#[tokio::test]
async fn while_a_watch_runs_and_it_loses_nothing() {
    let certificates = Certificates::new();
    let flags = certificates.serve_mutual();
    let more = ["--metrics", "127.0.0.1:0", "--limit", "off"];
    let serve = [&texts(&flags)[..], &more].concat();
    let mut served = Served::start(&serve).await;
    let metrics = served.metrics_address().await;
    let mut first = OrderServiceClient::new(channel(&served, &certificates));
    let (id, mut events) = watch(&mut first).await;

    // Halves of a set, and a key that does not fit, are refused.
    certificates.write("server.key", "-----BEGIN PRIVATE KEY-----\n");
    served.signal(Signal::HUP);
    let refused = logged(&mut served, "can't be used").await;
    assert!(refused.contains("server.key") && refused.contains("WARN"), "{refused}");
    OrderServiceClient::new(channel(&served, &certificates))
        .create_order(order("ann@example.org", 1))
        .await
        .unwrap();

    // Calls on the old connection and on new ones never stop.
    let (stop, stopped) = watch::channel(());
    let old = first.clone();
    let on_old = tokio::spawn(keep_calling(move || old.clone(), stopped.clone()));
    let tls = client_tls(&certificates);
    let to = served.https();
    let fresh = move || OrderServiceClient::new(tls.endpoint(&*to).unwrap().connect_lazy());
    let on_fresh = tokio::spawn(keep_calling(fresh, stopped));
    for _ in 0..5 {
        certificates.issue("server");
        served.signal(Signal::HUP);
        logged(&mut served, "TLS files were renewed").await;
    }
    stop.send(()).unwrap();
    for calls in [soon(on_old).await.unwrap(), soon(on_fresh).await.unwrap()] {
        assert!(calls >= 5, "{calls}");
    }
    let (_, text) = get(&metrics, "/metrics").await;
    assert!(text.contains("tls_reloads_total{result=\"renewed\"} 5"), "{text}");
    assert!(!text.contains("tls_reloads_total{result=\"refused\"} 0"), "{text}");

    // Another CA: old clients are refused, the old connection goes on.
    let others = Certificates::new();
    certificates.write("ca.crt", &std::fs::read_to_string(others.path("ca.crt")).unwrap());
    served.signal(Signal::HUP);
    logged(&mut served, "TLS files were renewed").await;
    first
        .advance_order(AdvanceOrderRequest { id, stage: OrderStage::Shipped.into() })
        .await
        .unwrap();
    let event = soon(events.message()).await.unwrap().unwrap();
    assert_eq!(event.event_type, "shipped");
    let refused = async {
        let tls = ClientTls::from_files(others.path("ca.crt"))
            .server_ca(certificates.path("server.crt"))
            .certificate(certificates.path("client.crt"), certificates.path("client.key"))
            .build()
            .unwrap();
        let channel = tls.endpoint(served.https()).unwrap().connect_lazy();
        OrderServiceClient::new(channel).create_order(order("ann@example.org", 1)).await
    };
    assert_ne!(refused.await.unwrap_err().code(), Code::Ok);

    served.signal(Signal::INT);
    assert_eq!(soon(events.message()).await.unwrap_err().code(), Code::Unavailable);
    drop((first, events));
    assert_eq!(served.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn a_connection_of_an_age_gets_no_further_calls_and_its_watch_goes_on() {
    let certificates = Certificates::new();
    let flags = certificates.serve_mutual();
    let age = ["--metrics", "127.0.0.1:0", "--connection-age", "200ms"];
    let mut served = Served::start(&[&texts(&flags)[..], &age].concat()).await;
    let metrics = served.metrics_address().await;
    let mut aged = OrderServiceClient::new(channel(&served, &certificates));
    let (id, mut events) = watch(&mut aged).await;
    let closed = async {
        loop {
            let (_, text) = get(&metrics, "/metrics").await;
            if text.contains("connections_closed_total{reason=\"aged\"} 1") {
                break;
            }
        }
    };
    soon(closed).await;
    // The watch is on the aged connection, this call on a new one.
    let mut fresh = OrderServiceClient::new(channel(&served, &certificates));
    fresh
        .advance_order(AdvanceOrderRequest { id, stage: OrderStage::Shipped.into() })
        .await
        .unwrap();
    let event = soon(events.message()).await.unwrap().unwrap();
    assert_eq!(event.event_type, "shipped");
}
