use futures_util::stream;
use orders::v1::ListOrdersRequest;
use orders::v1::rejection::Reason;
use tonic::Code;

use crate::common::server::Server;
use crate::common::{keyed, order};

#[tokio::test]
async fn a_bad_one_does_not_hold_up_the_others() {
    let server = Server::start().await;
    let answer = server
        .client
        .clone()
        .import_orders(stream::iter([
            keyed("ann@example.org", 1, "a"),
            order("", -1),
            keyed("ann@example.org", 1, "a"),
            keyed("ann@example.org", 2, "a"),
            order("bob@example.org", 3),
        ]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((answer.created, answer.repeated, answer.rejected), (2, 1, 2));

    let [invalid, reused] = &answer.failures[..] else { panic!("{:?}", answer.failures) };
    assert_eq!((invalid.index, reused.index), (1, 3));
    let invalid = invalid.rejection.as_ref().unwrap();
    assert_eq!(invalid.reason(), Reason::Invalid);
    let fields: Vec<_> = invalid.violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["customer_email", "total_cents"]);
    let reused = reused.rejection.as_ref().unwrap();
    assert_eq!(reused.reason(), Reason::KeyReused);
}

#[tokio::test]
async fn many_bad_ones_are_counted_and_only_the_first_hundred_told() {
    let server = Server::start().await;
    let bad = stream::iter((0..150).map(|_| order("", 0)));
    let answer = server.client.clone().import_orders(bad).await.unwrap().into_inner();
    assert_eq!((answer.rejected, answer.failures.len()), (150, 100));
}

#[tokio::test]
async fn nothing_at_all_is_fine() {
    let server = Server::start().await;
    let answer = server.client.clone().import_orders(stream::empty()).await;
    assert_eq!(answer.unwrap().into_inner().created, 0);
}

#[tokio::test]
async fn what_came_before_a_message_that_is_too_large_is_kept() {
    let server = Server::start().await;
    let requests = stream::iter([
        order("ann@example.org", 1),
        keyed("ann@example.org", 2, &"k".repeat(70_000)),
    ]);
    let failed = server.client.clone().import_orders(requests).await.unwrap_err();
    assert_eq!(failed.code(), Code::OutOfRange);

    let listed = server.client.clone().list_orders(ListOrdersRequest::default()).await;
    let mut listed = listed.unwrap().into_inner();
    assert_eq!(listed.message().await.unwrap().unwrap().total_cents, 1);
    assert_eq!(listed.message().await.unwrap(), None);
}
