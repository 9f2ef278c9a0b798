use orders::v1::{ListOrdersRequest, Order};

use crate::common::server::Server;
use crate::common::{order, wrong_fields};

async fn page(server: &Server, request: ListOrdersRequest) -> (Vec<Order>, Option<String>) {
    let answer = server.client.clone().list_orders(request).await.unwrap();
    let token = answer.metadata().get("next-page-token");
    let token = token.map(|token| token.to_str().unwrap().to_owned());
    let mut stream = answer.into_inner();
    let mut orders = Vec::new();
    while let Some(order) = stream.message().await.unwrap() {
        orders.push(order);
    }
    (orders, token)
}

#[tokio::test]
async fn none_is_seen_twice_and_none_is_left_out() {
    let server = Server::start().await;
    for cents in 0..5 {
        server.create(order("ann@example.org", cents)).await;
    }
    let mut seen = Vec::new();
    let mut request = ListOrdersRequest { page_size: 2, ..Default::default() };
    loop {
        let (orders, next) = page(&server, request.clone()).await;
        seen.extend(orders.iter().map(|order| order.total_cents));
        // Orders are created between the first pages.
        if seen.len() <= 4 {
            let cents = 100 + i64::try_from(seen.len()).unwrap();
            server.create(order("bob@example.org", cents)).await;
        }
        match next {
            Some(token) => request.page_token = token,
            None => break,
        }
    }
    assert_eq!(seen, [0, 1, 2, 3, 4, 102, 104]);
}

#[tokio::test]
async fn the_last_page_has_no_token_even_when_it_is_full() {
    let server = Server::start().await;
    for cents in 0..4 {
        server.create(order("ann@example.org", cents)).await;
    }
    let mut request = ListOrdersRequest { page_size: 2, ..Default::default() };
    let (first, next) = page(&server, request.clone()).await;
    assert_eq!(first.len(), 2);
    request.page_token = next.unwrap();
    let (second, next) = page(&server, request).await;
    assert_eq!((second.len(), next), (2, None));
}

#[tokio::test]
async fn a_list_is_filtered_by_customer_and_its_token_belongs_to_it() {
    let server = Server::start().await;
    for cents in 0..3 {
        server.create(order("ann@example.org", cents)).await;
        server.create(order("bob@example.org", 10 + cents)).await;
    }
    let mut request = ListOrdersRequest {
        customer_email: "bob@example.org".to_owned(),
        page_size: 2,
        ..Default::default()
    };
    let (first, next) = page(&server, request.clone()).await;
    assert_eq!(first.iter().map(|o| o.total_cents).collect::<Vec<_>>(), [10, 11]);
    request.page_token = next.unwrap();
    let (second, next) = page(&server, request.clone()).await;
    assert_eq!(second.iter().map(|o| o.total_cents).collect::<Vec<_>>(), [12]);
    assert_eq!(next, None);

    request.customer_email = "ann@example.org".to_owned();
    let refused = server.client.clone().list_orders(request).await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["page_token"]);
}

#[tokio::test]
async fn a_page_has_fifty_orders_unless_asked_otherwise_and_never_over_a_thousand() {
    let server = Server::start().await;
    for cents in 0..1001 {
        server.create(order("ann@example.org", cents)).await;
    }
    let (orders, next) = page(&server, ListOrdersRequest::default()).await;
    assert_eq!((orders.len(), next.is_some()), (50, true));
    let page_size = i32::MAX;
    let request = ListOrdersRequest { page_size, ..Default::default() };
    let (orders, next) = page(&server, request).await;
    assert_eq!((orders.len(), next.is_some()), (1000, true));
}

#[tokio::test]
async fn an_empty_list_is_an_empty_page() {
    let server = Server::start().await;
    let (orders, next) = page(&server, ListOrdersRequest::default()).await;
    assert_eq!((orders, next), (vec![], None));
}
