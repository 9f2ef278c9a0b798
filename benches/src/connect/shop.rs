use std::collections::HashMap;
use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status, Streaming};

use self::v1::shop_server::Shop;
use self::v1::{Address, Item, Order, Small, Stage};
use super::MESSAGES;

#[allow(missing_docs, clippy::all, clippy::pedantic, unreachable_pub, unused_qualifications)]
pub(crate) mod v1 {
    tonic::include_proto!("shop.v1");
}

pub(crate) const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/shop.bin"));

pub(crate) fn small(number: u32) -> Small {
    Small { number, text: "twelve bytes".to_owned() }
}

pub(crate) fn order() -> Order {
    let item = |number: u32| Item {
        sku: format!("SKU-{number:05}"),
        name: "A box of \"blue\" pencils, 12 pieces".to_owned(),
        quantity: number + 1,
        price_cents: 399,
    };
    Order {
        id: "018f5e2c-9a54-7c31-9d0e-5b7a4f3e2d10".to_owned(),
        customer_email: "ann.example@shop.example.com".to_owned(),
        total_cents: 123_456,
        currency: "EUR".to_owned(),
        created_at: Some(prost_types::Timestamp { seconds: 1_764_000_000, nanos: 123_000_000 }),
        stage: Stage::Shipped.into(),
        weight_kg: 2.75,
        is_gift: true,
        note: "Please ring twice; the bell is hard to hear. Grüße!".to_owned(),
        ship_to: Some(Address {
            name: "Ann Example".to_owned(),
            street: "12 Long Street".to_owned(),
            city: "Springfield".to_owned(),
            country: "DE".to_owned(),
        }),
        items: (0..5).map(item).collect(),
        labels: HashMap::from([
            ("channel".to_owned(), "web".to_owned()),
            ("campaign".to_owned(), "autumn".to_owned()),
        ]),
    }
}

/// A service that answers at once.
#[derive(Clone, Debug)]
pub(crate) struct AtOnce {
    order: Order,
}

impl Default for AtOnce {
    fn default() -> Self {
        Self { order: order() }
    }
}

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Shop for AtOnce {
    type WatchStream = Messages<Small>;
    type FollowStream = Messages<Order>;
    type ChatStream = Messages<Small>;

    async fn ping(&self, request: Request<Small>) -> Result<Response<Small>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn peek(&self, request: Request<Small>) -> Result<Response<Small>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn put(&self, request: Request<Order>) -> Result<Response<Order>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn watch(&self, _: Request<Small>) -> Result<Response<Messages<Small>>, Status> {
        let messages = stream::iter((0..MESSAGES).map(|number| Ok(small(number))));
        Ok(Response::new(messages.boxed()))
    }

    async fn follow(&self, _: Request<Small>) -> Result<Response<Messages<Order>>, Status> {
        let order = self.order.clone();
        let messages = stream::iter((0..MESSAGES).map(move |_| Ok(order.clone())));
        Ok(Response::new(messages.boxed()))
    }

    async fn chat(
        &self,
        request: Request<Streaming<Small>>,
    ) -> Result<Response<Messages<Small>>, Status> {
        Ok(Response::new(request.into_inner().boxed()))
    }
}
