//! The messages of `orders.v1`: what requests mean, and what responses are made from.

use crate::service::create::key_reused;
use crate::service::import::{Failure, Import};
use crate::service::quote::{Speed, price};
use crate::store::{self, NewOrder};
use crate::v1::{
    CreateOrderRequest, FieldViolation, ImportFailure, ImportOrdersResponse, Order, OrderEvent,
    Price, Quote, QuoteRequest, Rejection, ShippingSpeed, quote, rejection,
};
use crate::validate::{self, Violations};

/// A valid order, or what is invalid about it.
pub(super) fn new_order(request: CreateOrderRequest) -> Result<NewOrder, Violations> {
    let mut violations = Violations::default();
    validate::email(&mut violations, "customer_email", &request.customer_email);
    validate::not_negative(&mut violations, "total_cents", request.total_cents);
    validate::currency(&mut violations, "currency", &request.currency);
    let key = request.idempotency_key;
    validate::idempotency_key(&mut violations, "idempotency_key", &key);
    violations.or(NewOrder {
        customer_email: request.customer_email,
        total_cents: request.total_cents,
        currency: request.currency,
        idempotency_key: Some(key).filter(|key| !key.is_empty()),
    })
}

pub(super) fn quote(request: QuoteRequest) -> Quote {
    let outcome = match price_of(&request) {
        Ok(price) => quote::Outcome::Price(price),
        Err(violations) => quote::Outcome::Rejection(violations.into()),
    };
    Quote { reference: request.reference, outcome: Some(outcome) }
}

fn price_of(request: &QuoteRequest) -> Result<Price, Violations> {
    let mut violations = Violations::default();
    validate::not_negative(&mut violations, "total_cents", request.total_cents);
    validate::currency(&mut violations, "currency", &request.currency);
    let speed = match ShippingSpeed::try_from(request.speed) {
        Ok(ShippingSpeed::Express) => Speed::Express,
        Ok(ShippingSpeed::Standard | ShippingSpeed::Unspecified) => Speed::Standard,
        Err(_) => {
            violations.add("speed", "must be a value that this server knows");
            return Err(violations);
        }
    };
    let Some(price) = price(request.total_cents, speed) else {
        violations.add("total_cents", "is too large");
        return Err(violations);
    };
    violations.or(Price {
        shipping_cents: price.shipping_cents,
        total_cents: price.total_cents,
        currency: request.currency.clone(),
        valid_until: Some(price.valid_until),
    })
}

impl From<store::Order> for Order {
    fn from(order: store::Order) -> Self {
        Self {
            id: order.id,
            customer_email: order.customer_email,
            total_cents: order.total_cents,
            currency: order.currency,
            created_at: Some(order.created_at),
        }
    }
}

impl From<store::Event> for OrderEvent {
    fn from(event: store::Event) -> Self {
        let event_type = event.stage.event_type().to_owned();
        Self { id: event.order_id, event_type, ts: Some(event.at) }
    }
}

impl From<Import> for ImportOrdersResponse {
    fn from(import: Import) -> Self {
        let failures = import.failures.into_iter();
        let failures = failures
            .map(|(index, failure)| ImportFailure { index, rejection: Some(failure.into()) });
        Self {
            created: import.created,
            repeated: import.repeated,
            rejected: import.rejected,
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
