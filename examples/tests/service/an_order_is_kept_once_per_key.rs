use std::collections::HashSet;

use orders::store::{Database, Store};
use orders::v1::{GetOrderRequest, ListOrdersRequest};
use tokio::task::JoinSet;
use tonic::Code;

use crate::common::server::Server;
use crate::common::{keyed, order, reason};

#[tokio::test]
async fn what_was_created_can_be_got() {
    let server = Server::start().await;
    let created = server.create(order("ann@example.org", 1999)).await;
    assert_eq!(created.customer_email, "ann@example.org");
    assert_eq!((created.total_cents, created.currency.as_str()), (1999, "EUR"));
    assert!(created.created_at.is_some_and(|at| at.seconds > 1_700_000_000));

    let id = created.id.clone();
    let got = server.client.clone().get_order(GetOrderRequest { id }).await;
    assert_eq!(got.unwrap().into_inner(), created);
}

#[tokio::test]
async fn without_a_key_each_request_is_an_order() {
    let server = Server::start().await;
    let first = server.create(order("ann@example.org", 1)).await;
    let second = server.create(order("ann@example.org", 1)).await;
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn the_same_content_again_answers_with_the_first_order() {
    let server = Server::start().await;
    let first = server.create(keyed("ann@example.org", 5, "k")).await;
    let again = server.create(keyed("ann@example.org", 5, "k")).await;
    assert_eq!(first, again);
}

#[tokio::test]
async fn other_content_under_the_same_key_is_refused() {
    let server = Server::start().await;
    server.create(keyed("ann@example.org", 5, "k")).await;
    for other in [keyed("bob@example.org", 5, "k"), keyed("ann@example.org", 6, "k")] {
        let refused = server.client.clone().create_order(other).await.unwrap_err();
        assert_eq!(refused.code(), Code::AlreadyExists);
        assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_creates_at_the_same_time_give_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = Database::File(folder.path().join("orders.db"));
    for database in [Database::Memory, file] {
        let server = Server::with_store(Store::open(&database).await.unwrap()).await;
        let mut calls = JoinSet::new();
        for _ in 0..32 {
            let mut client = server.client.clone();
            calls.spawn(async move {
                let created = client.create_order(keyed("ann@example.org", 5, "k")).await;
                created.unwrap().into_inner().id
            });
        }
        let ids: HashSet<_> = calls.join_all().await.into_iter().collect();
        assert_eq!(ids.len(), 1);

        let listed = server.client.clone().list_orders(ListOrdersRequest::default()).await;
        let mut listed = listed.unwrap().into_inner();
        assert!(listed.message().await.unwrap().is_some());
        assert_eq!(listed.message().await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_unknown_id_is_not_found_and_not_repeated_at_length() {
    let server = Server::start().await;
    let mut client = server.client.clone();
    let id = "x".to_owned();
    let missing = client.get_order(GetOrderRequest { id }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(missing.message(), r#"order "x" does not exist"#);
    assert_eq!(reason(&missing), "ORDER_NOT_FOUND");

    // A response of this length would not fit into the headers.
    let id = "ä\n\"".repeat(10_000);
    let missing = client.get_order(GetOrderRequest { id }).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert!(missing.message().len() < 300, "{}", missing.message());
}
