use orders::v1::{
    AdvanceOrderRequest, CreateOrderRequest, GetOrderRequest, ListOrdersRequest, WatchOrderRequest,
};

use crate::common::server::Server;
use crate::common::{order, reason, wrong_fields};

#[tokio::test]
async fn of_a_new_order() {
    let server = Server::start().await;
    let mut client = server.client.clone();
    let refused = client
        .create_order(CreateOrderRequest {
            customer_email: String::new(),
            total_cents: -1,
            currency: "EURO".to_owned(),
            idempotency_key: "k".repeat(129),
        })
        .await
        .unwrap_err();
    assert_eq!(
        wrong_fields(&refused),
        ["customer_email", "total_cents", "currency", "idempotency_key"]
    );
    assert_eq!(reason(&refused), "INVALID_REQUEST");
    assert!(refused.message().contains("total_cents must not be negative"));
}

#[tokio::test]
async fn of_an_email_that_is_none() {
    let server = Server::start().await;
    let long = format!("{}@example.org", "a".repeat(254));
    for email in ["", "ann", "@example.org", "ann@", "a nn@example.org", "a\nnn@x", &long] {
        let refused = server.client.clone().create_order(order(email, 1)).await;
        assert_eq!(wrong_fields(&refused.unwrap_err()), ["customer_email"], "{email:?}");
    }
}

#[tokio::test]
async fn of_a_currency_that_is_none() {
    let server = Server::start().await;
    for currency in ["", "eur", "XXX", "EUR ", "EUR USD", "€"] {
        let request =
            CreateOrderRequest { currency: currency.to_owned(), ..order("ann@example.org", 1) };
        let refused = server.client.clone().create_order(request).await;
        assert_eq!(wrong_fields(&refused.unwrap_err()), ["currency"], "{currency:?}");
    }
}

#[tokio::test]
async fn nothing_is_wrong_with_the_extremes() {
    let server = Server::start().await;
    for cents in [0, i64::MAX] {
        assert_eq!(server.create(order("a@b", cents)).await.total_cents, cents);
    }
}

#[tokio::test]
async fn of_an_empty_id() {
    let server = Server::start().await;
    let mut client = server.client.clone();
    let got = client.get_order(GetOrderRequest::default()).await;
    assert_eq!(wrong_fields(&got.unwrap_err()), ["id"]);
    let watched = client.watch_order(WatchOrderRequest::default()).await;
    assert_eq!(wrong_fields(&watched.unwrap_err()), ["id"]);
    for stage in [0, 3, -1] {
        let id = String::new();
        let advanced = client.advance_order(AdvanceOrderRequest { id, stage }).await;
        assert_eq!(wrong_fields(&advanced.unwrap_err()), ["id", "stage"]);
    }
}

#[tokio::test]
async fn of_a_page() {
    let server = Server::start().await;
    let request = ListOrdersRequest {
        page_size: -1,
        page_token: "no token".to_owned(),
        ..Default::default()
    };
    let refused = server.client.clone().list_orders(request).await;
    assert_eq!(wrong_fields(&refused.unwrap_err()), ["page_size", "page_token"]);
}
