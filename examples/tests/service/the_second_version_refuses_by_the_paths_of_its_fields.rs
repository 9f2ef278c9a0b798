use orders::v2::order_service_client::OrderServiceClient;
use orders::v2::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, Money, NewOrder, OrderStage,
    WatchOrderRequest,
};
use tonic::transport::Channel;

use crate::common::server::Server;
use crate::common::v2::{euros, order};
use crate::common::{reason, wrong_fields};

async fn start() -> (Server, OrderServiceClient<Channel>) {
    let server = Server::start().await;
    let client = OrderServiceClient::new(server.channel().await);
    (server, client)
}

#[tokio::test]
async fn of_a_new_order_all_at_once() {
    let (_server, mut client) = start().await;
    let total = Money { currency_code: "EURO".to_owned(), units: -1, nanos: 1 };
    let order = NewOrder { customer_email: String::new(), total: Some(total) };
    let key = Some("k".repeat(129));
    let request = CreateOrderRequest { order: Some(order), idempotency_key: key };
    let refused = client.create_order(request).await.unwrap_err();
    assert_eq!(
        wrong_fields(&refused),
        [
            "order.customer_email",
            "order.total.currency_code",
            "order.total.units",
            "order.total.nanos",
            "idempotency_key"
        ]
    );
    assert_eq!(reason(&refused), "INVALID_REQUEST");
    assert!(refused.message().contains("order.total.units must not be negative"), "{refused:?}");
}

#[tokio::test]
async fn of_what_is_absent_or_empty() {
    let (_server, mut client) = start().await;
    let nothing = client.create_order(CreateOrderRequest::default()).await;
    assert_eq!(wrong_fields(&nothing.unwrap_err()), ["order"]);
    let order_alone = NewOrder { customer_email: "a@b".to_owned(), total: None };
    let request = CreateOrderRequest { order: Some(order_alone), idempotency_key: None };
    let free = client.create_order(request).await;
    assert_eq!(wrong_fields(&free.unwrap_err()), ["order.total"]);
    // An absent key is none, an empty one is a mistake.
    let mut empty = order("ann@example.org", euros(1, 0));
    empty.idempotency_key = Some(String::new());
    let refused = client.create_order(empty).await;
    assert_eq!(wrong_fields(&refused.unwrap_err()), ["idempotency_key"]);

    let got = client.get_order(GetOrderRequest::default()).await;
    assert_eq!(wrong_fields(&got.unwrap_err()), ["order_id"]);
    let watched = client.watch_order(WatchOrderRequest::default()).await;
    assert_eq!(wrong_fields(&watched.unwrap_err()), ["order_id"]);
}

#[tokio::test]
async fn of_a_stage_that_no_order_is_moved_to() {
    let (_server, mut client) = start().await;
    for stage in [0, i32::from(OrderStage::Created), 4, -1] {
        let request = AdvanceOrderRequest { order_id: String::new(), stage };
        let refused = client.advance_order(request).await.unwrap_err();
        assert_eq!(wrong_fields(&refused), ["order_id", "stage"], "{stage}");
    }
}

#[tokio::test]
async fn nothing_is_wrong_with_the_extremes() {
    let (_server, mut client) = start().await;
    for total in [euros(0, 0), euros(i64::MAX / 100, 70_000_000)] {
        let created = client.create_order(order("a@b", total.clone())).await.unwrap();
        assert_eq!(created.into_inner().order.unwrap().total, Some(total));
    }
}
