use orders::v2::order_service_client::OrderServiceClient;
use orders::v2::{ListOrdersRequest, ListOrdersResponse};
use tonic::Status;
use tonic::transport::Channel;

use crate::common::server::Server;
use crate::common::{order, wrong_fields};

type Client = OrderServiceClient<Channel>;

/// A server with this many orders, which cost 0 cents, 1 cent, …
async fn start(orders: i64) -> (Server, Client) {
    let server = Server::start().await;
    for cents in 0..orders {
        server.create(order("ann@example.org", cents)).await;
    }
    let client = Client::new(server.channel().await);
    (server, client)
}

async fn list(client: &Client, size: i32, token: &str) -> Result<ListOrdersResponse, Status> {
    let request =
        ListOrdersRequest { customer_email: None, page_size: size, page_token: token.to_owned() };
    Ok(client.clone().list_orders(request).await?.into_inner())
}

fn cents(page: &ListOrdersResponse) -> Vec<i32> {
    let totals = page.orders.iter().map(|order| order.total.as_ref().unwrap());
    totals.map(|total| total.nanos / 10_000_000).collect()
}

#[tokio::test]
async fn three_pages_have_every_order_once() {
    let (server, client) = start(5).await;
    let first = list(&client, 2, "").await.unwrap();
    let second = list(&client, 2, &first.next_page_token).await.unwrap();
    // Between two pages: it is on the last one.
    server.create(order("bob@example.org", 5)).await;
    let third = list(&client, 2, &second.next_page_token).await.unwrap();
    assert_eq!([&first, &second, &third].map(cents), [[0, 1], [2, 3], [4, 5]]);
    // The last one has no token, even when it is full.
    assert_eq!(third.next_page_token, "");
}

#[tokio::test]
async fn a_token_that_is_none_of_this_list_is_refused() {
    let (_server, client) = start(3).await;
    let refused = list(&client, 2, "no token").await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["page_token"]);
    assert!(refused.message().contains("must be the next_page_token of"), "{refused:?}");

    let page_token = list(&client, 2, "").await.unwrap().next_page_token;
    let customer_email = Some("ann@example.org".to_owned());
    let of_ann = ListOrdersRequest { customer_email, page_size: 2, page_token };
    let refused = client.clone().list_orders(of_ann.clone()).await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["page_token"]);
    let first = ListOrdersRequest { page_token: String::new(), ..of_ann };
    let page = client.clone().list_orders(first).await.unwrap().into_inner();
    assert_eq!(cents(&page), [0, 1]);
}

#[tokio::test]
async fn a_size_is_bounded_and_not_negative() {
    let (_server, client) = start(1001).await;
    for (size, orders) in [(0, 50), (1, 1), (1000, 1000), (1001, 1000), (i32::MAX, 1000)] {
        let page = list(&client, size, "").await.unwrap();
        assert_eq!(page.orders.len(), orders, "{size}");
        assert!(!page.next_page_token.is_empty(), "{size}");
    }
    for size in [-1, i32::MIN] {
        let refused = list(&client, size, "no token").await.unwrap_err();
        assert_eq!(wrong_fields(&refused), ["page_size", "page_token"]);
    }
}

#[tokio::test]
async fn a_customer_that_is_given_must_be_one() {
    let (_server, client) = start(1).await;
    let customer_email = Some(String::new());
    let request = ListOrdersRequest { customer_email, ..Default::default() };
    let refused = client.clone().list_orders(request).await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["customer_email"]);
}
