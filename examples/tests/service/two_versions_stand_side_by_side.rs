use orders::v1;
use orders::v2::order_service_client::OrderServiceClient;
use orders::v2::{AdvanceOrderRequest, ListOrdersRequest, OrderStage, WatchOrderRequest};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::common::server::Server;
use crate::common::v2::{euros, get, order};
use crate::common::{self, keyed, reason, soon};

async fn both() -> (Server, OrderServiceClient<Channel>) {
    let server = Server::start().await;
    let second = OrderServiceClient::new(server.channel().await);
    (server, second)
}

#[tokio::test]
async fn an_order_of_the_first_is_read_by_the_second() {
    let (server, mut second) = both().await;
    let created = server.create(common::order("ann@example.org", 1999)).await;
    let got = second.get_order(get(&created.id)).await.unwrap().into_inner().order.unwrap();
    assert_eq!((&got.id, &*got.customer_email), (&created.id, "ann@example.org"));
    assert_eq!(
        (got.total.clone(), got.create_time),
        (Some(euros(19, 990_000_000)), created.created_at)
    );
    let listed = second.list_orders(ListOrdersRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.orders, [got]);
}

#[tokio::test]
async fn an_order_of_the_second_is_read_by_the_first() {
    let (server, mut second) = both().await;
    let created = second.create_order(order("bob@example.org", euros(0, 10_000_000))).await;
    let created = created.unwrap().into_inner().order.unwrap();
    let request = v1::GetOrderRequest { id: created.id.clone() };
    let got = server.client.clone().get_order(request).await.unwrap().into_inner();
    assert_eq!((got.id, &*got.customer_email), (created.id, "bob@example.org"));
    assert_eq!((got.total_cents, &*got.currency, got.created_at), (1, "EUR", created.create_time));
}

/// Guards against: a caller who retries with the new version, and gets a second order.
#[tokio::test]
async fn an_idempotency_key_is_the_same_in_both() {
    let (server, mut second) = both().await;
    let created = server.create(keyed("ann@example.org", 1999, "k-1")).await;
    let mut again = order("ann@example.org", euros(19, 990_000_000));
    again.idempotency_key = Some("k-1".to_owned());
    let same = second.create_order(again.clone()).await.unwrap().into_inner();
    assert_eq!(same.order.unwrap().id, created.id);
    again.order.as_mut().unwrap().total = Some(euros(20, 0));
    let refused: Status = second.create_order(again).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test]
async fn what_one_changes_the_other_watches() {
    let (server, mut second) = both().await;
    let mut first = server.client.clone();
    let id = server.create(common::order("ann@example.org", 1)).await.id;
    let watch = v1::WatchOrderRequest { id: id.clone() };
    let mut by_first = first.watch_order(watch).await.unwrap().into_inner();
    let watch = WatchOrderRequest { order_id: id.clone() };
    let mut by_second = second.watch_order(watch).await.unwrap().into_inner();

    let shipped = v1::AdvanceOrderRequest { id: id.clone(), stage: v1::OrderStage::Shipped.into() };
    first.advance_order(shipped).await.unwrap();
    let stage = OrderStage::Delivered.into();
    let delivered = AdvanceOrderRequest { order_id: id.clone(), stage };
    second.advance_order(delivered).await.unwrap();

    for (text, stage) in [
        ("created", OrderStage::Created),
        ("shipped", OrderStage::Shipped),
        ("delivered", OrderStage::Delivered),
    ] {
        let one = soon(by_first.message()).await.unwrap().unwrap();
        let other = soon(by_second.message()).await.unwrap().unwrap().event.unwrap();
        assert_eq!((&*one.event_type, other.stage()), (text, stage));
        assert_eq!((one.id, one.ts), (other.order_id, other.event_time));
    }
}
