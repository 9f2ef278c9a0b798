use futures_util::{FutureExt, StreamExt};
use orders::drain::Signal;
use orders::faults::Faults;
use orders::service::Orders;
use orders::store::{Database, Store};
use orders::v1::order_service_server::OrderService;
use orders::v1::{
    AdvanceOrderRequest, GetOrderRequest, Order, OrderEvent, OrderStage, WatchOrderRequest,
};
use tokio::task::JoinSet;
use tonic::{Code, Request, Streaming};

use crate::common::server::Server;
use crate::common::{order, reason, soon};

async fn watch(server: &Server, id: &str) -> Streaming<OrderEvent> {
    let request = WatchOrderRequest { id: id.to_owned() };
    server.client.clone().watch_order(request).await.unwrap().into_inner()
}

async fn advance(server: &Server, id: &str, stage: OrderStage) -> OrderEvent {
    let request = advance_to(id, stage);
    server.client.clone().advance_order(request).await.unwrap().into_inner()
}

fn advance_to(id: &str, stage: OrderStage) -> AdvanceOrderRequest {
    AdvanceOrderRequest { id: id.to_owned(), stage: stage.into() }
}

async fn next(events: &mut Streaming<OrderEvent>) -> String {
    soon(events.message()).await.unwrap().unwrap().event_type
}

#[tokio::test]
async fn it_sees_the_state_and_then_every_change() {
    let server = Server::start().await;
    let Order { id, created_at, .. } = server.create(order("ann@example.org", 1)).await;
    let other = server.create(order("bob@example.org", 1)).await;
    let mut events = watch(&server, &id).await;

    let first = soon(events.message()).await.unwrap().unwrap();
    assert_eq!((first.id.as_str(), first.event_type.as_str()), (id.as_str(), "created"));
    assert_eq!(first.ts, created_at);

    advance(&server, &other.id, OrderStage::Shipped).await;
    let shipped = advance(&server, &id, OrderStage::Shipped).await;
    assert_eq!(soon(events.message()).await.unwrap().unwrap(), shipped);
    advance(&server, &id, OrderStage::Delivered).await;
    assert_eq!(next(&mut events).await, "delivered");
}

#[tokio::test]
async fn one_that_comes_late_begins_where_the_order_stands() {
    let server = Server::start().await;
    let order = server.create(order("ann@example.org", 1)).await;
    advance(&server, &order.id, OrderStage::Shipped).await;
    let mut events = watch(&server, &order.id).await;
    assert_eq!(next(&mut events).await, "shipped");
    advance(&server, &order.id, OrderStage::Delivered).await;
    assert_eq!(next(&mut events).await, "delivered");
}

#[tokio::test]
async fn a_stage_that_was_reached_before_changes_nothing() {
    let server = Server::start().await;
    let order = server.create(order("ann@example.org", 1)).await;
    let mut client = server.client.clone();
    let early = client.advance_order(advance_to(&order.id, OrderStage::Delivered)).await;
    let early = early.unwrap_err();
    assert_eq!(
        (early.code(), reason(&early).as_str()),
        (Code::FailedPrecondition, "ORDER_NOT_SHIPPED")
    );
    let missing = client.advance_order(advance_to("x", OrderStage::Shipped)).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);

    let mut events = watch(&server, &order.id).await;
    let first = advance(&server, &order.id, OrderStage::Shipped).await;
    assert_eq!(first, advance(&server, &order.id, OrderStage::Shipped).await);
    advance(&server, &order.id, OrderStage::Delivered).await;
    assert_eq!(first, advance(&server, &order.id, OrderStage::Shipped).await);
    for expected in ["created", "shipped", "delivered"] {
        assert_eq!(next(&mut events).await, expected);
    }
}

/// Guards against: a change between reading and subscribing that is sent twice or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn changes_while_it_comes_are_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = Database::File(folder.path().join("orders.db"));
    let server = Server::with_store(Store::open(&file).await.unwrap()).await;
    let mut watchers = JoinSet::new();
    for round in 0..20 {
        let order = server.create(order("ann@example.org", round)).await;
        for _ in 0..5 {
            let mut client = server.client.clone();
            let id = order.id.clone();
            watchers.spawn(async move {
                let request = WatchOrderRequest { id };
                let mut events = client.watch_order(request).await.unwrap().into_inner();
                let mut seen = Vec::new();
                while seen.last().is_none_or(|last| last != "delivered") {
                    seen.push(next(&mut events).await);
                }
                seen
            });
        }
        advance(&server, &order.id, OrderStage::Shipped).await;
        advance(&server, &order.id, OrderStage::Delivered).await;
    }
    let whole = ["created", "shipped", "delivered"];
    for seen in watchers.join_all().await {
        assert!(whole.ends_with(&seen.iter().map(String::as_str).collect::<Vec<_>>()), "{seen:?}");
    }
}

