use futures_util::stream;
use orders::drain::Signal;
use orders::v2::order_service_client::OrderServiceClient;
use orders::v2::quote_orders_response::Outcome;
use orders::v2::rejection::Reason;
use orders::v2::{
    AdvanceOrderRequest, ImportOrdersRequest, OrderStage, QuoteOrdersRequest, QuoteOrdersResponse,
    Rejection, ShippingSpeed, WatchOrderRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tonic::transport::Channel;

use crate::common::server::Server;
use crate::common::v2::{euros, get, order};
use crate::common::{reason, soon};

type Client = OrderServiceClient<Channel>;

async fn start() -> (Server, Client) {
    let server = Server::start().await;
    let client = Client::new(server.channel().await);
    (server, client)
}

async fn create(client: &mut Client) -> String {
    let created = client.create_order(order("ann@example.org", euros(42, 0))).await;
    created.unwrap().into_inner().order.unwrap().id
}

fn advance(order_id: &str, stage: OrderStage) -> AdvanceOrderRequest {
    AdvanceOrderRequest { order_id: order_id.to_owned(), stage: stage.into() }
}

fn names(rejection: &Rejection) -> Vec<&str> {
    rejection.violations.iter().map(|violation| &*violation.field).collect()
}

#[tokio::test]
async fn one_request_and_one_response() {
    let (_server, mut client) = start().await;
    let id = create(&mut client).await;
    let got = client.get_order(get(&id)).await.unwrap().into_inner().order.unwrap();
    assert_eq!((&got.id, got.total), (&id, Some(euros(42, 0))));

    let early = client.advance_order(advance(&id, OrderStage::Delivered)).await.unwrap_err();
    let seen = (early.code(), reason(&early));
    assert_eq!(seen, (Code::FailedPrecondition, "ORDER_NOT_SHIPPED".to_owned()));
    let shipped = client.advance_order(advance(&id, OrderStage::Shipped)).await;
    let shipped = shipped.unwrap().into_inner().event;
    assert_eq!(shipped.as_ref().unwrap().stage(), OrderStage::Shipped);
    // The event of that time.
    let again = client.advance_order(advance(&id, OrderStage::Shipped)).await;
    assert_eq!(again.unwrap().into_inner().event, shipped);

    let missing = client.get_order(get("x")).await.unwrap_err();
    let seen = (missing.code(), reason(&missing));
    assert_eq!(seen, (Code::NotFound, "ORDER_NOT_FOUND".to_owned()));
    let missing = client.advance_order(advance("x", OrderStage::Shipped)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn a_stream_of_responses_that_a_drain_ends() {
    let (server, mut client) = start().await;
    let order_id = create(&mut client).await;
    let mut events = client.watch_order(WatchOrderRequest { order_id }).await.unwrap().into_inner();
    let first = soon(events.message()).await.unwrap().unwrap().event.unwrap();
    assert_eq!(first.stage(), OrderStage::Created);
    server.signal(Signal::Terminate);
    let ended = soon(events.message()).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    drop(client);
    server.ended().await;
}

#[tokio::test]
async fn a_stream_of_requests() {
    let (_server, mut client) = start().await;
    let import = |email: &str, total, key: &str| {
        let order = order(email, total).order;
        ImportOrdersRequest { order, idempotency_key: Some(key.to_owned()) }
    };
    let requests = [
        import("ann@example.org", euros(1, 0), "a"),
        import("ann@example.org", euros(1, 0), "a"),
        import("ann@example.org", euros(2, 0), "a"),
        import("nobody", euros(-1, 5), "b"),
        ImportOrdersRequest::default(),
    ];
    let imported = client.import_orders(stream::iter(requests)).await.unwrap().into_inner();
    let counts = (imported.created_count, imported.repeated_count, imported.rejected_count);
    assert_eq!(counts, (1, 1, 3));
    let failures = imported.failures.iter();
    let seen: Vec<_> = failures
        .map(|failure| {
            let rejection = failure.rejection.as_ref().unwrap();
            (failure.index, rejection.reason(), names(rejection))
        })
        .collect();
    let paths = vec!["order.customer_email", "order.total.units", "order.total.nanos"];
    assert_eq!(
        seen,
        [
            (2, Reason::KeyReused, vec![]),
            (3, Reason::Invalid, paths),
            (4, Reason::Invalid, vec!["order"]),
        ]
    );
}

#[tokio::test]
async fn streams_in_both_directions() {
    let (_server, mut client) = start().await;
    let (ask, asked) = mpsc::unbounded_channel();
    let quotes = client.quote_orders(UnboundedReceiverStream::new(asked)).await;
    let mut quotes = quotes.unwrap().into_inner();
    let express = i32::from(ShippingSpeed::Express);
    for (goods, speed, expected) in [
        (Some(euros(1, 0)), 0, Ok((euros(4, 900_000_000), euros(5, 900_000_000)))),
        (Some(euros(1, 0)), express, Ok((euros(14, 900_000_000), euros(15, 900_000_000)))),
        (Some(euros(100, 0)), 1, Ok((euros(0, 0), euros(100, 0)))),
        (Some(euros(i64::MAX / 100, 0)), express, Err(vec!["goods.units"])),
        (Some(euros(1, 1)), 99, Err(vec!["goods.nanos", "speed"])),
        (None, 0, Err(vec!["goods"])),
    ] {
        let reference = Some("r".to_owned());
        ask.send(QuoteOrdersRequest { reference: reference.clone(), goods, speed }).unwrap();
        let quote = soon(quotes.message()).await.unwrap().unwrap();
        assert_eq!(quote.reference, reference);
        match (outcome(&quote), expected) {
            (Outcome::Price(price), Ok((shipping, total))) => {
                assert_eq!((&price.shipping, &price.total), (&Some(shipping), &Some(total)));
                assert!(price.expire_time.is_some());
            }
            (Outcome::Rejection(rejection), Err(fields)) => assert_eq!(names(rejection), fields),
            (outcome, expected) => panic!("{outcome:?}, not {expected:?}"),
        }
    }
    // What is absent stays absent.
    ask.send(QuoteOrdersRequest::default()).unwrap();
    assert_eq!(soon(quotes.message()).await.unwrap().unwrap().reference, None);
    drop(ask);
    assert_eq!(soon(quotes.message()).await.unwrap(), None);
}

fn outcome(quote: &QuoteOrdersResponse) -> &Outcome {
    quote.outcome.as_ref().expect("an outcome")
}
