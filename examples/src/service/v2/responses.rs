//! What the responses of `orders.v2` are made from.

use super::{money, requests};
use crate::service::create::key_reused;
use crate::service::import::{Failure, Import};
use crate::service::list::Listed;
use crate::service::quote::price;
use crate::store::{self, Stage};
use crate::v2::{
    FieldViolation, ImportFailure, ImportOrdersResponse, ListOrdersResponse, Order, OrderEvent,
    OrderStage, Price, QuoteOrdersRequest, QuoteOrdersResponse, Rejection, quote_orders_response,
    rejection,
};
use crate::validate::Violations;

pub(super) fn quote(request: QuoteOrdersRequest) -> QuoteOrdersResponse {
    use quote_orders_response::Outcome;
    let reference = request.reference.clone();
    let outcome = match price_of(request) {
        Ok(price) => Outcome::Price(price),
        Err(violations) => Outcome::Rejection(violations.into()),
    };
    QuoteOrdersResponse { reference, outcome: Some(outcome) }
}

fn price_of(request: QuoteOrdersRequest) -> Result<Price, Violations> {
    let mut violations = Violations::default();
    let goods = money::read(&mut violations, "goods", request.goods);
    let speed = requests::speed(&mut violations, request.speed);
    let Some(price) = price(goods.cents, speed) else {
        violations.add("goods.units", "is too large");
        return Err(violations);
    };
    violations.or(Price {
        shipping: Some(money::write(price.shipping_cents, &goods.currency)),
        total: Some(money::write(price.total_cents, &goods.currency)),
        expire_time: Some(price.valid_until),
    })
}

impl From<store::Order> for Order {
    fn from(order: store::Order) -> Self {
        Self {
            id: order.id,
            customer_email: order.customer_email,
            total: Some(money::write(order.total_cents, &order.currency)),
            create_time: Some(order.created_at),
        }
    }
}

impl From<store::Event> for OrderEvent {
    fn from(event: store::Event) -> Self {
        let stage = match event.stage {
            Stage::Created => OrderStage::Created,
            Stage::Shipped => OrderStage::Shipped,
            Stage::Delivered => OrderStage::Delivered,
        };
        Self { order_id: event.order_id, stage: stage.into(), event_time: Some(event.at) }
    }
}

impl From<Listed> for ListOrdersResponse {
    fn from(listed: Listed) -> Self {
        Self {
            orders: listed.orders.into_iter().map(Into::into).collect(),
            next_page_token: listed.next.unwrap_or_default(),
        }
    }
}

impl From<Import> for ImportOrdersResponse {
    fn from(import: Import) -> Self {
        let failures = import.failures.into_iter();
        let failures = failures
            .map(|(index, failure)| ImportFailure { index, rejection: Some(failure.into()) });
        Self {
            created_count: import.created,
            repeated_count: import.repeated,
            rejected_count: import.rejected,
            failures: failures.collect(),
        }
    }
}

impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Invalid(violations) => violations.into(),
            Failure::KeyReused(key) => Self {
                reason: rejection::Reason::KeyReused.into(),
                message: key_reused(&key),
                violations: Vec::new(),
            },
        }
    }
}

impl From<Violations> for Rejection {
    fn from(violations: Violations) -> Self {
        let message = violations.message();
        let fields = violations.into_fields();
        let fields = fields.map(|(field, description)| FieldViolation { field, description });
        Self { reason: rejection::Reason::Invalid.into(), message, violations: fields.collect() }
    }
}