/// Guards against: a change after reading and before subscribing that is never sent.
#[tokio::test]
async fn a_change_between_its_look_and_its_first_event_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = Database::File(folder.path().join("orders.db"));
    let orders = Orders::new(Store::open(&file).await.unwrap(), Faults::Disabled);
    for cents in 0..40 {
        let request = Request::new(order("ann@example.org", cents));
        let id = orders.create_order(request).await.unwrap().into_inner().id;
        // Opens a connection for reading.
        let got = orders.get_order(Request::new(GetOrderRequest { id: id.clone() })).await;
        got.unwrap();

        let mut watch = orders.watch_order(Request::new(WatchOrderRequest { id: id.clone() }));
        // SQLite begins to read, and may have finished: its progress differs by round.
        let mut begun = None;
        for _ in 0..=cents % 4 {
            begun = begun.or_else(|| (&mut watch).now_or_never());
        }
        // The order changes before this watcher continues.
        let shipped = Request::new(advance_to(&id, OrderStage::Shipped));
        orders.advance_order(shipped).await.unwrap();

        let watched = match begun {
            Some(watched) => watched,
            None => watch.await,
        };
        let mut events = watched.unwrap().into_inner();
        let mut seen = soon(events.next()).await.unwrap().unwrap().event_type;
        if seen == "created" {
            seen = soon(events.next()).await.unwrap().unwrap().event_type;
        }
        assert_eq!(seen, "shipped");
        // Only once: the next event is the next change.
        let delivered = Request::new(advance_to(&id, OrderStage::Delivered));
        orders.advance_order(delivered).await.unwrap();
        assert_eq!(soon(events.next()).await.unwrap().unwrap().event_type, "delivered");
    }
}

#[tokio::test]
async fn one_that_lags_reads_anew() {
    let store = Store::open(&Database::Memory).await.unwrap();
    let orders = Orders::new(store, Faults::Disabled);
    let create = async |cents| {
        let request = Request::new(order("ann@example.org", cents));
        orders.create_order(request).await.unwrap().into_inner()
    };
    let watched = create(0).await;
    let request = Request::new(WatchOrderRequest { id: watched.id.clone() });
    let mut events = orders.watch_order(request).await.unwrap().into_inner();

    let shipped = Request::new(advance_to(&watched.id, OrderStage::Shipped));
    orders.advance_order(shipped).await.unwrap();
    // More notifications than the channel holds: those of the watched order are lost.
    for cents in 0..600 {
        let id = create(cents).await.id;
        for stage in [OrderStage::Shipped, OrderStage::Delivered] {
            orders.advance_order(Request::new(advance_to(&id, stage))).await.unwrap();
        }
    }
    for expected in ["created", "shipped"] {
        assert_eq!(soon(events.next()).await.unwrap().unwrap().event_type, expected);
    }
    // Only once: the next event is the next change.
    let delivered = Request::new(advance_to(&watched.id, OrderStage::Delivered));
    orders.advance_order(delivered).await.unwrap();
    assert_eq!(soon(events.next()).await.unwrap().unwrap().event_type, "delivered");
}

/// Guards against: a change that is stored but not sent, because its caller left in between.
#[tokio::test]
async fn a_change_whose_caller_has_left_is_told() {
    let store = Store::open(&Database::Memory).await.unwrap();
    let orders = Orders::new(store, Faults::Disabled);
    let request = Request::new(order("ann@example.org", 1));
    let watched = orders.create_order(request).await.unwrap().into_inner();
    let request = Request::new(WatchOrderRequest { id: watched.id.clone() });
    let mut events = orders.watch_order(request).await.unwrap().into_inner();
    soon(events.next()).await.unwrap().unwrap();

    let mut call = orders.advance_order(Request::new(advance_to(&watched.id, OrderStage::Shipped)));
    assert!((&mut call).now_or_never().is_none());
    drop(call);
    assert_eq!(soon(events.next()).await.unwrap().unwrap().event_type, "shipped");
}

#[tokio::test]
async fn it_is_told_when_the_server_stops() {
    let server = Server::start().await;
    let order = server.create(order("ann@example.org", 1)).await;
    let mut events = watch(&server, &order.id).await;
    assert_eq!(next(&mut events).await, "created");
    server.signal(Signal::Terminate);
    let status = soon(events.message()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVER_STOPPING"));
}

#[tokio::test]
async fn there_is_nothing_to_watch_without_an_order() {
    let server = Server::start().await;
    let id = "x".to_owned();
    let missing = server.client.clone().watch_order(WatchOrderRequest { id }).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
}
