use orders::faults::Faults;
use orders::service::Orders;
use orders::store::{Database, Store};
use orders::v1::order_service_client::OrderServiceClient as V1Client;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Code, Request, Response, Status};

use crate::common::order;
use v2::order_service_client::OrderServiceClient as V2Client;
use v2::order_service_server::{OrderService, OrderServiceServer};

#[allow(clippy::all, clippy::pedantic, unused_qualifications)]
mod v2 {
    include!(concat!(env!("OUT_DIR"), "/orders.v2.rs"));
}

/// The second version, with the same orders.
struct Second(Store);

#[tonic::async_trait]
impl OrderService for Second {
    async fn get_order(
        &self,
        request: Request<v2::GetOrderRequest>,
    ) -> Result<Response<v2::Order>, Status> {
        let name = request.into_inner().name;
        let order = self.0.get(name.trim_start_matches("orders/")).await?;
        let order = order.ok_or_else(|| Status::not_found("no such order"))?;
        Ok(Response::new(v2::Order {
            name,
            total: Some(v2::Money {
                currency_code: order.currency,
                units: order.total_cents / 100,
                nanos: i32::try_from(order.total_cents % 100).unwrap() * 10_000_000,
            }),
        }))
    }
}

#[tokio::test]
async fn on_one_server_over_the_same_orders() {
    let store = Store::open(&Database::Memory).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Server::builder()
            .add_service(Orders::new(store.clone(), Faults::Disabled).server())
            .add_service(OrderServiceServer::new(Second(store)))
            .serve_with_incoming(TcpIncoming::from(listener)),
    );
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut first = V1Client::new(channel.clone());
    let mut second = V2Client::new(channel);

    let created = first.create_order(order("ann@example.org", 1999)).await.unwrap();
    let name = format!("orders/{}", created.into_inner().id);
    let got = second.get_order(v2::GetOrderRequest { name }).await.unwrap();
    let total = got.into_inner().total.unwrap();
    assert_eq!((total.units, total.nanos), (19, 990_000_000));
    let name = "orders/x".to_owned();
    let missing = second.get_order(v2::GetOrderRequest { name }).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
}
