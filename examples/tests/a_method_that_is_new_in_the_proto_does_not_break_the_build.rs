//! The server's own files, compiled against a proto with two more methods: they compile unchanged, and the new
//! methods respond `UNIMPLEMENTED`.

#![allow(missing_docs, dead_code, unused_imports, unreachable_pub, clippy::unwrap_used)]

#[path = "../src/drain/mod.rs"]
mod drain;
#[path = "../src/duration.rs"]
mod duration;
#[path = "../src/faults.rs"]
mod faults;
#[path = "../src/fields.rs"]
mod fields;
#[path = "../src/logs/mod.rs"]
mod logs;
#[path = "../src/page.rs"]
mod page;
#[path = "../src/panics.rs"]
mod panics;
#[path = "../src/service/mod.rs"]
mod service;
#[path = "../src/status.rs"]
mod status;
#[path = "../src/store/mod.rs"]
mod store;
#[path = "../src/validate.rs"]
mod validate;

/// `orders.v1` with `CancelOrder` and `TrackOrders`; build.rs adds them.
#[allow(clippy::all, clippy::pedantic, unused_qualifications)]
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/grown/orders.v1.rs"));
}

/// As it is.
#[allow(clippy::all, clippy::pedantic, unused_qualifications)]
mod v2 {
    include!(concat!(env!("OUT_DIR"), "/orders.v2.rs"));
}

use futures_util::stream;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};

use v1::GetOrderRequest;
use v1::order_service_client::OrderServiceClient;

#[tokio::test]
async fn it_answers_unimplemented_and_the_others_as_ever() {
    let store = store::Store::open(&store::Database::Memory).await.unwrap();
    let orders = service::Orders::new(store, faults::Faults::Disabled);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder().add_service(orders.v1()).serve_with_incoming(TcpIncoming::from(listener)),
    );
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let mut client = OrderServiceClient::new(endpoint.connect().await.unwrap());

    let id = "x".to_owned();
    let cancelled = client.cancel_order(GetOrderRequest { id }).await;
    assert_eq!(cancelled.unwrap_err().code(), Code::Unimplemented);
    let tracked = client.track_orders(stream::empty()).await;
    assert_eq!(tracked.unwrap_err().code(), Code::Unimplemented);
    let id = "x".to_owned();
    let got = client.get_order(GetOrderRequest { id }).await;
    assert_eq!(got.unwrap_err().code(), Code::NotFound);
}
